/* What both forms of a flame graph share: the tree with its layout and all texts, ready to be written as SVG or HTML.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/buffer.h"
#include "profile/diff.h"
#include "profile/flamegraph.h"
#include "profile/tree.h"

#define PICTURE_SHADES 4     /* of each kind: neighbours are told apart */
#define PICTURE_DIFF_STEPS 6 /* of red and of blue */

struct picture {
	struct tree *tree;
	struct diff *diff; /* NULL: not differential */
	char *title;
	char *subtitle;                       /* what, how much, when, losses */
	const char *unit, *type, *count_noun; /* borrowed from the profile */
	uint32_t width;
	double scale[TREE_SIDES]; /* value -> fraction of the picture's width */
	uint32_t kinds;           /* bit of each kind that is drawn */
	uint32_t rows;            /* of boxes that are drawn at the least width */
	double *x;                /* of each node: its left end as a fraction; < 0: not drawn */
	uint32_t n_left_out;      /* boxes that are too narrow, or too many */
	double left_out;          /* so much of the whole is not drawn to its full depth for it */
};

/* Which boxes are left out; the subtitle says how many. */
struct picture_limits {
	double least;       /* those narrower than this fraction of the width */
	uint32_t boxes_max; /* the narrowest, where there are more; 0: no maximum */
};

/* before: NULL for a plain flame graph. */
int picture_make(const struct profile *before, const struct profile *p, const struct flamegraph_options *o,
        const struct picture_limits *limits, struct picture *ret);
void picture_done(struct picture *pic);

/* Part of picture_make(): what changed, for the verdicts. */
int picture_compare(struct picture *pic, const struct profile *before, const struct profile *after,
        const struct flamegraph_options *o);

/* A node's width as a fraction of the picture's. */
double picture_weight(const struct picture *pic, uint32_t node);
/* 0..PICTURE_SHADES-1, the same for the same name. */
unsigned picture_shade(const struct tree_frame *f);
/* The next node of a walk, parents first, without the descendants of nodes that are not drawn; TREE_NONE at its end. */
uint32_t picture_next(const struct picture *pic, uint32_t node);
/* 0xrrggbb. */
uint32_t picture_colour(enum frame_kind kind, unsigned shade);
uint32_t picture_diff_colour(int step);
/* -PICTURE_DIFF_STEPS (all gone) .. PICTURE_DIFF_STEPS (all new). */
int picture_diff_step(const struct picture *pic, uint32_t node);
/* The change of the node's function is not known to be more than chance. */
bool picture_is_chance(const struct picture *pic, uint32_t node);
/* What a function's change is worth, as a sentence; "" where it is not known. */
int picture_verdict(const struct picture *pic, uint32_t node, struct buffer *out);

/* Text as it may stand in XML and in HTML text or a quoted attribute: markup escaped, what XML does not allow replaced,
 * the middle of more than max characters left out (0: no maximum). */
int picture_escape(struct buffer *out, const char *s, size_t n, size_t max);
/* The same without escapes: one line of plain text. */
int picture_clean(struct buffer *out, const char *s, size_t n, size_t max);
/* The same as a JSON string with its quotes that may stand in an HTML script element. */
int picture_json(struct buffer *out, const char *s, size_t n, size_t max);
/* "kernel · vmlinux · fs/read_write.c:600", plain text. */
int picture_place(const struct tree_frame *f, struct buffer *out);
/* What a tool tip says, lines ended by "\n", not escaped. */
int picture_tooltip(const struct picture *pic, uint32_t node, struct buffer *out);
/* "1,234,567". */
int picture_number(struct buffer *out, int64_t value);
/* "1,234,567 samples", "1 object". */
int picture_count(const struct picture *pic, struct buffer *out, int64_t n);
