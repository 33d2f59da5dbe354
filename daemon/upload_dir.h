/* Protocol=pprof-dir, the parent's half: files appear under their name when they are whole, and go when they are old or
 * too many. Only files that are named as ours are ever removed. */
#pragma once
#include <stdint.h>

#define UPLOAD_DIR_NAME_MAX 260

/* A new file under a temporary name. ret_name: the final one, made from a spool entry's name
 * ("cpu-20261122T221000Z-web1.pb.zst" becomes "cpu-20261122T221000Z-web1.pb.gz"). */
int upload_dir_open(int dirfd, const char *entry, char ret_name[UPLOAD_DIR_NAME_MAX], int *ret_fd);
int upload_dir_commit(int dirfd, const char *name);
void upload_dir_abort(int dirfd, const char *name);
/* Removes files older than max_age_ns, and the oldest while all together are over max_bytes. Returns how many went. */
int upload_dir_trim(int dirfd, uint64_t max_age_ns, uint64_t max_bytes);
