/* Ticks that tell how far the probed processes come on their own, in user mode: by a PMU's count of instructions where
 * there is one, else by the CPUs' clocks. Many while probes are in that will come out again, as a program that is
 * slowed down much comes only a little way meanwhile; few else. By the clock as many come as take a tenth of the time,
 * from whatever runs there, so not for long: for a twentieth of the time, or they are a little fewer. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "daemon/heap_process.h"

struct heap_bpf;
struct heap_ticks;

/* skel is borrowed, and loaded; own_ns: of CPU time that a tick of the CPU's clock takes. No tick comes yet. */
int heap_ticks_new(struct heap_bpf *skel, double own_ns, struct heap_ticks **ret);
struct heap_ticks *heap_ticks_free(struct heap_ticks *t);
DEFINE_CLEANUP(struct heap_ticks *, heap_ticks_free)

/* Ticks come on all CPUs that are online: call it to begin, then about once a second. */
int heap_ticks_follow(struct heap_ticks *t);
/* Whether many are wanted: to be told when that changes, and some times a second while they are. */
void heap_ticks_want_many(struct heap_ticks *t, bool many);
/* Progress that one tick stands for: now, if as many come as can, and if few do. Without what it takes itself. */
double heap_ticks_progress(const struct heap_ticks *t);
double heap_ticks_progress_of_many(const struct heap_ticks *t);
double heap_ticks_progress_of_few(const struct heap_ticks *t);
/* A tick that falls due while a probe of the process is handled comes down right after it, and does not count. */
void heap_ticks_note_places(struct heap_ticks *t, const struct heap_process *p);
