#include "profile/diff.h"

#include <math.h>
#include <string.h>

#include "base/intern.h"
#include "profile/chance.h"

#define ROWS_MAX (1u << 20)
#define KEY_BYTES_MAX ((size_t)256 << 20)
#define EXACT_EXPECTED 10 /* fewer expected samples in a cell: Fisher */
#define EXACT_SUM 100     /* fewer on both sides together: binomial */

/* What one side's parts add up to, for one row and flat or cum. */
struct spread {
	double weighted; /* sum over parts of x^2 / n, n = the part's total */
	double plain;    /* sum of x^2 */
};

struct work {
	struct diff_row row;
	struct spread flat[2], cum[2];
};

struct diff {
	struct intern *keys;
	struct work *rows;
	uint32_t *order; /* row of each key, after sorting */
	size_t n_rows, room, kept;
	struct top_value total[2];
	size_t n_parts[2];
	struct diff_options options;
	struct diff_summary summary;
};

struct diff *diff_free(struct diff *d)
{
	if (!d)
		return NULL;
	for (size_t i = 0; i < d->n_rows; i++) {
		free((char *)d->rows[i].row.name);
		free((char *)d->rows[i].row.file);
		free((char *)d->rows[i].row.mapping);
	}
	if (d->keys)
		intern_free(d->keys);
	free(d->rows);
	free(d->order);
	free(d);
	return NULL;
}

