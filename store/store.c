#include "store/store.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "store/age.h"
#include "store/facts.h"
#include "store/handle.h"
#include "store/split.h"
#include "store/write.h"

#define PARTS_MAX 1024u

static void set_host(char to[STORE_HOST_MAX], const char *host)
{
	char name[STORE_HOST_MAX] = "";
	struct store_name n;

	if (!host && gethostname(name, sizeof(name) - 1) == 0)
		host = name;
	store_name_set_host(&n, host ? host : "");
	(void)snprintf(to, STORE_HOST_MAX, "%s", n.host);
}

/* Now, while there is an inode for them: retention must get its lock on a disk that is full. */
static void make_locks(struct store *s)
{
	static const char *const names[] = { STORE_LOCK_INDEX, STORE_LOCK_KEEPER };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)close_fd(openat(s->dir_fd, names[i], O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
}

int store_open(const struct store_options *o, struct store **ret)
{
	_cleanup_(store_closep) struct store *s = calloc(1, sizeof(*s));
	int r;

	assert(o->path);
	assert(ret);

	if (!s)
		return -ENOMEM;
	s->dir_fd = -1;
	s->is_read_only = o->read_only;
	s->max_profile_bytes = o->max_profile_bytes ? o->max_profile_bytes : STORE_MAX_PROFILE_SIZE_DEFAULT;
	set_host(s->host, o->host);
	s->path = strdup(o->path);
	if (!s->path)
		return -ENOMEM;
	if (!o->read_only) {
		r = dir_make(AT_FDCWD, o->path, STORE_DIRECTORY_MODE);
		if (r < 0)
			return r;
	}
	s->dir_fd = open(o->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return -errno;
	if (!o->read_only && faccessat(s->dir_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return -errno;
	if (!o->read_only)
		make_locks(s);
	(void)store_open_index(s); /* without one a writer still writes and a reader walks */
	*ret = TAKE_PTR(s);
	return 0;
}

struct store *store_close(struct store *s)
{
	if (!s)
		return NULL;
	s->index = index_close(s->index);
	(void)close_fd(s->dir_fd);
	free(s->path);
	free(s);
	return NULL;
}

bool store_needs_rebuild(const struct store *s)
{
	return s->needs_rebuild;
}

/* One file of a put. */
struct part {
	struct write_file file;
	struct facts facts;
	uint64_t bytes, raw_bytes;
};

struct put {
	struct store *store;
	const char *type;
	struct store_name name;
	struct trailer trailer;
	struct part *parts;
	uint32_t n;
};

static void put_done(struct put *p)
{
	for (uint32_t i = 0; i < p->n; i++) {
		write_done(&p->parts[i].file);
		facts_done(&p->parts[i].facts);
	}
	free(p->parts);
	trailer_done(&p->trailer);
}

static int prepare_part(struct put *put, const struct profile *p, struct part *part)
{
	_cleanup_buffer_ struct buffer data = BUFFER(UINT32_MAX);
	int r;

	r = write_encode(p, &put->trailer, WRITE_LEVEL_WINDOW, put->store->max_profile_bytes, &data, &part->raw_bytes);
	if (r < 0)
		return r;
	r = facts_make(p, &part->facts);
	if (r < 0)
		return r;
	part->bytes = data.size;
	return write_prepare(put->store, put->type, &put->name, &data, &part->file);
}

static int prepare_parts(struct put *put, const struct profile *p, uint32_t n)
{
	uint32_t n_samples = profile_n_samples(p), done = 0;

	put->parts = calloc(n, sizeof(*put->parts));
	if (!put->parts)
		return -ENOMEM;
	put->n = n;
	put->trailer.n_parts = n;
	for (uint32_t i = 0; i < n; i++)
		put->parts[i].file = WRITE_FILE_INIT;
	for (uint32_t i = 0; i < n; i++) {
		_cleanup_(profile_freep) struct profile *some = NULL;
		uint32_t next = (uint32_t)((uint64_t)n_samples * (i + 1) / n);
		int r;

		put->trailer.part = i + 1;
		if (n > 1) {
			r = split_copy(p, done, next - done, i == 0, &some);
			if (r < 0)
				return r;
		}
		r = prepare_part(put, some ? some : p, &put->parts[i]);
		if (r < 0)
			return r;
		done = next;
	}
	return 0;
}

/* In as few files as the limit allows: 1, 2, 4... A sample alone that is over it cannot be stored: -E2BIG. */
static int prepare(struct put *put, const struct profile *p)
{
	uint32_t n_samples = profile_n_samples(p);
	int r = -E2BIG;

	for (uint32_t n = 1; n <= PARTS_MAX && r == -E2BIG && (n == 1 || n <= n_samples); n *= 2) {
		for (uint32_t i = 0; i < put->n; i++) {
			write_done(&put->parts[i].file);
			facts_done(&put->parts[i].facts);
		}
		put->n = 0;
		free(put->parts);
		put->parts = NULL;
		r = prepare_parts(put, p, n);
	}
	return r;
}

static void take_back(struct put *put, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (put->parts[i].file.path[0] && !put->parts[i].file.temporary[0])
			(void)unlinkat(put->store->dir_fd, put->parts[i].file.path, 0);
}

/* All or none: what got its name before one failed is taken away again. */
static int commit(struct put *put)
{
	for (uint32_t i = 0; i < put->n; i++) {
		int r = write_commit(&put->parts[i].file, put->type, &put->name);

		if (r < 0) {
			take_back(put, i + 1);
			return r;
		}
	}
	return 0;
}

static int put_rows(struct put *put, struct index *x)
{
	int64_t now_ns = age_now(x);

	for (uint32_t i = 0; i < put->n; i++) {
		const struct part *part = &put->parts[i];
		int r = index_put(x,
		        &(struct index_row){
		                .path = part->file.path,
		                .type = put->type,
		                .host = put->name.host,
		                .level = STORE_WINDOW,
		                .start_ns = part->facts.start_ns,
		                .end_ns = part->facts.end_ns,
		                .added_ns = age_of_new(now_ns, part->facts.start_ns),
		                .bytes = part->bytes,
		                .raw_bytes = part->raw_bytes,
		                .n_samples = part->facts.n_samples,
		                .totals = part->facts.totals,
		        },
		        part->facts.labels);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_into_index(struct put *put)
{
	struct index *x;
	int r = store_index(put->store, true, &x);

	if (r < 0)
		return r;
	r = index_begin(x);
	if (r >= 0)
		r = index_end(x, put_rows(put, x));
	if (r == -EBADMSG) { /* broken since it was opened: the next one starts anew */
		put->store->index = index_close(put->store->index);
		put->store->needs_rebuild = true;
	}
	return r;
}

static void tell(const struct put *put, bool is_indexed, struct store_put_result *ret)
{
	*ret = (struct store_put_result){ .n_files = put->n, .is_indexed = is_indexed };
	for (uint32_t i = 0; i < put->n; i++) {
		ret->bytes += put->parts[i].bytes;
		ret->raw_bytes += put->parts[i].raw_bytes;
	}
	(void)snprintf(ret->path, sizeof(ret->path), "%.255s", put->parts[0].file.path);
}

int store_put(
        struct store *s, const char *type, const char *host, const struct profile *p, struct store_put_result *ret)
{
	_cleanup_(put_done) struct put put = { .store = s, .type = type, .trailer = TRAILER_INIT };
	int64_t start_ns = profile_header_const(p)->time_ns;
	int r;

	if (s->is_read_only)
		return -EROFS;
	if (!store_name_type_is_valid(type))
		return -EINVAL;
	put.name.start_s = MAX(start_ns, (int64_t)0) / (int64_t)NS_PER_SEC;
	store_name_set_host(&put.name, host ? host : s->host);
	(void)snprintf(put.trailer.host, sizeof(put.trailer.host), "%s", host ? host : s->host);
	r = prepare(&put, p);
	if (r < 0)
		return r;
	r = commit(&put);
	if (r < 0)
		return r;
	r = put_into_index(&put);
	if (r < 0 && r != -ENOSPC) { /* once more, with the index as it is now */
		s->index = index_close(s->index);
		r = put_into_index(&put);
	}
	if (r == -ENOSPC) { /* room for the file, none for its row: nobody would find it */
		take_back(&put, put.n);
		return r;
	}
	if (ret)
		tell(&put, r >= 0, ret);
	return 0;
}
