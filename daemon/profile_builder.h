/* From addresses with their names to a struct profile as docs/formats say: locations, mappings and labels of one
 * window. Knows nothing of time, of the event loop or of where names come from. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "daemon/cgroups.h"
#include "daemon/environment.h"
#include "daemon/code.h"
#include "daemon/source.h"
#include "daemon/symbol_table.h"
#include "daemon/window.h"
#include "profile/profile.h"

#define PROFILE_KERNEL_MAPPING "[kernel.kallsyms]"
#define PROFILE_ANONYMOUS_MAPPING "[anon]"
#define PROFILE_UNKNOWN_MAPPING "[unknown]"

struct profile_builder;

/* What one window says of itself. */
struct window_facts {
	const struct source *source;
	int64_t period;
	uint64_t rate;                              /* in force; 0: none */
	uint64_t start_ns;                          /* wall */
	uint64_t duration_ns;                       /* monotonic */
	uint64_t lost, throttled;                   /* samples */
	uint64_t cost_cpu_ns;                       /* of emberd, its children and its programs meanwhile */
	struct source_note notes[SOURCE_NOTES_MAX]; /* more lines of the ledger */
	unsigned n_notes;
};

int profile_builder_new(const struct window *w, const struct window_facts *facts, struct profile_builder **ret);
struct profile_builder *profile_builder_free(struct profile_builder *b);
DEFINE_CLEANUP(struct profile_builder *, profile_builder_free)

/* Frames of the window, named by a table or (NULL) not at all. Each frame is given once; one that never is stays
 * unknown. file: as identified, NULL for anonymous memory. */
int profile_builder_kernel(
        struct profile_builder *b, const uint32_t *frames, size_t n, const struct symbol_table *table);
int profile_builder_file(struct profile_builder *b, const uint32_t *frames, size_t n, const struct code_file *file,
        const struct symbol_table *table);
int profile_builder_anonymous(
        struct profile_builder *b, const uint32_t *frames, size_t n, const struct symbol_table *table);

/* Puts the samples in. code, cgroups and environment may be NULL. *ret belongs to the caller. */
int profile_builder_finish(struct profile_builder *b, struct code *code, struct cgroups *cgroups,
        struct environment *environment, const char *host, struct profile **ret);
