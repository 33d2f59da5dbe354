#include <inttypes.h>
#include <string.h>

#include "profile/assets.h"
#include "profile/picture.h"

#define EXACT_MAX (1ll << 53) /* beyond, a JSON number would be rounded: a string then */

/* The boxes that are written, in the order of a walk, and the numbers of their frames. */
struct page {
	const struct picture *pic;
	struct buffer *out;
	uint32_t *nodes;
	uint32_t n_nodes;
	uint32_t *frame_numbers; /* of each tree frame, + 1; 0: not used */
	uint32_t *frames;        /* tree frame and a node that has it, of each number */
	uint32_t *frame_nodes;
	uint32_t n_frames;
};

static void page_done(struct page *page)
{
	free(page->nodes);
	free(page->frame_numbers);
	free(page->frames);
	free(page->frame_nodes);
}

static void use_node(struct page *page, uint32_t node)
{
	uint32_t frame = tree_node(page->pic->tree, node)->frame;

	page->nodes[page->n_nodes++] = node;
	if (frame == TREE_NONE || page->frame_numbers[frame])
		return;
	page->frames[page->n_frames] = frame;
	page->frame_nodes[page->n_frames] = node;
	page->frame_numbers[frame] = ++page->n_frames;
}

static int collect(struct page *page)
{
	const struct picture *pic = page->pic;
	uint32_t node = 0;

	page->nodes = calloc(tree_n_nodes(pic->tree), sizeof(*page->nodes));
	page->frame_numbers = calloc((size_t)tree_n_frames(pic->tree) + 1, sizeof(*page->frame_numbers));
	page->frames = calloc((size_t)tree_n_frames(pic->tree) + 1, sizeof(*page->frames));
	page->frame_nodes = calloc((size_t)tree_n_frames(pic->tree) + 1, sizeof(*page->frame_nodes));
	if (!page->nodes || !page->frame_numbers || !page->frames || !page->frame_nodes)
		return -ENOMEM;
	while (pic->x[0] >= 0 && node != TREE_NONE) {
		if (pic->x[node] >= 0)
			use_node(page, node);
		node = picture_next(pic, node);
	}
	return 0;
}

static void put_integer(struct buffer *out, int64_t value)
{
	bool is_exact = value < EXACT_MAX && value > -EXACT_MAX;

	(void)buffer_printf(out, is_exact ? "%" PRId64 : "\"%" PRId64 "\"", value);
}

/* One array over all boxes. */
static void put_column(struct page *page, const char *name, int64_t (*get)(const struct page *page, uint32_t node))
{
	(void)buffer_printf(page->out, ",\n\"%s\":[", name);
	for (uint32_t i = 0; i < page->n_nodes; i++) {
		if (i > 0)
			(void)buffer_append(page->out, ",", 1);
		put_integer(page->out, get(page, page->nodes[i]));
	}
	(void)buffer_append(page->out, "]", 1);
}

static const struct tree_node *node_of(const struct page *page, uint32_t node)
{
	return tree_node(page->pic->tree, node);
}

static int64_t get_depth(const struct page *page, uint32_t node)
{
	return node_of(page, node)->depth;
}

static int64_t get_frame(const struct page *page, uint32_t node)
{
	uint32_t frame = node_of(page, node)->frame;

	return frame == TREE_NONE ? -1 : (int64_t)page->frame_numbers[frame] - 1;
}

static int64_t get_value(const struct page *page, uint32_t node)
{
	return node_of(page, node)->total[0].value;
}

static int64_t get_count(const struct page *page, uint32_t node)
{
	return node_of(page, node)->total[0].count;
}

static int64_t get_self(const struct page *page, uint32_t node)
{
	return node_of(page, node)->self[0].value;
}

static int64_t get_value_after(const struct page *page, uint32_t node)
{
	return node_of(page, node)->total[1].value;
}

static int64_t get_count_after(const struct page *page, uint32_t node)
{
	return node_of(page, node)->total[1].count;
}

static int64_t get_step(const struct page *page, uint32_t node)
{
	return picture_diff_step(page->pic, node) + PICTURE_DIFF_STEPS;
}

static void put_frames(struct page *page)
{
	struct buffer *out = page->out;

	(void)buffer_append_string(out, ",\n\"frames\":[");
	for (uint32_t i = 0; i < page->n_frames; i++) {
		const struct tree_frame *f = tree_frame(page->pic->tree, page->frames[i]);
		_cleanup_buffer_ struct buffer place = BUFFER(8192), verdict = BUFFER(512);

		(void)picture_place(f, &place);
		(void)picture_verdict(page->pic, page->frame_nodes[i], &verdict);
		(void)buffer_append_string(out, i ? ",\n[" : "\n[");
		(void)picture_json(out, f->name, f->name_size, FLAMEGRAPH_NAME_MAX);
		(void)buffer_printf(out, ",%d,%u,", f->kind, picture_shade(f));
		(void)picture_json(out, place.data ? place.data : "", place.size, FLAMEGRAPH_NAME_MAX);
		if (verdict.size) {
			(void)buffer_append(out, ",", 1);
			(void)picture_json(out, verdict.data, verdict.size, 0);
		}
		(void)buffer_append(out, "]", 1);
	}
	(void)buffer_append(out, "]", 1);
}