static int rows_reserve(struct diff *d)
{
	size_t room = MAX(d->room * 2, (size_t)64);
	struct work *grown;

	if (d->n_rows < d->room)
		return 0;
	grown = reallocarray(d->rows, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	d->rows = grown;
	d->room = room;
	return 0;
}

static int find_or_add(struct diff *d, const struct top_row *from, uint32_t *ret)
{
	_cleanup_free_ char *name = NULL, *file = NULL, *mapping = NULL;
	struct diff_row row = { .line = from->line, .kind = from->kind };
	uint32_t id;
	int r;

	r = intern_find(d->keys, from->key, from->key_size, ret);
	if (r != -ENOENT)
		return r;
	name = strdup(from->name);
	if (!name)
		return -ENOMEM;
	r = frame_keep(from->file, from->mapping, &d->kept, &file, &mapping);
	if (r >= 0)
		r = rows_reserve(d);
	if (r < 0)
		return r;
	r = intern_put(d->keys, from->key, from->key_size, &id);
	if (r < 0)
		return r;
	row.key = intern_get(d->keys, id, &row.key_size);
	row.name = TAKE_PTR(name);
	row.file = TAKE_PTR(file);
	row.mapping = TAKE_PTR(mapping);
	d->rows[d->n_rows++] = (struct work){ .row = row };
	*ret = id;
	return 0;
}

static void spread_add(struct spread *s, double x, double n)
{
	s->weighted += n > 0 ? x * x / n : 0;
	s->plain += x * x;
}

static int add_part(struct diff *d, unsigned side, const struct profile *p, uint32_t value_index)
{
	const struct top_options o = { .value_index = value_index, .by = d->options.by };
	_cleanup_(top_freep) struct top *t = NULL;
	double n;
	int r;

	r = top_build(p, &o, &t);
	if (r < 0)
		return r;
	n = (double)top_total(t)->value;
	top_value_add(&d->total[side], top_total(t));
	for (size_t i = 0; i < top_n_rows(t); i++) {
		const struct top_row *from = top_row(t, i);
		struct work *w;
		uint32_t id;

		r = find_or_add(d, from, &id);
		if (r < 0)
			return r;
		w = &d->rows[id];
		top_value_add(&w->row.flat.value[side], &from->flat);
		top_value_add(&w->row.cum.value[side], &from->cum);
		spread_add(&w->flat[side], (double)from->flat.value, n);
		spread_add(&w->cum[side], (double)from->cum.value, n);
	}
	return 0;
}

static bool spread_is_known(const struct diff *d)
{
	return d->n_parts[0] > 1 && d->n_parts[1] > 1 && d->n_parts[0] + d->n_parts[1] >= 2 + DIFF_SPREAD_DF;
}

static double positive(double x)
{
	return x > 0 ? x : 0;
}

/* Shares: pooled share and weights, see the header. Variance of a share = sigma / N. */
static double test_shares(const struct diff *d, const struct diff_change *c, const struct spread spread[2])
{
	double n[2] = { (double)d->total[0].value, (double)d->total[1].value };
	double v[2] = { (double)c->value[0].value, (double)c->value[1].value };
	double whole = n[0] + n[1], part = v[0] + v[1], squares = c->value[0].squares + c->value[1].squares;
	double rest = positive(d->total[0].squares + d->total[1].squares - squares);
	double p = part / whole, weight, sigma, effective[2], difference = v[1] / n[1] - v[0] / n[0];

	weight = (1 - p) * squares / part + (whole > part ? p * rest / (whole - part) : 0);
	sigma = p * (1 - p) * weight;
	if (spread_is_known(d)) {
		double df = (double)(d->n_parts[0] + d->n_parts[1] - 2);
		double seen = positive(spread[0].weighted - v[0] * v[0] / n[0]) +
		              positive(spread[1].weighted - v[1] * v[1] / n[1]);

		if (seen / df > sigma)
			return chance_student(difference / sqrt(seen / df * (1 / n[0] + 1 / n[1])), df);
	}
	if (sigma <= 0)
		return 1;
	for (int i = 0; i < 2; i++)
		effective[i] = n[i] / weight;
	if (fmin(effective[0], effective[1]) * fmin(p, 1 - p) < EXACT_EXPECTED) {
		uint64_t x1 = (uint64_t)llround(v[0] / weight), n1 = (uint64_t)llround(effective[0]);
		uint64_t x2 = (uint64_t)llround(v[1] / weight), n2 = (uint64_t)llround(effective[1]);

		return chance_fisher(MIN(x1, n1), n1, MIN(x2, n2), n2);
	}
	return chance_normal(difference / sqrt(sigma * (1 / n[0] + 1 / n[1])));
}

/* Values: two Poisson rates with the pooled weight. */
static double test_values(const struct diff *d, const struct diff_change *c, const struct spread spread[2])
{
	double v[2] = { (double)c->value[0].value, (double)c->value[1].value };
	double weight = (c->value[0].squares + c->value[1].squares) / (v[0] + v[1]);
	double variance = weight * (v[0] + v[1]), sum = (v[0] + v[1]) / weight;

	if (spread_is_known(d)) {
		double k[2] = { (double)d->n_parts[0], (double)d->n_parts[1] }, df = k[0] + k[1] - 2;
		double seen =
		        positive(spread[0].plain - v[0] * v[0] / k[0]) + positive(spread[1].plain - v[1] * v[1] / k[1]);

		seen = seen / df * (k[0] + k[1]);
		if (seen > variance)
			return chance_student((v[1] - v[0]) / sqrt(seen), df);
	}
	if (sum < EXACT_SUM) {
		uint64_t n = (uint64_t)llround(sum);

		return chance_binomial_half(MIN((uint64_t)llround(v[1] / weight), n), n);
	}
	return chance_normal((v[1] - v[0]) / sqrt(variance));
}

static bool is_testable(const struct diff *d, const struct diff_change *c)
{
	double v = (double)c->value[0].value + (double)c->value[1].value;
	double squares = c->value[0].squares + c->value[1].squares;

	if (c->value[0].value < 0 || c->value[1].value < 0 || v <= 0 || squares <= 0)
		return false;
	if (d->options.normalize && (d->total[0].value <= 0 || d->total[1].value <= 0))
		return false;
	return v * v / squares >= DIFF_EFFECTIVE_MIN;
}

static void set_change(const struct diff *d, struct diff_change *c)
{
	for (int side = 0; side < 2; side++)
		c->share[side] = d->total[side].value ? (double)c->value[side].value / (double)d->total[side].value : 0;
	c->change = d->options.normalize ? c->share[1] - c->share[0]
	                                 : (double)c->value[1].value - (double)c->value[0].value;
	c->p = c->q = 1;
	c->verdict = DIFF_TOO_FEW;
}

static struct diff_change *change_of(struct diff *d, size_t i, bool is_cum)
{
	return is_cum ? &d->rows[i].row.cum : &d->rows[i].row.flat;
}

/* Tests one family: all flat or all cum changes. */
static int judge(struct diff *d, bool is_cum, size_t *ret_tested, size_t *ret_changed)
{
	_cleanup_free_ double *p = calloc(d->n_rows + 1, sizeof(*p));
	_cleanup_free_ size_t *rows = calloc(d->n_rows + 1, sizeof(*rows)),
	                      *order = calloc(d->n_rows + 1, sizeof(*order));
	size_t n = 0, n_changed = 0;

	if (!p || !rows || !order)
		return -ENOMEM;
	for (size_t i = 0; i < d->n_rows; i++) {
		struct diff_change *c = change_of(d, i, is_cum);
		const struct spread *spread = is_cum ? d->rows[i].cum : d->rows[i].flat;

		set_change(d, c);
		if (!is_testable(d, c))
			continue;
		c->p = d->options.normalize ? test_shares(d, c, spread) : test_values(d, c, spread);
		if (!(c->p >= 0 && c->p <= 1))
			c->p = 1;
		p[n] = c->p;
		rows[n++] = i;
	}
	chance_adjust(p, n, order);
	for (size_t k = 0; k < n; k++) {
		struct diff_change *c = change_of(d, rows[k], is_cum);

		c->q = p[k];
		c->verdict = c->q > d->options.level || c->change == 0 ? DIFF_CHANCE
		             : c->change > 0                           ? DIFF_GREW
		                                                       : DIFF_SHRANK;
		n_changed += c->verdict != DIFF_CHANCE;
	}
	*ret_tested = n;
	*ret_changed = n_changed;
	return 0;
}

static const struct diff_change *sort_change(const struct diff *d, size_t i)
{
	return d->options.sort == TOP_CUM ? &d->rows[i].row.cum : &d->rows[i].row.flat;
}

static int evidence_class(const struct diff_change *c)
{
	return c->verdict == DIFF_GREW ? 0 : c->verdict == DIFF_SHRANK ? 1 : c->verdict == DIFF_CHANCE ? 2 : 3;
}

static int compare_rows(const void *a, const void *b, void *userdata)
{
	const struct diff *d = userdata;
	size_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	const struct diff_change *i = sort_change(d, x), *j = sort_change(d, y);
	const struct diff_row *row_x = &d->rows[x].row, *row_y = &d->rows[y].row;
	int order;

	if (d->options.order == DIFF_BY_EVIDENCE) {
		if (evidence_class(i) != evidence_class(j))
			return evidence_class(i) - evidence_class(j);
		if (i->p != j->p)
			return i->p < j->p ? -1 : 1;
	}
	if (fabs(i->change) != fabs(j->change))
		return fabs(i->change) > fabs(j->change) ? -1 : 1;
	/* what is large comes before what is small and before what has nothing on either side */
	if (i->share[0] + i->share[1] != j->share[0] + j->share[1])
		return i->share[0] + i->share[1] > j->share[0] + j->share[1] ? -1 : 1;
	order = memcmp(row_x->key, row_y->key, MIN(row_x->key_size, row_y->key_size));
	return order ? order : row_x->key_size < row_y->key_size ? -1 : row_x->key_size > row_y->key_size;
}

static int sort_rows(struct diff *d)
{
	_cleanup_free_ uint32_t *sorted = calloc(d->n_rows + 1, sizeof(*sorted));
	_cleanup_free_ struct work *rows = calloc(d->n_rows + 1, sizeof(*rows));

	d->order = calloc(d->n_rows + 1, sizeof(*d->order));
	if (!sorted || !rows || !d->order)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->n_rows; i++)
		sorted[i] = i;
	qsort_r(sorted, d->n_rows, sizeof(*sorted), compare_rows, d);
	for (uint32_t i = 0; i < d->n_rows; i++) {
		rows[i] = d->rows[sorted[i]];
		d->order[sorted[i]] = i;
	}
	free(d->rows);
	d->rows = TAKE_PTR(rows);
	return 0;
}

