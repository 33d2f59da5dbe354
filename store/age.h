/* How old a stored file is, in a world where clocks jump. The wall clock may be set years ahead by mistake; retention
 * that believed it would delete everything at once. So ages are told by a clock of the store's own, kept in the index:
 * it follows the wall clock, but after a jump ahead (or a long time switched off) it catches up at AGE_CATCH_UP times
 * real time at most; it never goes back. A clock set right again within the hour has then cost nothing. */
#pragma once
#include <stdint.h>
#include "store/index.h"

#define AGE_CATCH_UP 24

/* The store's clock, without moving it. Never later than the wall clock. */
int64_t age_now(struct index *x);
/* Moves it. boottime_ns and boot_id tell how much real time has passed since the last time; wall_ns is what the wall
 * clock says. */
int age_advance(struct index *x, int64_t wall_ns, int64_t boottime_ns, int64_t boot_id);
/* The same with the machine's clocks. */
int age_tick(struct index *x);
/* What the age of a window that was just gathered counts from: its start where that is plausible, else now. */
int64_t age_of_new(int64_t now_ns, int64_t start_ns);
/* Of a file that was found: its start, but not one that lies in the future. */
int64_t age_of_found(int64_t now_ns, int64_t start_ns);
