#include "daemon/identities.h"

#include <fcntl.h>
#include <string.h>
#include <xxhash.h>
#include "base/fd.h"

#define PLACES 4096 /* 1.6 MB at most; the file has holes */
#define IDENTITIES_MAGIC 0x31444952424d45ull
#define IDENTITIES_FILE "identities"

struct identities {
	int fd;
};

struct place {
	uint64_t magic;
	uint64_t check; /* hash of what follows: a torn write is no answer */
	struct file_key key;
	struct symbolizer_identity identity;
};

static uint64_t check_of(const struct place *p)
{
	return XXH3_64bits(&p->key, sizeof(*p) - offsetof(struct place, key));
}

static uint64_t position(const struct file_key *key)
{
	return XXH3_64bits(key, sizeof(*key)) % PLACES * sizeof(struct place);
}

int identity_check(const struct symbolizer_identity *identity)
{
	if (identity->n_segments > SYMBOLIZER_SEGMENTS_MAX || identity->build_id_size > BUILD_ID_BYTES_MAX)
		return -EBADMSG;
	return memchr(identity->debug_link, '\0', sizeof(identity->debug_link)) ? 0 : -EBADMSG;
}

int identities_open(int cache_dirfd, struct identities **ret)
{
	struct identities *t;
	int fd = openat(cache_dirfd, IDENTITIES_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	if (fd < 0)
		return -errno;
	t = malloc(sizeof(*t));
	if (!t) {
		close_fd(fd);
		return -ENOMEM;
	}
	t->fd = fd;
	*ret = t;
	return 0;
}

struct identities *identities_close(struct identities *t)
{
	if (t)
		close_fd(t->fd);
	free(t);
	return NULL;
}

int identities_get(struct identities *t, const struct file_key *key, struct symbolizer_identity *ret)
{
	struct place p;

	if (fd_pread_full(t->fd, &p, sizeof(p), position(key)) < 0)
		return -ENOENT;
	if (p.magic != IDENTITIES_MAGIC || memcmp(&p.key, key, sizeof(*key)) != 0 || p.check != check_of(&p) ||
	        identity_check(&p.identity) < 0)
		return -ENOENT;
	*ret = p.identity;
	return 0;
}

void identities_put(struct identities *t, const struct file_key *key, const struct symbolizer_identity *identity)
{
	struct place p;

	memset(&p, 0, sizeof(p));
	p.magic = IDENTITIES_MAGIC;
	p.key = *key;
	p.identity = *identity;
	p.check = check_of(&p);
	(void)fd_pwrite_full(t->fd, &p, sizeof(p), position(key)); /* a full disk only costs the next start a request */
}
