/* The probes of one process: whether they are wanted, whether they are in, and the way in between, which takes the
 * kernel tens of milliseconds and is gone in a thread of its own (uprobe_queue.h).
 *
 *            want(true)                work done
 *    OUT ───────────────▶ GOING IN ───────────────▶ IN
 *     ▲                                              │ want(false)
 *     └──────────────── GOING OUT ◀──────────────────┘
 *        work done
 *
 * What is wanted may change on the way: the way is gone to its end, then the next one begins. Probes that are in stay
 * in while those of further files join them. The dynamic linker's probe is in as long as there is a file for it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>
#include "base/cleanup.h"
#include "daemon/heap_programs.h"
#include "daemon/heap_sites.h"

struct heap_probing;
struct heap_probings;

#define HEAP_ALLOCATORS_MAX 8   /* files with an allocator, of one process */
#define HEAP_PROBINGS_MAX 1024u /* those whose process is gone and that are on their way out included */

/* Of all processes. What programs has is copied; the programs, the loop and all allocators that are added must outlive
 * it. Freeing it waits until all probes of those that were let go are out. */
int heap_probings_new(sd_event *loop, const struct heap_programs *programs, struct heap_probings **ret);
struct heap_probings *heap_probings_free(struct heap_probings *all);
DEFINE_CLEANUP(struct heap_probings *, heap_probings_free)
/* How many there are, those that were let go and are still on their way out included. */
size_t heap_probings_n(const struct heap_probings *all);
/* Dynamic linkers are not watched from the next way on, as there are too many processes for a link more of each. */
void heap_probings_set_crowded(struct heap_probings *all, bool is_crowded);

/* changed is called on the loop when a way has been gone, whatever came of it. may_step: sites that the kernel must
 * single-step are probed as well. -EAGAIN: HEAP_PROBINGS_MAX. */
int heap_probing_new(struct heap_probings *all, pid_t pid, uint64_t start_ns, bool may_step,
        void (*changed)(void *userdata), void *userdata, struct heap_probing **ret);
/* Lets it go: nothing is told any more, its probes go out in their time. NULL in, NULL out. */
struct heap_probing *heap_probing_free(struct heap_probing *p);
DEFINE_CLEANUP(struct heap_probing *, heap_probing_free)

/* A file whose allocator is to be probed, too. Known ones are passed over (0; else 1); -ENOSPC: HEAP_ALLOCATORS_MAX. */
int heap_probing_add(struct heap_probing *p, const struct heap_allocator *a);
size_t heap_probing_files(const struct heap_probing *p, const struct heap_allocator *const **ret);
/* The file of its dynamic linker, which is another one after an exec. */
void heap_probing_set_loader(struct heap_probing *p, const struct heap_allocator *a);
/* What is in is put in anew: the kernel follows the first thread, and that is another one after an exec by any other.
 */
void heap_probing_renew(struct heap_probing *p);

/* calls_only: no frees; where in is true and it differs from what is in, all goes out and in again. */
void heap_probing_want(struct heap_probing *p, bool in, bool calls_only);
bool heap_probing_is_wanted(const struct heap_probing *p);
/* Probes are wanted and in, of each file that the kernel lets us probe. */
bool heap_probing_is_in(const struct heap_probing *p);
bool heap_probing_is_on_its_way(const struct heap_probing *p);
/* None is wanted, in, or on its way out. */
bool heap_probing_is_out(const struct heap_probing *p);
