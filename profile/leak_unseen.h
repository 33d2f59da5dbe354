/* What is not seen of a process where series are judged (leak.h): windows of which it is not known what it held, and
 * growth that is none: objects that come into view as they take the place of others that were allocated before anybody
 * looked. A source that counts all frees of a process can tell how many were of objects that it had not seen
 * (daemon/heap_unseen.h); what stack those belonged to nobody knows. So each growing stack of the process is taken to
 * have replaced as many as it grew by, as long as there are any: first those that free most of what they allocate, as
 * caches do. What is left may have been anybody's. What chance may have made counts for nothing (two standard errors).
 *
 * Objects, not bytes. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"

struct leak_unseen;

int leak_unseen_new(struct leak_unseen **ret);
struct leak_unseen *leak_unseen_free(struct leak_unseen *u);
DEFINE_CLEANUP(struct leak_unseen *, leak_unseen_free)

/* Windows count from 0, in order; processes and series are small numbers. What a process said of a window
 * (window_labels.h): of one window the first counts. */
int leak_unseen_note(struct leak_unseen *u, uint32_t process, uint32_t window, int64_t frees, int64_t error);
/* Of this window it is not known what the process held: growth goes from the window before to the next one. */
int leak_unseen_add_gap(struct leak_unseen *u, uint32_t process, uint32_t window);
bool leak_unseen_is_gap(const struct leak_unseen *u, uint32_t process, uint32_t window);
/* What a series of a process held at the end of a window and allocated in it; several are added up. */
int leak_unseen_add(
        struct leak_unseen *u, uint32_t process, uint32_t window, uint32_t series, int64_t held, int64_t allocated);

/* After the last window: ret[series] is the part of its growth since the first window, 0 to 1, that such frees may
 * explain; n: series. */
int leak_unseen_explain(const struct leak_unseen *u, uint32_t last_window, double *ret, size_t n);
