/* What a flame graph says in words: tool tips and verdicts. */
#include <math.h>
#include <string.h>

#include "base/units.h"
#include "profile/picture.h"

#define DOT " \xc2\xb7 "

int picture_compare(struct picture *pic, const struct profile *before, const struct profile *after,
        const struct flamegraph_options *o)
{
	const struct diff_side sides[2] = {
		{ .parts = &before, .n_parts = 1, .value_index = o->value_index_before },
		{ .parts = &after, .n_parts = 1, .value_index = o->value_index },
	};
	const struct diff_options options = { .by = TOP_FUNCTION, .sort = TOP_CUM, .normalize = o->normalize };

	return diff_build(o->parts_before ? o->parts_before : &sides[0], o->parts_after ? o->parts_after : &sides[1],
	        &options, &pic->diff);
}

static const struct diff_row *find_row(const struct picture *pic, uint32_t node)
{
	_cleanup_buffer_ struct buffer key = BUFFER(FLAMEGRAPH_BYTES_MAX);
	uint32_t frame = tree_node(pic->tree, node)->frame;
	const struct tree_frame *f;
	size_t at;

	if (!pic->diff || frame == TREE_NONE)
		return NULL;
	f = tree_frame(pic->tree, frame);
	(void)buffer_append(&key, f->name, f->name_size);
	(void)buffer_append(&key, "", 1);
	(void)buffer_append(&key, f->file, strlen(f->file));
	if (key.error || diff_find(pic->diff, key.data, key.size, &at) < 0)
		return NULL;
	return diff_row(pic->diff, at);
}

bool picture_is_chance(const struct picture *pic, uint32_t node)
{
	const struct diff_row *row = find_row(pic, node);

	return row && (row->cum.verdict == DIFF_CHANCE || row->cum.verdict == DIFF_TOO_FEW);
}

int picture_verdict(const struct picture *pic, uint32_t node, struct buffer *out)
{
	const struct diff_row *row = find_row(pic, node);

	if (!row)
		return 0;
	switch (row->cum.verdict) {
	case DIFF_GREW:
	case DIFF_SHRANK:
		return buffer_printf(out, "this function %s by more than chance (q = %.2g)",
		        diff_verdict_text(row->cum.verdict), row->cum.q);
	case DIFF_CHANCE:
		return buffer_printf(out, "the change of this function may be chance (q = %.2g)", row->cum.q);
	default:
		return buffer_append_string(out, "too few samples of this function to say more");
	}
}

static double share(const struct picture *pic, unsigned side, int64_t value)
{
	int64_t whole = tree_node(pic->tree, 0)->total[side].value;

	return whole ? 100 * (double)value / (double)whole : 0;
}

static void put_value(struct buffer *out, const struct picture *pic, unsigned side, const struct tree_value *v)
{
	char text[UNITS_TEXT_MAX];

	if (strcmp(pic->unit, "count") == 0) {
		(void)picture_number(out, v->value);
		(void)buffer_printf(out, " %s, %.2f %%", pic->type, share(pic, side, v->value));
		return;
	}
	(void)buffer_printf(
	        out, "%s, %.2f %% (", units_format_value(text, v->value, pic->unit), share(pic, side, v->value));
	(void)picture_number(out, v->value);
	(void)buffer_printf(out, " %s in ", pic->unit);
	(void)picture_count(pic, out, v->count);
	(void)buffer_append_string(out, ")");
}

static void put_change(struct buffer *out, const struct picture *pic, const struct tree_node *n)
{
	double before = (double)n->total[0].value * pic->scale[0], after = (double)n->total[1].value * pic->scale[1];
	double points = share(pic, 1, n->total[1].value) - share(pic, 0, n->total[0].value);

	(void)buffer_append_string(out, "\nbefore ");
	put_value(out, pic, 0, &n->total[0]);
	(void)buffer_append_string(out, "\nafter ");
	put_value(out, pic, 1, &n->total[1]);
	(void)buffer_printf(out, "\nchange %+.2f points", points);
	if (before > 0 && after > 0)
		(void)buffer_printf(out, ", %+.1f %%", 100 * (after / before - 1));
	else if (before > 0 || after > 0)
		(void)buffer_append_string(out, before > 0 ? ", gone" : ", new");
}

int picture_place(const struct tree_frame *f, struct buffer *out)
{
	const char *mapping = strrchr(f->mapping, '/');

	(void)buffer_append_string(out, frame_kind_name(f->kind));
	mapping = mapping && mapping[1] ? mapping + 1 : f->mapping;
	if (mapping[0] && f->kind != FRAME_GROUP) {
		(void)buffer_append_string(out, DOT);
		(void)picture_clean(out, mapping, strlen(mapping), 200);
	}
	if (f->file[0]) {
		(void)buffer_append_string(out, DOT);
		(void)picture_clean(out, f->file, strlen(f->file), 400);
		if (f->line > 0)
			(void)buffer_printf(out, ":%lld", (long long)f->line);
	}
	return out->error;
}

int picture_tooltip(const struct picture *pic, uint32_t node, struct buffer *out)
{
	const struct tree_node *n = tree_node(pic->tree, node);

	if (n->frame == TREE_NONE)
		(void)buffer_append_string(out, "all");
	else
		(void)picture_clean(out, tree_frame(pic->tree, n->frame)->name,
		        tree_frame(pic->tree, n->frame)->name_size, FLAMEGRAPH_NAME_MAX);
	if (pic->diff) {
		put_change(out, pic, n);
		(void)buffer_append_string(out, "\n");
		(void)picture_verdict(pic, node, out);
	} else {
		(void)buffer_append_string(out, "\n");
		put_value(out, pic, 0, &n->total[0]);
		if (n->self[0].value != 0 && n->self[0].value != n->total[0].value) {
			(void)buffer_append_string(out, "\nself ");
			put_value(out, pic, 0, &n->self[0]);
		}
	}
	if (n->frame != TREE_NONE) {
		(void)buffer_append_string(out, "\n");
		(void)picture_place(tree_frame(pic->tree, n->frame), out);
	}
	return out->error;
}
