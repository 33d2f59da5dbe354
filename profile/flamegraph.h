/* Flame graphs: a call tree drawn as boxes, root on top, as wide as their values. One file that needs nothing else: SVG
 * (also good as a still picture in <img>, where no script runs) or an HTML page. Both have search by regular expression
 * with the share that matches, zoom, reset, tool tips and the keyboard; both are safe whatever the names hold: names
 * are text in an XML or JSON string, never markup, and the page's content security policy allows its own script only.
 *
 * Colours tell native, inlined, kernel and JIT frames (and those of other kinds, frame.h) apart; the legend shows the
 * ones that occur. Boxes under 0.1 px are left out of an SVG; the page holds FLAMEGRAPH_HTML_ZOOM times finer ones, so
 * that zooming in shows more.
 *
 * A differential one folds two profiles together. A box is as wide as the sum of both sides, so what vanished is
 * still there to see; red grew, blue shrank, the stronger the larger the relative change; pale where the change of the
 * function is not more than chance (diff.h). Normalized, each side counts as shares of its total. */
#pragma once
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/buffer.h"
#include "profile/diff.h"
#include "profile/profile.h"

#define FLAMEGRAPH_WIDTH 1600
#define FLAMEGRAPH_WIDTH_MIN 300
#define FLAMEGRAPH_WIDTH_MAX 20000
#define FLAMEGRAPH_BYTES_MAX ((size_t)256 << 20) /* a good maximum for the buffer */
#define FLAMEGRAPH_NAME_MAX 1000                 /* characters of a name; the middle of a longer one is left out */
#define FLAMEGRAPH_HTML_ZOOM 100

/* group_by of flamegraph_options. */
#define FLAMEGRAPH_GROUP_DEFAULT "comm"

struct flamegraph_options {
	uint32_t value_index;        /* of the sample type to draw */
	uint32_t value_index_before; /* differential: the same for the first profile */
	const char *title;           /* NULL: made from the profile */
	uint32_t width;              /* 0: FLAMEGRAPH_WIDTH */
	const regex_t *hide;         /* frames that match are left out, their values stay with their callers */
	const char *group_by;        /* label that makes the first row, FLAMEGRAPH_GROUP_DEFAULT; NULL: no such row */
	bool normalize;              /* differential: compare shares, not values */
	/* Differential: the same two profiles in parts, for better verdicts (diff.h); NULL: the whole is the only part.
	 */
	const struct diff_side *parts_before, *parts_after;
};

/* -EINVAL: no such value index; -ENOSPC: tree or picture too large; -ENOMEM. A profile without samples is a picture
 * that says so. */
int flamegraph_svg(const struct profile *p, const struct flamegraph_options *o, struct buffer *out);
int flamegraph_html(const struct profile *p, const struct flamegraph_options *o, struct buffer *out);

int flamegraph_diff_svg(const struct profile *before, const struct profile *after, const struct flamegraph_options *o,
        struct buffer *out);
int flamegraph_diff_html(const struct profile *before, const struct profile *after, const struct flamegraph_options *o,
        struct buffer *out);
