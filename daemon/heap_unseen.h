/* Frees of objects from before a process's probes went in. As a cache is replaced, the part of it that nobody saw being
 * allocated comes into view, and in use grows although the program holds no more. But its frees are seen, all of them,
 * and those of objects that were seen are known by sampling: what is left is of objects that were not.
 *
 * Pure: counts in, numbers out. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct heap_unseen {
	uint64_t frees;           /* until the window began */
	double freed, variance;   /* of sampled objects, by what each stands for; square of its standard error */
	double all, all_variance; /* not seen, in all windows that are over */
};

/* From now on frees are seen; so many were counted before. */
void heap_unseen_open(struct heap_unseen *u, uint64_t frees);
/* A sampled object is freed that stands for so many. */
void heap_unseen_note(struct heap_unseen *u, double weight);
/* With so many frees counted by now: how many of this window's were of objects that were not seen, which by chance may
 * be less than none, and its standard error. false: in all windows so far chance may have made them (two standard
 * errors). */
bool heap_unseen_frees(const struct heap_unseen *u, uint64_t frees, int64_t *ret, int64_t *ret_error);
/* The window is over. */
void heap_unseen_begin_window(struct heap_unseen *u, uint64_t frees);
