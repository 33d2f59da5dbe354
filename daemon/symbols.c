#include "daemon/symbols.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/debug_files.h"
#include "daemon/kallsyms.h"

#define DEBUG_DIRECTORIES_MAX 16
#define POISONED_MAX 256
#define USED_AGAIN_SEC 3600 /* a file's time is set anew at most this often */

struct symbols {
	struct symbolizer *symbolizer;
	int cache_dirfd, dirfd; /* dirfd: symbols/ */
	bool inlines;
	char *debug_directories[DEBUG_DIRECTORIES_MAX];
	size_t n_debug_directories;
	uint64_t cache_bytes;
	uint64_t poisoned[POISONED_MAX]; /* hashes of cache names whose request killed the symbolizer; a ring */
	unsigned n_poisoned;
	struct symbols_stats stats;
};

struct request {
	struct symbols *symbols;
	char name[SYMBOL_TABLE_NAME_MAX]; /* in the cache; "" where nothing is cached */
	struct symbol_table *known;
	uint64_t *missing;
	uint32_t n_missing;
	bool is_kernel, is_live; /* is_live: asked of /proc/kallsyms itself, not of the copy */
	symbols_done_t done;
	void *userdata;
};

static struct request *request_free(struct request *q)
{
	if (q) {
		symbol_table_free(q->known);
		free(q->missing);
		free(q);
	}
	return NULL;
}
DEFINE_CLEANUP(struct request *, request_free)

/* ---- poisoned files ---------------------------------------------------------------------------------------------- */

static bool is_poisoned(const struct symbols *s, const char *name)
{
	uint64_t hash = XXH3_64bits(name, strlen(name));

	for (unsigned i = 0; i < MIN(s->n_poisoned, (unsigned)POISONED_MAX); i++)
		if (s->poisoned[i] == hash)
			return *name != '\0';
	return false;
}

static void poison(struct symbols *s, const char *name)
{
	if (*name)
		s->poisoned[s->n_poisoned++ % POISONED_MAX] = XXH3_64bits(name, strlen(name));
}

/* ---- one request ------------------------------------------------------------------------------------------------- */

/* A table that says of each query that it has no name: the file has no symbols, or none that can be read. */
static int make_unknown(const uint64_t *queries, uint32_t n, struct symbol_table **ret)
{
	struct {
		struct symbols_header h;
		char rest[];
	} * answer;
	size_t size = sizeof(*answer) + (n + 1) * sizeof(uint32_t) + 1;
	int r;

	answer = calloc(1, size);
	if (!answer)
		return -ENOMEM;
	answer->h = (struct symbols_header){ .magic = SYMBOLS_MAGIC, .n_queries = n, .string_bytes = 1 };
	r = symbol_table_from_answer(queries, n, answer, size, ret);
	free(answer);
	return r;
}

/* BPF programs come and go at one address: their names must not outlive them. */
static bool is_lasting(const struct request *q, const struct symbol_table *t)
{
	if (!q->is_kernel)
		return true;
	for (uint32_t i = 0; i < q->n_missing; i++) {
		const struct symbols_frame *f;

		if (symbol_table_find(t, q->missing[i], &f) > 0 &&
		        strcmp(symbol_table_string(t, f->module), "bpf") == 0)
			return false;
	}
	return true;
}

/* What is to be known of the missing ones now. */
static int take_answer(struct request *q, int result, const void *answer, size_t bytes)
{
	_cleanup_(symbol_table_freep) struct symbol_table *fresh = NULL, *both = NULL;
	struct symbols *s = q->symbols;
	int r;

	if (result == 0)
		r = symbol_table_from_answer(q->missing, q->n_missing, answer, bytes, &fresh);
	else if (result == -ENODATA || result == -EBADMSG || result == -E2BIG)
		r = make_unknown(q->missing, q->n_missing, &fresh);
	else
		r = result;
	if (r < 0)
		return r;
	if (q->known) {
		r = symbol_table_merge(q->known, fresh, &both);
		if (r < 0)
			return r;
		symbol_table_free(q->known);
		q->known = TAKE_PTR(both);
	} else {
		q->known = TAKE_PTR(fresh);
	}
	if (*q->name && s->dirfd >= 0 && is_lasting(q, q->known)) {
		r = symbol_table_write(q->known, s->dirfd, q->name);
		if (r < 0)
			log_debug("symbols of %s are not cached: %s", q->name, strerror(-r));
	}
	return 0;
}

