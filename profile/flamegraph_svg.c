#include <string.h>

#include "base/utf8.h"
#include "profile/assets.h"
#include "profile/picture.h"

#define PAD 10
#define ROW 18
#define HEADER 104
#define CHARACTER 7.23 /* width of a monospace character at 12 px */
#define LEAST_PX 0.1
#define BOXES_MAX 6000 /* some 400 bytes each, 3 MB in all: what a browser shows without a pause */
#define TEXT_PX_MIN 28 /* narrower boxes have no text */
#define CONTROLS_PX 480

static int put_head(struct buffer *out, const struct picture *pic, uint32_t height)
{
	(void)buffer_printf(out,
	        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n"
	        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\" "
	        "role=\"img\" "
	        "aria-labelledby=\"title\">\n<title id=\"title\">",
	        pic->width, height, pic->width, height);
	(void)picture_escape(out, pic->title, strlen(pic->title), FLAMEGRAPH_NAME_MAX);
	(void)buffer_append_string(out, "</title>\n<desc>");
	(void)picture_escape(out, pic->subtitle, strlen(pic->subtitle), FLAMEGRAPH_NAME_MAX);
	(void)buffer_append_string(out, "</desc>\n<style>\n");
	(void)buffer_append(out, asset_svg_css, asset_svg_css_size);
	if (pic->diff)
		for (int step = -PICTURE_DIFF_STEPS; step <= PICTURE_DIFF_STEPS; step++)
			(void)buffer_printf(
			        out, ".d%d{fill:#%06x}\n", step + PICTURE_DIFF_STEPS, picture_diff_colour(step));
	for (int kind = 0; !pic->diff && kind < FRAME_KINDS; kind++)
		for (unsigned shade = 0; (pic->kinds >> kind & 1) && shade < PICTURE_SHADES; shade++)
			(void)buffer_printf(
			        out, ".k%d%u{fill:#%06x}\n", kind, shade, picture_colour((enum frame_kind)kind, shade));
	return buffer_append_string(out, "</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n");
}

static void put_class(struct buffer *out, const struct picture *pic, uint32_t node)
{
	const struct tree_node *n = tree_node(pic->tree, node);

	if (n->frame == TREE_NONE)
		(void)buffer_append_string(out, "all");
	else if (pic->diff)
		(void)buffer_printf(out, "d%d", picture_diff_step(pic, node) + PICTURE_DIFF_STEPS);
	else {
		const struct tree_frame *f = tree_frame(pic->tree, n->frame);

		(void)buffer_printf(out, "k%d%u", f->kind, picture_shade(f));
	}
}

/* The front of a name that fits the box. */
static void put_label(struct buffer *out, const char *name, size_t size, double width)
{
	size_t fits = (size_t)((width - 6) / CHARACTER), at = 0;

	if (size <= fits) {
		(void)picture_escape(out, name, size, 0);
		return;
	}
	for (size_t i = 0; i + 1 < fits && at < size; i++) {
		uint32_t c;

		at += utf8_decode(name + at, size - at, &c);
	}
	(void)picture_escape(out, name, at, 0);
	if (at < size)
		(void)buffer_append_string(out, "\xe2\x80\xa6");
}

static int put_box(struct buffer *out, const struct picture *pic, uint32_t node, struct buffer *scratch)
{
	const struct tree_node *n = tree_node(pic->tree, node);
	double inner = pic->width - 2 * PAD, x = PAD + pic->x[node] * inner, width = picture_weight(pic, node) * inner;
	uint32_t y = HEADER + n->depth * ROW;
	const char *name = "all";
	size_t size = 3;
	int r;

	if (n->frame != TREE_NONE) {
		name = tree_frame(pic->tree, n->frame)->name;
		size = tree_frame(pic->tree, n->frame)->name_size;
	}
	scratch->size = 0;
	r = picture_tooltip(pic, node, scratch);
	if (r < 0)
		return r;
	(void)buffer_append_string(out, "<g class=\"f\"><title>");
	/* A line at a time: a line break is not text. */
	for (size_t at = 0; at < scratch->size;) {
		const char *end = memchr(scratch->data + at, '\n', scratch->size - at);
		size_t length = end ? (size_t)(end - scratch->data) - at : scratch->size - at;

		(void)picture_escape(out, scratch->data + at, length, 0);
		at += length + 1;
		if (at < scratch->size)
			(void)buffer_append(out, "\n", 1);
	}
	(void)buffer_append_string(out, "</title><rect class=\"");
	put_class(out, pic, node);
	(void)buffer_printf(out, "\" x=\"%.4f\" y=\"%u\" width=\"%.4f\" height=\"%u\"/>", x, y, width, ROW - 1);
	if (width >= TEXT_PX_MIN) {
		(void)buffer_printf(out, "<text x=\"%.2f\" y=\"%u\">", x + 3, y + 13);
		put_label(out, name, size, width);
		(void)buffer_append_string(out, "</text>");
	}
	return buffer_append_string(out, "</g>\n");
}

