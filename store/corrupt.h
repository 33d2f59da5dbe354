/* Files that cannot be read: set aside in STORE/corrupt by whoever finds one and may write, named and counted; the
 * oldest of them go when there are too many. */
#pragma once
#include "store/handle.h"
#include "store/name.h"

#define CORRUPT_NAMED_MAX 16
#define CORRUPT_BYTES_MAX (64ull << 20)
#define CORRUPT_FILES_MAX 1000

struct corrupt {
	uint64_t n;
	char named[CORRUPT_NAMED_MAX][STORE_PATH_MAX]; /* the first of them, where they are now */
};

/* Of what reading a profile returned: whether the file itself is to blame. */
bool corrupt_is(int r);
/* Counts and names a file. */
void corrupt_note(struct corrupt *list, const char *path);
/* Moves it to STORE/corrupt/<type>-<name>, takes it out of the index, and notes where it is now. -EROFS, -EACCES where
 * we may not: it is not noted. */
int corrupt_set_aside(struct store *s, const char *path, struct corrupt *list);
/* Down to CORRUPT_BYTES_MAX, oldest first; half of the files where there are too many. ret_bytes: what is left. */
int corrupt_trim(struct store *s, uint64_t *ret_bytes, uint64_t *ret_removed);