static void request_finish(struct request *q)
{
	q->done(q->userdata, q->known);
	request_free(q);
}

static void request_send(struct request *q, enum symbolizer_kind kind, int fd, const struct debug_files *debug);

/* Keeps as missing what got no name. */
static void keep_unknown(struct request *q)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < q->n_missing; i++) {
		const struct symbols_frame *f;

		if (!q->known || symbol_table_find(q->known, q->missing[i], &f) <= 0)
			q->missing[n++] = q->missing[i];
	}
	q->n_missing = n;
}

/* What the copy of kallsyms does not know may be a BPF program: ask the kernel. true: under way. */
static bool ask_live(struct request *q)
{
	_cleanup_close_ int fd = -1;

	if (!q->is_kernel || q->is_live)
		return false;
	keep_unknown(q);
	if (q->n_missing == 0)
		return false;
	q->is_live = true;
	fd = kallsyms_open();
	request_send(q, SYMBOLIZER_KALLSYMS, fd, NULL);
	return true;
}

static void on_answer(void *userdata, int result, const void *answer, size_t bytes)
{
	struct request *q = userdata;
	int r = take_answer(q, result, answer, bytes);

	if (r < 0) {
		q->symbols->stats.failures++;
		if (result == -EOWNERDEAD)
			poison(q->symbols, q->name);
		log_debug("no symbols of %s: %s", *q->name ? q->name : "a perf map", strerror(-r));
	}
	if (!ask_live(q))
		request_finish(q);
}

