/* Number labels that say something of the window that a sample is of, not of the sample itself: each sample of a
 * process has the same. Merging windows drops them. */
#pragma once

/* Of heap: so many frees in the window were of objects that nobody had seen being allocated, and the standard error of
 * that (daemon/heap_unseen.h). */
#define WINDOW_LABEL_UNSEEN_FREES "unseen_frees"
#define WINDOW_LABEL_UNSEEN_ERROR "unseen_frees_error"
/* 1: what is told as in use outlived a stretch of probing only; what is in use is not known (docs/profiles/heap.md). */
#define WINDOW_LABEL_SURVIVORS "survivors"

#define WINDOW_LABELS WINDOW_LABEL_UNSEEN_FREES, WINDOW_LABEL_UNSEEN_ERROR, WINDOW_LABEL_SURVIVORS
