/* Who may be probed now, where more processes are to be probed than are at a time. Each has a link of its own in the
 * kernel, and a place in a file keeps a list of the links of all processes: every hit walks it (about 4 % of a hit's
 * price for each link), and so does each link that goes out, for every process that has the file mapped. So 500
 * processes of one program would pay twenty times as much as one. There are so many places, then: who has one keeps it
 * for a turn, longer where nobody waits, and who has waited longest is next.
 *
 * Pure: times in, decisions out. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* A process's part, zeroed at first; heap_turns_leave() before it is freed. */
struct heap_turn {
	bool has_place, is_waiting;
	bool was_in, has_waited; /* since the last heap_turn_was_left_out() */
	uint64_t since_ns;       /* it has its place */
	uint64_t asked;          /* round */
	TAILQ_ENTRY(heap_turn) link;
};

struct heap_turns {
	size_t places, taken;
	size_t leaving; /* probes of those that are gone, on their way out: they hold places, too */
	uint64_t turn_ns, round;
	TAILQ_HEAD(, heap_turn) waiting;
};

void heap_turns_init(struct heap_turns *t, size_t places, uint64_t turn_ns);
/* All that have something to ask do so at least once in HEAP_TURNS_ROUNDS rounds: who does not is no longer waiting. */
#define HEAP_TURNS_ROUNDS 32
void heap_turns_next_round(struct heap_turns *t, size_t leaving);

/* Whether it has a place, now or already; else it waits and is to ask again. */
bool heap_turns_ask(struct heap_turns *t, struct heap_turn *p, uint64_t now_ns);
/* It has had its turn, and another one waits: its probes are to go out. */
bool heap_turns_is_over(const struct heap_turns *t, const struct heap_turn *p, uint64_t now_ns);
/* Its probes are out, or it is gone. */
void heap_turns_leave(struct heap_turns *t, struct heap_turn *p);

/* Whether it has only waited since the last time that this was asked. */
bool heap_turn_was_left_out(struct heap_turn *p);
