/* What was learned of programs (executables) whose processes have come and gone: one that makes many short ones would
 * otherwise be taken to cost what our own process does, as none of them lives long enough to teach anything.
 *
 * Pure: numbers in, numbers out. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* What tells what a hit costs, added up. */
struct heap_lesson {
	double in_cpu, in_hits, in_own; /* probes in: CPU time without samples and ticks, hits, own progress */
	double out_cpu, out_progress;   /* out */
};

#define HEAP_LESSONS_MAX 64 /* the programs that were last heard of */

struct heap_lessons {
	struct heap_learned {
		uint64_t program, used; /* 0: nobody's */
		struct heap_lesson lesson;
	} learned[HEAP_LESSONS_MAX];
	uint64_t uses;
};

/* program 0 is not known: nothing is kept of it, and nothing known. */
void heap_lessons_keep(struct heap_lessons *l, uint64_t program, const struct heap_lesson *lesson);
/* All zeros where nothing is known. */
struct heap_lesson heap_lessons_recall(struct heap_lessons *l, uint64_t program);
