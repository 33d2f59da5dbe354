#include "profile/hotspots.h"

#include "profile/top.h"

struct hotspots {
	struct top *top; /* the rows' strings are its */
	struct hotspot *rows;
	size_t n;
};

struct hotspots *hotspots_free(struct hotspots *h)
{
	if (!h)
		return NULL;
	if (h->top)
		top_free(h->top);
	free(h->rows);
	free(h);
	return NULL;
}

int hotspots_build(const struct profile *p, uint32_t value_index, double threshold, struct hotspots **ret)
{
	const struct top_options options = { .value_index = value_index, .by = TOP_FUNCTION, .sort = TOP_FLAT };
	_cleanup_(hotspots_freep) struct hotspots *h = calloc(1, sizeof(*h));
	double total;
	int r;

	if (!h)
		return -ENOMEM;
	r = top_build(p, &options, &h->top);
	if (r < 0)
		return r;
	h->rows = calloc(top_n_rows(h->top) + 1, sizeof(*h->rows));
	if (!h->rows)
		return -ENOMEM;
	total = (double)top_total(h->top)->value;
	for (size_t i = 0; i < top_n_rows(h->top); i++) {
		const struct top_row *row = top_row(h->top, i);
		double share = total > 0 ? (double)row->flat.value / total : 0;

		/* 1 % of 300 is 3: a share computed as 0.00999.. is in. */
		if (row->flat.value <= 0 || share < threshold * (1 - 1e-12))
			continue;
		h->rows[h->n++] = (struct hotspot){ .function = row->name,
			.file = row->file,
			.mapping = row->mapping,
			.line = row->line,
			.value = row->flat.value,
			.samples = row->flat.count,
			.percent = 100 * share,
			.kind = row->kind };
	}
	*ret = TAKE_PTR(h);
	return 0;
}

size_t hotspots_n(const struct hotspots *h)
{
	return h->n;
}

const struct hotspot *hotspots_get(const struct hotspots *h, size_t i)
{
	return &h->rows[i];
}