/* In the order of a walk, parents first: the script finds a box's descendants right behind it. */
static int put_boxes(struct buffer *out, const struct picture *pic)
{
	_cleanup_buffer_ struct buffer scratch = BUFFER(FLAMEGRAPH_BYTES_MAX);
	uint32_t node = 0;
	int r;

	(void)buffer_append_string(out, "<g id=\"frames\">\n");
	while (node != TREE_NONE && pic->x[0] >= 0) {
		if (pic->x[node] >= 0) {
			r = put_box(out, pic, node, &scratch);
			if (r < 0)
				return r;
		}
		node = picture_next(pic, node);
	}
	if (pic->x[0] < 0)
		(void)buffer_printf(out,
		        "<text class=\"empty\" x=\"%d\" y=\"%d\">The profile holds no samples of this type.</text>\n",
		        PAD, HEADER + 24);
	return buffer_append_string(out, "</g>\n");
}

static void put_chip(struct buffer *out, double *x, uint32_t colour, const char *text)
{
	(void)buffer_printf(out,
	        "<rect class=\"chip\" x=\"%.1f\" y=\"56\" width=\"13\" height=\"13\" fill=\"#%06x\"/>"
	        "<text class=\"muted\" x=\"%.1f\" y=\"67\">%s</text>\n",
	        *x, colour, *x + 18, text);
	*x += 18 + 7.3 * (double)strlen(text) + 16;
}

static void put_legend(struct buffer *out, const struct picture *pic)
{
	double x = PAD;

	(void)buffer_append_string(out, "<g id=\"legend\">\n");
	if (pic->diff) {
		put_chip(out, &x, picture_diff_colour(-PICTURE_DIFF_STEPS), "gone");
		put_chip(out, &x, picture_diff_colour(-PICTURE_DIFF_STEPS / 2), "shrank");
		put_chip(out, &x, picture_diff_colour(0), "as before");
		put_chip(out, &x, picture_diff_colour(PICTURE_DIFF_STEPS / 2), "grew");
		put_chip(out, &x, picture_diff_colour(PICTURE_DIFF_STEPS), "new");
		(void)buffer_printf(out, "<text class=\"muted\" x=\"%.1f\" y=\"67\">pale: may be chance</text>\n", x);
	}
	for (int kind = 0; !pic->diff && kind < FRAME_KINDS; kind++)
		if (pic->kinds >> kind & 1)
			put_chip(out, &x, picture_colour((enum frame_kind)kind, 0),
			        frame_kind_name((enum frame_kind)kind));
	(void)buffer_append_string(out, "</g>\n");
}

static size_t characters_in(double px, double character)
{
	return px > 4 * character ? (size_t)(px / character) : 4;
}

/* Last in the file, so that it lies over boxes that scroll below it. */
static void put_header(struct buffer *out, const struct picture *pic)
{
	double room = pic->width > 3 * CONTROLS_PX / 2 ? pic->width - CONTROLS_PX - PAD : pic->width - 2 * PAD;

	(void)buffer_printf(out,
	        "<g id=\"header\">\n<rect class=\"page\" width=\"%u\" height=\"%d\"/>\n<text class=\"title\" x=\"%d\" "
	        "y=\"26\">",
	        pic->width, HEADER - 4, PAD);
	(void)picture_escape(out, pic->title, strlen(pic->title), characters_in(room, 10.9));
	(void)buffer_printf(out, "</text>\n<text class=\"muted\" x=\"%d\" y=\"46\">", PAD);
	(void)picture_escape(out, pic->subtitle, strlen(pic->subtitle), characters_in(room, CHARACTER));
	(void)buffer_append_string(out, "</text>\n");
	put_legend(out, pic);
	(void)buffer_printf(out, "<text id=\"details\" x=\"%d\" y=\"90\"></text>\n</g>\n", PAD);
}

static int write_svg(
        const struct profile *before, const struct profile *p, const struct flamegraph_options *o, struct buffer *out)
{
	_cleanup_(picture_done) struct picture pic = { 0 };
	double width = o->width ? o->width : FLAMEGRAPH_WIDTH;
	size_t start = out->size;
	int r;

	r = picture_make(before, p, o,
	        &(struct picture_limits){ .least = LEAST_PX / (width - 2 * PAD), .boxes_max = BOXES_MAX }, &pic);
	if (r < 0)
		return r;
	(void)put_head(out, &pic, HEADER + MAX(pic.rows, 3u) * ROW + PAD);
	r = put_boxes(out, &pic);
	if (r < 0) {
		out->size = start;
		return r == -E2BIG ? -ENOSPC : r;
	}
	put_header(out, &pic);
	(void)buffer_append_string(out, "<script><![CDATA[\n");
	(void)buffer_append(out, asset_svg_js, asset_svg_js_size);
	(void)buffer_append_string(out, "]]></script>\n</svg>\n");
	if (out->error) {
		out->size = start;
		return out->error == -E2BIG ? -ENOSPC : out->error;
	}
	return 0;
}

int flamegraph_svg(const struct profile *p, const struct flamegraph_options *o, struct buffer *out)
{
	return write_svg(NULL, p, o, out);
}

int flamegraph_diff_svg(const struct profile *before, const struct profile *after, const struct flamegraph_options *o,
        struct buffer *out)
{
	return write_svg(before, after, o, out);
}