static void put_colours(struct page *page)
{
	struct buffer *out = page->out;

	(void)buffer_append_string(out, ",\n\"kinds\":[");
	for (int kind = 0; kind < FRAME_KINDS; kind++) {
		(void)buffer_printf(out, "%s[\"%s\",%u", kind ? "," : "", frame_kind_name((enum frame_kind)kind),
		        page->pic->kinds >> kind & 1);
		for (unsigned shade = 0; shade < PICTURE_SHADES; shade++)
			(void)buffer_printf(out, ",\"#%06x\"", picture_colour((enum frame_kind)kind, shade));
		(void)buffer_append(out, "]", 1);
	}
	(void)buffer_append_string(out, "],\n\"steps\":[");
	for (int step = -PICTURE_DIFF_STEPS; step <= PICTURE_DIFF_STEPS; step++)
		(void)buffer_printf(
		        out, "%s\"#%06x\"", step == -PICTURE_DIFF_STEPS ? "" : ",", picture_diff_colour(step));
	(void)buffer_append(out, "]", 1);
}

static int put_data(struct page *page)
{
	const struct picture *pic = page->pic;
	struct buffer *out = page->out;

	(void)buffer_append_string(out, "{\"type\":");
	(void)picture_json(out, pic->type, strlen(pic->type), FLAMEGRAPH_NAME_MAX);
	(void)buffer_append_string(out, ",\"unit\":");
	(void)picture_json(out, pic->unit, strlen(pic->unit), FLAMEGRAPH_NAME_MAX);
	(void)buffer_printf(out, ",\"isDiff\":%s,\"scale\":[%.17g,%.17g]", pic->diff ? "true" : "false", pic->scale[0],
	        pic->scale[1]);
	put_colours(page);
	put_frames(page);
	put_column(page, "depth", get_depth);
	put_column(page, "frame", get_frame);
	put_column(page, "value", get_value);
	put_column(page, "count", get_count);
	if (pic->diff) {
		put_column(page, "valueAfter", get_value_after);
		put_column(page, "countAfter", get_count_after);
		put_column(page, "step", get_step);
	} else
		put_column(page, "self", get_self);
	return buffer_append_string(out, "}");
}

static void put_head(struct buffer *out, const struct picture *pic)
{
	(void)buffer_printf(out,
	        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-%s'; "
	        "script-src 'sha256-%s'; base-uri 'none'; form-action 'none'\">\n"
	        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
	        asset_html_css_sha256, asset_html_js_sha256);
	(void)picture_escape(out, pic->title, strlen(pic->title), FLAMEGRAPH_NAME_MAX);
	(void)buffer_append_string(out, "</title>\n<style>");
	(void)buffer_append(out, asset_html_css, asset_html_css_size);
	(void)buffer_append_string(out, "</style>\n</head>\n<body>\n<header>\n<div id=\"what\">\n<h1>");
	(void)picture_escape(out, pic->title, strlen(pic->title), FLAMEGRAPH_NAME_MAX);
	(void)buffer_append_string(out, "</h1>\n<p id=\"subtitle\">");
	(void)picture_escape(out, pic->subtitle, strlen(pic->subtitle), FLAMEGRAPH_NAME_MAX);
	(void)buffer_append_string(out,
	        "</p>\n<p id=\"legend\"></p>\n</div>\n<div id=\"bar\">\n"
	        "<span id=\"matched\" aria-live=\"polite\"></span>\n"
	        "<input id=\"search\" type=\"search\" placeholder=\"Search (regular expression)\" "
	        "aria-label=\"Search functions by regular expression\">\n"
	        "<button id=\"reset\" type=\"button\" disabled>Reset zoom</button>\n"
	        "<button id=\"list\" type=\"button\" aria-pressed=\"false\">Functions</button>\n"
	        "<button id=\"flip\" type=\"button\" aria-pressed=\"false\">Flip</button>\n"
	        "<button id=\"theme\" type=\"button\">Dark</button>\n</div>\n"
	        "<p id=\"details\" aria-live=\"polite\"></p>\n</header>\n"
	        "<noscript><p>This page needs its own script to draw; an SVG made by the same command does "
	        "not.</p></noscript>\n"
	        "<main>\n<div id=\"graph\"><canvas id=\"canvas\" tabindex=\"0\" role=\"application\" "
	        "aria-label=\"Flame graph. Arrow keys move between frames, Enter zooms, Escape resets, slash "
	        "searches.\" "
	        "aria-describedby=\"details\"></canvas></div>\n<div id=\"functions\" hidden></div>\n</main>\n"
	        "<div id=\"tip\" hidden></div>\n");
}

static int write_html(
        const struct profile *before, const struct profile *p, const struct flamegraph_options *o, struct buffer *out)
{
	_cleanup_(picture_done) struct picture pic = { 0 };
	_cleanup_(page_done) struct page page = { .pic = &pic, .out = out };
	double width = o->width ? o->width : FLAMEGRAPH_WIDTH;
	size_t start = out->size;
	int r;

	r = picture_make(before, p, o, &(struct picture_limits){ .least = 0.1 / (width * FLAMEGRAPH_HTML_ZOOM) }, &pic);
	if (r < 0)
		return r;
	r = collect(&page);
	if (r < 0)
		return r;
	put_head(out, &pic);
	(void)buffer_append_string(out, "<script id=\"data\" type=\"application/json\">");
	(void)put_data(&page);
	(void)buffer_append_string(out, "</script>\n<script>");
	(void)buffer_append(out, asset_html_js, asset_html_js_size);
	(void)buffer_append_string(out, "</script>\n</body>\n</html>\n");
	if (out->error) {
		out->size = start;
		return out->error == -E2BIG ? -ENOSPC : out->error;
	}
	return 0;
}

int flamegraph_html(const struct profile *p, const struct flamegraph_options *o, struct buffer *out)
{
	return write_html(NULL, p, o, out);
}

int flamegraph_diff_html(const struct profile *before, const struct profile *after, const struct flamegraph_options *o,
        struct buffer *out)
{
	return write_html(before, after, o, out);
}