static void load_known(struct request *q)
{
	struct symbols *s = q->symbols;
	struct stat st;
	int r;

	if (!*q->name || s->dirfd < 0)
		return;
	r = symbol_table_read(s->dirfd, q->name, &q->known);
	if (r == -EBADMSG)
		(void)unlinkat(s->dirfd, q->name, 0);
	if (r < 0)
		return;
	if (fstatat(s->dirfd, q->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - st.st_mtime > USED_AGAIN_SEC)
		(void)utimensat(s->dirfd, q->name, NULL, AT_SYMLINK_NOFOLLOW);
}

static int find_missing(struct request *q, const uint64_t *addresses, uint32_t n)
{
	const struct symbols_frame *f;

	q->missing = malloc(MAX(n, 1u) * sizeof(*q->missing));
	if (!q->missing)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		if (!q->known || symbol_table_find(q->known, addresses[i], &f) < 0)
			q->missing[q->n_missing++] = addresses[i];
	q->symbols->stats.from_cache += n - q->n_missing;
	return 0;
}

static int request_new(struct symbols *s, const char *name, const uint64_t *addresses, uint32_t n, symbols_done_t done,
        void *userdata, struct request **ret)
{
	_cleanup_(request_freep) struct request *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return -ENOMEM;
	*q = (struct request){ .symbols = s, .done = done, .userdata = userdata };
	if (snprintf(q->name, sizeof(q->name), "%s", name) >= (int)sizeof(q->name))
		return -ENAMETOOLONG;
	load_known(q);
	r = find_missing(q, addresses, n);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(q);
	return 0;
}

/* Sends the missing ones, or ends the request with what the cache knew. fd < 0: the text cannot be had. */
static void request_send(struct request *q, enum symbolizer_kind kind, int fd, const struct debug_files *debug)
{
	struct symbols *s = q->symbols;
	/* In the order of protocol.h: elf or text; the client adds queries and the answer. */
	int fds[1 + SYMBOLIZER_DEBUG_FILES_MAX] = { fd };
	const size_t n_debug = debug ? debug->n : 0;
	int r = -ENOTCONN;

	if (n_debug > 0)
		memcpy(fds + 1, debug->fds, n_debug * sizeof(*fds));

	if (q->n_missing > 0 && fd >= 0 && s->symbolizer && !is_poisoned(s, q->name)) {
		s->stats.asked += q->n_missing;
		r = symbolizer_request(s->symbolizer, kind, s->inlines ? 0 : SYMBOLIZER_NO_INLINES, fds, 1 + n_debug,
		        q->missing, q->n_missing, on_answer, q);
		if (r >= 0)
			return;
		s->stats.failures++;
	}
	if (q->n_missing > 0)
		s->stats.unknown += q->n_missing;
	request_finish(q);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

int symbols_of_file(struct symbols *s, struct code *code, uint32_t file, const uint64_t *addresses, uint32_t n,
        symbols_done_t done, void *userdata)
{
	_cleanup_(request_freep) struct request *q = NULL;
	_cleanup_(debug_files_done) struct debug_files debug_files = { 0 };
	_cleanup_close_ int fd = -1;
	char name[SYMBOL_TABLE_NAME_MAX], debug[24] = "", hash[17];
	const struct code_file *f = code_get(code, file);
	int r;

	if (!f || !(f->flags & CODE_IDENTIFIED) || !*f->file_id || strchr(f->file_id, '/'))
		return -ENODATA;
	debug_files_find(f, s->debug_directories, s->n_debug_directories, &debug_files);
	/* Other debug information is another answer. */
	if (debug_files.n > 0)
		(void)snprintf(debug, sizeof(debug), "-%016llx", (unsigned long long)debug_files.version);
	/* A stripped file has the build ID of the whole one and fewer names: its own hash tells them apart. */
	for (unsigned i = 0; i < 8; i++)
		(void)snprintf(hash + 2 * i, 3, "%02x", f->identity.htlhash[i]);
	(void)snprintf(name, sizeof(name), "%s-%s%s%s", f->file_id, hash, debug, s->inlines ? "" : "-noinlines");
	r = request_new(s, name, addresses, n, done, userdata, &q);
	if (r < 0)
		return r;
	if (q->n_missing > 0)
		fd = code_open(code, file);
	request_send(TAKE_PTR(q), SYMBOLIZER_SYMBOLS, fd, &debug_files);
	return 0;
}

/* ---- kernel ------------------------------------------------------------------------------------------------------ */

int symbols_of_kernel(struct symbols *s, const uint64_t *addresses, uint32_t n, symbols_done_t done, void *userdata)
{
	_cleanup_(request_freep) struct request *q = NULL;
	char name[KALLSYMS_NAME_MAX];
	_cleanup_close_ int fd = -1;
	int r = kallsyms_name(name);

	if (r < 0)
		return r;
	r = request_new(s, name, addresses, n, done, userdata, &q);
	if (r < 0)
		return r;
	q->is_kernel = true;
	if (q->n_missing > 0 && s->dirfd >= 0)
		fd = kallsyms_open_copy(s->dirfd, name);
	if (q->n_missing > 0 && fd < 0) {
		q->is_live = true;
		fd = kallsyms_open();
	}
	request_send(TAKE_PTR(q), SYMBOLIZER_KALLSYMS, fd, NULL);
	return 0;
}

int symbols_of_perf_map(
        struct symbols *s, int fd, const uint64_t *addresses, uint32_t n, symbols_done_t done, void *userdata)
{
	struct request *q;
	int r = request_new(s, "", addresses, n, done, userdata, &q);

	if (r < 0)
		return r;
	request_send(q, SYMBOLIZER_PERF_MAP, fd, NULL);
	return 0;
}

/* ---- the bound --------------------------------------------------------------------------------------------------- */

#define PRUNE_FILES_MAX 65536

struct cached {
	char *name; /* below the cache directory */
	uint64_t bytes;
	time_t used;
};

struct cached_list {
	struct cached *files;
	size_t n, room;
	uint64_t bytes;
};

static void cached_list_done(struct cached_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->files[i].name);
	free(l->files);
}

static int list_file(struct cached_list *l, const char *directory, const char *name, const struct stat *st)
{
	struct cached c = { .bytes = (uint64_t)st->st_blocks * 512, .used = st->st_mtime };

	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct cached *files = room > PRUNE_FILES_MAX ? NULL : reallocarray(l->files, room, sizeof(*files));

		if (!files)
			return -ENOMEM;
		l->files = files;
		l->room = room;
	}
	if (asprintf(&c.name, "%s/%s", directory, name) < 0)
		return -ENOMEM;
	l->files[l->n++] = c;
	l->bytes += c.bytes;
	return 0;
}

