#include "daemon/code.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "bpf/unwind.skel.h"
#include "daemon/accounting.h"
#include "daemon/code_table.h"
#include "daemon/identities.h"
#include "daemon/symbolizer.h"
#include "symbolizer/answer.h"

#define ASKED_AT_A_TIME 2
#define KEPT_FDS_MAX 128
/* Rows are brought in ahead of page misses while the pool has room: of a sampled file more readily. */
#define FILL_SAMPLED_PERCENT 75
#define FILL_EXPECTED_PERCENT 40
#define FILL_EVERY_US 2000
#define FILL_PAGES 64
#define ROW_BLOCKS_MIN 4096
#define ASK_AGAIN_MAX 64 /* coarse seconds */

/* What a request to the symbolizer carries: the table may have moved on when the answer comes. */
struct job {
	struct code *code;
	uint32_t id;
};

static void pump(struct code *c);
static void fill(struct code *c);

/* ---- the kernel's table ----------------------------------------------------------------------------------------- */

uint32_t code_now(void)
{
	return COARSE_SECONDS(clock_now_ns(CLOCK_BOOTTIME));
}

static int table_fd(const struct code *c)
{
	return bpf_map__fd(c->maps->maps.file_table);
}

struct file_entry code_entry_told(struct code *c, uint32_t index)
{
	struct file_entry e = { 0 };

	(void)bpf_map_lookup_elem(table_fd(c), &index, &e);
	return e;
}

/* Keeps what the programs write. */
void code_entry_publish(struct code *c, uint32_t index, uint32_t flags, const struct rows_file *rows, uint32_t asked)
{
	struct file_entry e = code_entry_told(c, index);

	e.flags = flags;
	e.asked = asked;
	e.first_slot = e.first_page = e.n_pages = 0;
	if (rows)
		rows_file_entry(rows, &e);
	(void)bpf_map_update_elem(table_fd(c), &index, &e, BPF_ANY);
}

static uint32_t index_of(const struct code_entry *e)
{
	return e->file.id & (FILES_MAX - 1);
}

uint32_t code_id(struct code *c, uint32_t index)
{
	return index < FILES_MAX ? c->generations[index] << INDEX_BITS | index : FILE_UNKNOWN;
}

static struct code_entry *entry_get(struct code *c, uint32_t id)
{
	struct code_entry *e = c->entries[id & (FILES_MAX - 1)];

	return e && e->file.id == id ? e : NULL;
}

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

static struct reach entry_reach(const struct code_entry *e)
{
	return (struct reach){
		.key = e->key,
		.pid = e->pid,
		.path = e->path,
		.start = e->start,
		.end = e->end,
		.is_exe = e->is_exe,
	};
}

static void entry_drop_fd(struct code *c, struct code_entry *e)
{
	if (e->fd >= 0 && e->state == CODE_STATE_DONE && index_of(e) >= FILE_FIRST)
		c->n_kept--;
	e->fd = close_fd(e->fd);
}

static void drop_oldest_kept(struct code *c)
{
	struct code_entry *oldest = NULL;
	uint32_t oldest_used = 0;

	for (uint32_t i = FILE_FIRST; i < FILES_MAX; i++) {
		struct code_entry *e = c->entries[i];
		uint32_t used;

		if (!e || e->fd < 0 || e->state != CODE_STATE_DONE)
			continue;
		used = code_entry_told(c, i).used;
		if (!oldest || used < oldest_used) {
			oldest = e;
			oldest_used = used;
		}
	}
	if (oldest)
		entry_drop_fd(c, oldest);
}

/* The work is done: the descriptor stays only where the path would not lead back to the file. It pins the file system,
 * so there are few. */
static void entry_done(struct code *c, struct code_entry *e)
{
	struct reach reach = entry_reach(e);

	if (index_of(e) < FILE_FIRST) {
		e->state = CODE_STATE_DONE;
		return;
	}
	if (e->fd >= 0 && reach_by_path(&reach))
		e->fd = close_fd(e->fd);
	if (e->fd >= 0) {
		if (c->n_kept >= KEPT_FDS_MAX)
			drop_oldest_kept(c);
		c->n_kept++;
	}
	e->state = CODE_STATE_DONE;
}

