/* What the ledger says of a window of heap: how far its numbers may be off, what probing took, and what was not seen.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct heap_process;
struct heap_stretch;
struct source_instance;
struct source_note;

struct heap_ledger {
	/* added up by the source within a window */
	double error_bytes2, common_bytes; /* squares of what is off by chance; what is off alike in all processes */
	double told_bytes, cost_ns, paid_ns;
	uint64_t stretches, whole_stretches, whole_ns;
	bool has_survivors;
	/* processes and what is not probed of them, those that are gone included */
	uint64_t refused, unknown, over, waiting;
	uint64_t unprobed; /* never: over before, or no budget left for them */
	uint32_t full;     /* processes beyond the limit, in all; stays */
};

/* One of those in which a process whose probes come out now and then was probed: what is in use is not known then. */
void heap_ledger_add_stretch(struct heap_ledger *l, const struct heap_stretch *s);

/* Of a process, at a window's end: what it cost and how far it may be off, which begins anew with it. */
void heap_ledger_take(struct heap_ledger *l, struct heap_process *p);
/* The same, or when it ends: what of it is not probed. */
void heap_ledger_note(struct heap_ledger *l, struct heap_process *p);

/* Objects that the programs' tables had no room for: allocated, but never told as in use. */
uint64_t heap_ledger_lost_calls(struct source_instance *i);

#define HEAP_LEDGER_NOTES 13

/* sampling: relative standard error of the total by sampling alone. dropped: objects that are not followed. Returns how
 * many notes, at most HEAP_LEDGER_NOTES; the next window begins. */
unsigned heap_ledger_tell(struct heap_ledger *l, double sampling, uint64_t dropped, struct source_note *ret);