static int list_directory(int cache_dirfd, const char *directory, struct cached_list *l)
{
	_cleanup_close_ int fd = openat(cache_dirfd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_closedir_ DIR *d = NULL;
	int r = 0;

	if (fd < 0)
		return 0;
	d = fdopendir(fd);
	if (!d)
		return -errno;
	fd = -1;
	for (const struct dirent *e; r == 0 && (e = readdir(d));) {
		struct stat st;

		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			r = list_file(l, directory, e->d_name, &st);
	}
	return r;
}

static int compare_used(const void *a, const void *b)
{
	const struct cached *x = a, *y = b;

	return x->used < y->used ? -1 : x->used > y->used;
}

void symbols_prune(struct symbols *s)
{
	_cleanup_(cached_list_done) struct cached_list l = { 0 };
	uint64_t goal = UINT64_MAX;

	if (s->cache_dirfd < 0)
		return;
	(void)list_directory(s->cache_dirfd, "symbols", &l);
	(void)list_directory(s->cache_dirfd, "rows", &l);
	/* Down to nine tenths, so that not every window prunes. */
	if (l.bytes > s->cache_bytes) {
		goal = s->cache_bytes / 10 * 9;
		qsort(l.files, l.n, sizeof(*l.files), compare_used);
	}
	for (size_t i = 0; i < l.n && l.bytes > goal; i++)
		if (unlinkat(s->cache_dirfd, l.files[i].name, 0) == 0)
			l.bytes -= MIN(l.files[i].bytes, l.bytes);
	s->stats.cache_bytes = l.bytes;
	s->stats.cache_files = l.n;
}

/* ---- outside ----------------------------------------------------------------------------------------------------- */

int symbols_set(struct symbols *s, const struct symbols_config *config)
{
	for (size_t i = 0; i < s->n_debug_directories; i++)
		free(s->debug_directories[i]);
	s->n_debug_directories = 0;
	for (size_t i = 0; i < MIN(config->n_debug_directories, (size_t)DEBUG_DIRECTORIES_MAX); i++) {
		char *copy = strdup(config->debug_directories[i]);

		if (!copy)
			return -ENOMEM;
		s->debug_directories[s->n_debug_directories++] = copy;
	}
	s->inlines = config->inlines;
	s->cache_bytes = config->cache_bytes;
	return 0;
}

int symbols_new(const struct symbols_config *config, struct symbols **ret)
{
	_cleanup_(symbols_freep) struct symbols *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->symbolizer = config->symbolizer;
	s->cache_dirfd = config->cache_dirfd;
	s->dirfd = -1;
	r = symbols_set(s, config);
	if (r < 0)
		return r;
	if (s->cache_dirfd >= 0) {
		r = dir_make(s->cache_dirfd, "symbols", 0700);
		if (r < 0)
			return r;
		s->dirfd = openat(s->cache_dirfd, "symbols", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (s->dirfd < 0)
			return -errno;
	}
	*ret = TAKE_PTR(s);
	return 0;
}

struct symbols *symbols_free(struct symbols *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n_debug_directories; i++)
		free(s->debug_directories[i]);
	close_fd(s->dirfd);
	free(s);
	return NULL;
}

void symbols_stats(const struct symbols *s, struct symbols_stats *ret)
{
	*ret = s->stats;
}
