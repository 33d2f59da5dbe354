/* Windows of a store as the series that profile/leak.h judges. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "profile/leak.h"
#include "store/selection.h"
#include "store/store.h"

struct leak_windows_options {
	bool is_baseline;                                                /* of a time that is known to be healthy */
	size_t newest;                                                   /* only so many, the newest; 0: all */
	void (*progress)(void *userdata, uint64_t done, uint64_t total); /* NULL: nobody waits */
	void *userdata;
};

/* Adds the windows of a selection in order of time; what merged files hold has no order any more. A broken file is
 * missing; so is a window that tells only what outlived a stretch of probing, which is no series. options may be NULL.
 * Adds to *ret_n how many came in. Negative errno where nothing can be read or leaks_add() fails. */
int leak_windows_add(struct store *s, const struct selection *sel, const struct leak_windows_options *options,
        struct leaks *leaks, uint64_t *ret_n);