int code_open(struct code *c, uint32_t id)
{
	struct code_entry *e = entry_get(c, id);
	struct reach reach;
	int fd;

	if (!e)
		return -ENOENT;
	if (e->fd >= 0) {
		char link[64];

		/* a new description: its own position, and the symbolizer may have it for long */
		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", e->fd);
		fd = open(link, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	reach = entry_reach(e);
	fd = reach_open(&reach);
	return fd == -ESTALE ? -ENOENT : fd;
}

/* ---- learning about a file -------------------------------------------------------------------------------------- */

static void hex(char *to, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)snprintf(to + 2 * i, 3, "%02x", bytes[i]);
}

static void filled(struct code *c, struct code_entry *e)
{
	TAILQ_REMOVE(&c->filling, e, queue);
	e->is_filling = false;
}

/* A few pages of the first file that waits; the rest at the next turn. */
static void fill(struct code *c)
{
	struct code_entry *e = TAILQ_FIRST(&c->filling);
	unsigned percent;

	if (!e)
		return;
	percent = e->is_sampled ? FILL_SAMPLED_PERCENT : FILL_EXPECTED_PERCENT;
	if (rows_fill(c->rows, e->rows, &e->fill_cursor, FILL_PAGES, percent) == 0)
		filled(c, e);
	if (!TAILQ_EMPTY(&c->filling)) {
		(void)sd_event_source_set_time_relative(c->fill_timer, FILL_EVERY_US);
		(void)sd_event_source_set_enabled(c->fill_timer, SD_EVENT_ONESHOT);
	}
}

static int on_fill(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	fill(userdata);
	return 0;
}

static void entry_rows(struct code *c, struct code_entry *e, struct rows_file *rows)
{
	e->rows = rows;
	code_entry_publish(c, index_of(e), FILE_ENTRY_KNOWN | FILE_ENTRY_ROWS, rows, 0);
	entry_done(c, e);
	e->is_filling = true;
	TAILQ_INSERT_TAIL(&c->filling, e, queue);
	fill(c);
}

static void entry_without_rows(struct code *c, struct code_entry *e, uint32_t flags)
{
	code_entry_publish(c, index_of(e), FILE_ENTRY_KNOWN | flags, NULL, 0);
	entry_done(c, e);
}

static struct code_entry *job_end(struct job *j)
{
	struct code_entry *e = entry_get(j->code, j->id);

	j->code->n_asked--;
	free(j);
	return e && e->state == CODE_STATE_ASKED ? e : NULL;
}

static int ask(struct code *c, struct code_entry *e, enum symbolizer_kind kind, symbolizer_done_t done)
{
	struct job *j = malloc(sizeof(*j));
	int r;

	if (!j)
		return -ENOMEM;
	*j = (struct job){ .code = c, .id = e->file.id };
	r = symbolizer_request(c->config.symbolizer, kind, 0, &e->fd, 1, NULL, 0, done, j);
	if (r < 0) {
		free(j);
		return r;
	}
	c->n_asked++;
	e->state = CODE_STATE_ASKED;
	return 0;
}

/* Asks for another event later, and later still each time: another process may have the file then. */
static void entry_unreached(struct code *c, struct code_entry *e)
{
	uint32_t wait = 2u << MIN(e->tries, 5u);

	e->tries++;
	e->file.flags |= CODE_UNREADABLE;
	code_entry_publish(c, index_of(e), 0, NULL, code_now() + MIN(wait, (uint32_t)ASK_AGAIN_MAX));
}

/* A request failed: what kind of file is it? */
static void entry_failed(struct code *c, struct code_entry *e, int result)
{
	if (result == -ECHILD) { /* says nothing about the file: another event may ask again */
		e->state = CODE_STATE_UNREACHED;
		e->fd = close_fd(e->fd);
		entry_unreached(c, e);
		return;
	}
	c->failed++;
	if (result == -EOWNERDEAD || result == -ETIMEDOUT)
		e->file.flags |= CODE_POISONED;
	if ((result == -EBADMSG || result == -ENODATA || result == -ENOEXEC) && !(e->file.flags & CODE_IDENTIFIED)) {
		e->file.flags |= CODE_NOT_ELF;
		entry_without_rows(c, e, FILE_ENTRY_ANONYMOUS);
		return;
	}
	entry_without_rows(c, e, FILE_ENTRY_NO_ROWS);
}

static void rows_done(void *userdata, int result, const void *answer, size_t size)
{
	struct job *j = userdata;
	struct code *c = j->code;
	struct code_entry *e = job_end(j);
	struct rows_file *rows;

	if (!e || result == -ECANCELED)
		return;
	if (result == 0)
		result = rows_file_make(c->rows, e->file_id, answer, size, &rows);
	if (result == 0) {
		c->rows_made++;
		entry_rows(c, e, rows);
	} else {
		log_debug("no unwind rows of %s: %s", e->path, strerror(-result));
		entry_failed(c, e, result);
	}
	pump(c);
}

/* An executable whose rows are wanted: from the cache, else from the symbolizer. */
static void entry_want_rows(struct code *c, struct code_entry *e)
{
	struct rows_file *rows;
	int r;

	r = rows_file_open(c->rows, e->file_id, &rows);
	if (r == 0) {
		c->rows_from_cache++;
		entry_rows(c, e, rows);
		return;
	}
	if (r == -ENOENT || r == -EBADMSG)
		r = ask(c, e, SYMBOLIZER_ROWS, rows_done);
	if (r < 0)
		entry_failed(c, e, r);
}

static void entry_identified(struct code *c, struct code_entry *e, const struct symbolizer_identity *id)
{
	e->file.identity = *id;
	if (id->build_id_size > 0)
		hex(e->file_id, id->build_id, id->build_id_size);
	else
		hex(e->file_id, id->htlhash, sizeof(id->htlhash));
	e->file.flags |= CODE_IDENTIFIED;
	if (id->flags & IDENTITY_IS_GO)
		entry_without_rows(c, e, FILE_ENTRY_FRAME_POINTERS);
	else if (id->flags & IDENTITY_HAS_EH_FRAME)
		entry_want_rows(c, e);
	else
		entry_without_rows(c, e, FILE_ENTRY_NO_ROWS);
}

static void identify_done(void *userdata, int result, const void *answer, size_t size)
{
	struct symbolizer_identity id;
	struct job *j = userdata;
	struct code *c = j->code;
	struct code_entry *e = job_end(j);

	if (!e || result == -ECANCELED)
		return;
	if (result == 0)
		result = answer_identity(answer, size, &id);
	if (result == 0 && index_of(e) >= FILE_FIRST && c->identities)
		identities_put(c->identities, &e->key, &id);
	if (result == 0)
		entry_identified(c, e, &id);
	else
		entry_failed(c, e, result);
	pump(c);
}

/* The next one whose turn it is: an expected file only while the symbolizer has nothing else to do, because a sampled
 * one may come at any time and would wait for it. */
static struct code_queue *next_queue(struct code *c)
{
	if (!TAILQ_EMPTY(&c->sampled))
		return c->n_asked < ASKED_AT_A_TIME ? &c->sampled : NULL;
	return c->n_asked == 0 && !TAILQ_EMPTY(&c->expected) ? &c->expected : NULL;
}

/* Keeps a few requests with the symbolizer; the rest waits here, so that a sampled file overtakes an expected one. */
static void pump(struct code *c)
{
	struct code_queue *q;

	while ((q = next_queue(c))) {
		struct code_entry *e = TAILQ_FIRST(q);
		int r;

		TAILQ_REMOVE(q, e, queue);
		r = ask(c, e, SYMBOLIZER_IDENTIFY, identify_done);
		if (r < 0)
			entry_failed(c, e, r);
	}
}

int code_busy(const struct code *c)
{
	return c->n_asked > 0 || !TAILQ_EMPTY(&c->sampled);
}

/* ---- entries ---------------------------------------------------------------------------------------------------- */

void code_entry_free(struct code *c, struct code_entry *e)
{
	if (!e)
		return;
	if (e->state == CODE_STATE_QUEUED) {
		if (e->is_sampled)
			TAILQ_REMOVE(&c->sampled, e, queue);
		else
			TAILQ_REMOVE(&c->expected, e, queue);
	}
	if (e->is_filling)
		filled(c, e);
	c->entries[index_of(e)] = NULL;
	c->n_entries--;
	entry_drop_fd(c, e);
	rows_file_free(c->rows, e->rows);
	free(e->path);
	free(e);
}

static struct code_entry *entry_new(struct code *c, uint32_t index, const struct file_key *key, const char *path)
{
	struct code_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->path = strdup(path);
	if (!e->path) {
		free(e);
		return NULL;
	}
	e->key = *key;
	e->fd = -1;
	e->file = (struct code_file){
		.id = code_id(c, index),
		.path = e->path,
		.file_id = e->file_id,
		.inode = key->inode,
		.size_bytes = key->size_bytes,
		.mtime_ns = key->mtime_ns,
	};
	c->entries[index] = e;
	c->n_entries++;
	return e;
}

static void entry_queue(struct code *c, struct code_entry *e)
{
	struct symbolizer_identity known;

	/* an expected one is not "known" yet: its first sample still sends an event, and moves it ahead */
	if (e->is_sampled)
		code_entry_publish(c, index_of(e), FILE_ENTRY_KNOWN, NULL, 0);
	if (!c->config.symbolizer) {
		entry_without_rows(c, e, FILE_ENTRY_NO_ROWS);
		return;
	}
	if (index_of(e) >= FILE_FIRST && c->identities && identities_get(c->identities, &e->key, &known) == 0) {
		entry_identified(c, e, &known);
		return;
	}
	e->state = CODE_STATE_QUEUED;
	if (e->is_sampled)
		TAILQ_INSERT_TAIL(&c->sampled, e, queue);
	else
		TAILQ_INSERT_TAIL(&c->expected, e, queue);
	pump(c);
}

/* A file that was only expected has been sampled. */
static void entry_promote(struct code *c, struct code_entry *e)
{
	e->is_sampled = true;
	code_entry_publish(c, index_of(e), FILE_ENTRY_KNOWN, NULL, 0);
	if (e->state == CODE_STATE_QUEUED) {
		TAILQ_REMOVE(&c->expected, e, queue);
		TAILQ_INSERT_TAIL(&c->sampled, e, queue);
		pump(c);
	}
}

void code_meet(struct code *c, uint32_t index, const struct code_meeting *m)
{
	struct code_entry *e = c->entries[index];
	int fd;

	if (e && memcmp(&e->key, &m->reach.key, sizeof(e->key)) != 0) {
		code_entry_free(c, e);
		c->generations[index]++;
		e = NULL;
	}
	if (e && m->is_sampled && !e->is_sampled && (e->state == CODE_STATE_QUEUED || e->state == CODE_STATE_ASKED))
		entry_promote(c, e);
	if (e && (e->state != CODE_STATE_UNREACHED || e->leaving_ns))
		return;
	if (!e)
		e = entry_new(c, index, &m->reach.key, m->reach.path);
	if (!e)
		return;
	if (m->is_deleted)
		e->file.flags |= CODE_DELETED;
	e->pid = m->reach.pid;
	e->start = m->reach.start;
	e->end = m->reach.end;
	e->is_exe = m->reach.is_exe;
	e->is_sampled = m->is_sampled;
	fd = reach_open(&m->reach);
	if (fd < 0) {
		log_debug("cannot reach %s of process %d: %s", e->path, e->pid, strerror(-fd));
		entry_unreached(c, e);
		return;
	}
	e->file.flags &= ~(uint32_t)CODE_UNREADABLE;
	e->fd = fd;
	entry_queue(c, e);
}

int code_allot(struct code *c, const struct file_key *key, uint32_t *ret_index)
{
	int files = bpf_map__fd(c->maps->maps.files), queue = bpf_map__fd(c->maps->maps.free_files);
	uint32_t index;

	if (bpf_map_lookup_elem(files, key, ret_index) == 0)
		return 0;
	if (c->n_entries >= FULL_MARK || bpf_map_lookup_and_delete_elem(queue, NULL, &index) < 0)
		return -ENOSPC;
	if (bpf_map_update_elem(files, key, &index, BPF_NOEXIST) < 0) {
		(void)bpf_map_update_elem(queue, NULL, &index, BPF_ANY);
		return bpf_map_lookup_elem(files, key, ret_index) == 0 ? 0 : -EBUSY;
	}
	*ret_index = index;
	return 1;
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

static int file_event(struct code *c, const struct file_record *r, size_t size)
{
	struct code_meeting m = { .is_sampled = true, .is_deleted = r->flags & FILE_RECORD_DELETED };
	char path[PATH_MAX];
	int n;

	if (size < sizeof(*r) || r->path_bytes > size - sizeof(*r) || r->index < FILE_FIRST || r->index >= FILES_MAX)
		return -EBADMSG;
	n = reach_path((const char *)(r + 1), r->path_bytes, path, sizeof(path));
	if (n < 0)
		return n;
	m.reach = (struct reach){
		.key = r->key,
		.pid = (pid_t)r->pid,
		.path = path,
		.start = r->vma_start,
		.end = r->vma_end,
		.is_exe = r->flags & FILE_RECORD_EXE,
	};
	code_meet(c, r->index, &m);
	return 0;
}

static int page_event(struct code *c, const struct page_record *r, size_t size)
{
	struct code_entry *e;

	if (size < sizeof(*r) || r->index >= FILES_MAX)
		return -EBADMSG;
	c->page_misses++;
	e = c->entries[r->index];
	if (e && e->rows)
		(void)rows_load(c->rows, e->rows, r->page);
	return 0;
}

int code_event(struct code *c, const void *record, size_t size)
{
	const struct record_header *h = record;

	if (size < sizeof(*h))
		return -EBADMSG;
	if (h->kind == RECORD_FILE)
		return file_event(c, record, size);
	return h->kind == RECORD_PAGE ? page_event(c, record, size) : -EBADMSG;
}

/* ---- the vDSO --------------------------------------------------------------------------------------------------- */

static int vdso_meet(struct code *c)
{
	struct file_key none = { 0 };
	struct code_entry *e;
	int fd = code_vdso_copy();

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	e = entry_new(c, FILE_VDSO, &none, "[vdso]");
	if (!e) {
		close_fd(fd);
		return -ENOMEM;
	}
	e->fd = fd;
	e->file.flags |= CODE_VDSO;
	entry_queue(c, e);
	return 0;
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

/* What the budget leaves for rows. */
static uint32_t row_blocks(uint64_t budget)
{
	uint64_t others = (uint64_t)FILES_MAX * (sizeof(struct file_entry) + sizeof(struct file_key) + 80) +
	                  (uint64_t)UNWIND_PAGE_SLOTS * sizeof(struct unwind_page) +
	                  (uint64_t)UNWIND_RULES_MAX * sizeof(struct unwind_rule) +
	                  (uint64_t)libbpf_num_possible_cpus() * 48 * 1024;
	uint64_t blocks = budget > others ? (budget - others) / sizeof(struct unwind_row_block) : 0;

	return (uint32_t)MAX(blocks, (uint64_t)ROW_BLOCKS_MIN);
}

static int maps_new(struct code *c)
{
	uint32_t blocks = row_blocks(c->config.map_bytes ? c->config.map_bytes : CODE_MAP_BYTES_DEFAULT);
	int r;

	c->maps = unwind_bpf__open();
	if (!c->maps)
		return -errno;
	r = bpf_map__set_max_entries(c->maps->maps.unwind_rows, blocks);
	if (r == 0)
		r = unwind_bpf__load(c->maps);
	if (r < 0)
		return r;
	for (uint32_t i = FILE_FIRST; i < FILES_MAX; i++) {
		if (bpf_map_update_elem(bpf_map__fd(c->maps->maps.free_files), NULL, &i, BPF_ANY) < 0)
			return -errno;
	}
	return rows_new(
	        &(struct rows_maps){
	                .pages_fd = bpf_map__fd(c->maps->maps.unwind_pages),
	                .rows_fd = bpf_map__fd(c->maps->maps.unwind_rows),
	                .rules_fd = bpf_map__fd(c->maps->maps.unwind_rules),
	                .page_slots = UNWIND_PAGE_SLOTS,
	                .row_blocks = blocks,
	                .rules = UNWIND_RULES_MAX,
	        },
	        c->config.cache_dirfd, &c->rows);
}

/* libbpf's own lines; whoever calls decides what a failure means. */
static int on_libbpf(enum libbpf_print_level level, const char *format, va_list ap)
{
	char text[512];
	int n;

	if (log_max_level() < LOG_DEBUG || level == LIBBPF_DEBUG)
		return 0;
	n = vsnprintf(text, sizeof(text), format, ap);
	if (n > 0 && (size_t)n < sizeof(text) && text[n - 1] == '\n')
		text[n - 1] = '\0';
	log_debug("%s", text);
	return 0;
}

int code_new(const struct code_config *config, struct code **ret)
{
	_cleanup_(code_freep) struct code *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->config = *config;
	(void)libbpf_set_print(on_libbpf);
	TAILQ_INIT(&c->sampled);
	TAILQ_INIT(&c->expected);
	TAILQ_INIT(&c->filling);
	r = sd_event_add_time_relative(config->event, &c->fill_timer, CLOCK_MONOTONIC, 0, 0, on_fill, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->fill_timer, SD_EVENT_OFF);
	if (r >= 0)
		r = maps_new(c);
	if (r < 0)
		return r;
	if (config->cache_dirfd >= 0 && identities_open(config->cache_dirfd, &c->identities) < 0)
		c->identities = NULL; /* each start asks the symbolizer again then */
	r = vdso_meet(c);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct code *code_free(struct code *c)
{
	if (!c)
		return NULL;
	sd_event_source_disable_unref(c->preload);
	sd_event_source_disable_unref(c->fill_timer);
	for (uint32_t i = 0; i < FILES_MAX; i++)
		code_entry_free(c, c->entries[i]);
	rows_free(c->rows);
	identities_close(c->identities);
	unwind_bpf__destroy(c->maps);
	free(c);
	return NULL;
}

int code_preload(struct code *c)
{
	return c->preload ? 0 : preload_start(c, c->config.event, &c->preload);
}

void preload_done(struct code *c)
{
	c->preload = sd_event_source_disable_unref(c->preload);
}

int code_share_maps(struct code *c, struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, c->maps->obj)
	{
		struct bpf_map *same = bpf_object__find_map_by_name(obj, bpf_map__name(map));
		int r = same ? bpf_map__reuse_fd(same, bpf_map__fd(map)) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

const struct code_file *code_get(struct code *c, uint32_t id)
{
	struct code_entry *e = entry_get(c, id);

	return e ? &e->file : NULL;
}

void code_stats(struct code *c, struct code_stats *ret)
{
	struct rows_stats rows;
	struct bpf_map *map;

	rows_stats(c->rows, &rows);
	*ret = (struct code_stats){
		.files = c->n_entries,
		.files_failed = c->failed,
		.files_room = FILES_MAX - FILE_FIRST,
		.files_recycled = c->recycled,
		.pages_loaded = rows.pages,
		.rows_used = rows.blocks_used * UNWIND_ROWS_PER_BLOCK,
		.rows_room = rows.blocks * UNWIND_ROWS_PER_BLOCK,
		.rules_used = rows.rules_used,
		.rules_room = rows.rules,
		.page_misses = c->page_misses,
		.pages_evicted = rows.evicted,
		.rows_from_cache = c->rows_from_cache,
		.rows_made = c->rows_made,
	};
	for (uint32_t i = 0; i < FILES_MAX; i++)
		ret->files_identified += c->entries[i] && (c->entries[i]->file.flags & CODE_IDENTIFIED);
	bpf_object__for_each_map(map, c->maps->obj) ret->map_bytes += accounting_map_bytes(bpf_map__fd(map));
}

sd_event *code_loop(const struct code *c)
{
	return c->config.event;
}

struct symbolizer *code_symbolizer(const struct code *c)
{
	return c->config.symbolizer;
}
