#include "daemon/identities.h"

#include <fcntl.h>
#include <string.h>
#include <xxhash.h>
#include "base/fd.h"
#include "symbolizer/answer.h"

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
	if (p.magic != IDENTITIES_MAGIC || memcmp(&p.key, key, sizeof(*key)) != 0 || p.check != check_of(&p))
		return -ENOENT;
	return answer_identity(&p.identity, sizeof(p.identity), ret) < 0 ? -ENOENT : 0;
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