static int judge_all(struct diff *d)
{
	size_t tested[2], changed[2];
	int r;

	for (int is_cum = 0; is_cum < 2; is_cum++) {
		r = judge(d, is_cum, &tested[is_cum], &changed[is_cum]);
		if (r < 0)
			return r;
	}
	d->summary = (struct diff_summary){
		.total = { d->total[0], d->total[1] },
		.n_tested = tested[d->options.sort == TOP_CUM],
		.n_changed = changed[d->options.sort == TOP_CUM],
		.knows_spread = spread_is_known(d),
		.normalize = d->options.normalize,
		.level = d->options.level,
	};
	return 0;
}

int diff_build(const struct diff_side *before, const struct diff_side *after, const struct diff_options *options,
        struct diff **ret)
{
	const struct diff_side *const sides[2] = { before, after };
	_cleanup_(diff_freep) struct diff *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->options = *options;
	if (d->options.level <= 0)
		d->options.level = DIFF_LEVEL;
	r = intern_new(ROWS_MAX, KEY_BYTES_MAX, &d->keys);
	if (r < 0)
		return r;
	for (unsigned side = 0; side < 2; side++) {
		if (sides[side]->n_parts == 0)
			return -EINVAL;
		d->n_parts[side] = sides[side]->n_parts;
		for (size_t i = 0; i < sides[side]->n_parts; i++) {
			r = add_part(d, side, sides[side]->parts[i], sides[side]->value_index);
			if (r < 0)
				return r;
		}
	}
	r = judge_all(d);
	if (r < 0)
		return r;
	r = sort_rows(d);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(d);
	return 0;
}

size_t diff_n_rows(const struct diff *d)
{
	return d->n_rows;
}

const struct diff_row *diff_row(const struct diff *d, size_t i)
{
	return &d->rows[i].row;
}

void diff_summary(const struct diff *d, struct diff_summary *ret)
{
	*ret = d->summary;
}

int diff_find(const struct diff *d, const char *key, size_t key_size, size_t *ret)
{
	uint32_t id;
	int r = intern_find(d->keys, key, key_size, &id);

	if (r < 0)
		return r;
	*ret = d->order[id];
	return 0;
}

const char *diff_verdict_text(enum diff_verdict v)
{
	static const char *const texts[] = {
		[DIFF_TOO_FEW] = "too few samples",
		[DIFF_CHANCE] = "may be chance",
		[DIFF_GREW] = "grew",
		[DIFF_SHRANK] = "shrank",
	};

	return texts[v];
}
