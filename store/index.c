#include "store/index.h"

#include <assert.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"

#define DAY_NS (86400 * 1000000000ll)
#define SCHEMA_TEXT(s) #s
#define SCHEMA_NUMBER(n) SCHEMA_TEXT(n)

enum statement {
	GET_META,
	SET_META,
	PUT_FILE,
	REMOVE_FILE,
	HAS_FILE,
	SEAL_FILE,
	PUT_LABEL,
	FIND_LABEL,
	STATEMENTS,
};

static const char *const texts[STATEMENTS] = {
	[GET_META] = "SELECT value FROM meta WHERE name = ?1",
	[SET_META] = "INSERT OR REPLACE INTO meta(name, value) VALUES(?1, ?2)",
	[PUT_FILE] =
	        ("INSERT OR REPLACE INTO file(path, type, host, level, sealed, start_ns, end_ns, added_ns, bytes,"
	         " raw_bytes, samples, totals, labels) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"),
	[REMOVE_FILE] = "DELETE FROM file WHERE path = ?1",
	[HAS_FILE] = "SELECT 1 FROM file WHERE path = ?1",
	[SEAL_FILE] = "UPDATE file SET sealed = ?2 WHERE path = ?1",
	[PUT_LABEL] = "INSERT OR IGNORE INTO label(name, many, value) VALUES(?1, ?2, ?3)",
	[FIND_LABEL] = "SELECT id FROM label WHERE name = ?1 AND many = ?2 AND value = ?3",
};

static const char schema[] =
        "BEGIN IMMEDIATE;"
        "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS file(id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, type TEXT NOT NULL,"
        " host TEXT NOT NULL, level INTEGER NOT NULL, sealed INTEGER NOT NULL, start_ns INTEGER NOT NULL,"
        " end_ns INTEGER NOT NULL, added_ns INTEGER NOT NULL, bytes INTEGER NOT NULL, raw_bytes INTEGER NOT NULL,"
        " samples INTEGER NOT NULL, totals TEXT NOT NULL, labels BLOB NOT NULL);"
        "CREATE INDEX IF NOT EXISTS file_by_type ON file(type, start_ns);"
        "CREATE INDEX IF NOT EXISTS file_by_start ON file(start_ns);"
        "CREATE INDEX IF NOT EXISTS file_by_added ON file(added_ns);"
        "CREATE TABLE IF NOT EXISTS label(id INTEGER PRIMARY KEY, name TEXT NOT NULL, many INTEGER NOT NULL,"
        " value BLOB NOT NULL, UNIQUE(name, many, value));"
        "PRAGMA user_version = " SCHEMA_NUMBER(INDEX_VERSION) ";"
                                                              "COMMIT;";

struct index {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	char *path;
	dev_t dev;
	ino_t ino;
	unsigned depth; /* of index_begin() */
};

static int error_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_IOERR:
		return -EIO;
	default: /* not a database, malformed, a table missing, a value of the wrong kind, a journal we may not replay
	          */
		return -EBADMSG;
	}
}

static int run(sqlite3 *db, const char *sql)
{
	return error_of(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static void finalize(sqlite3_stmt **s)
{
	(void)sqlite3_finalize(*s);
	*s = NULL;
}
#define _cleanup_statement_ _cleanup_(finalize)

struct index *index_close(struct index *x)
{
	if (!x)
		return NULL;
	for (size_t i = 0; i < STATEMENTS; i++)
		(void)sqlite3_finalize(x->statements[i]);
	(void)sqlite3_close_v2(x->db);
	free(x->path);
	free(x);
	return NULL;
}

/* The first row's first column. */
static int ask_number(sqlite3 *db, const char *sql, int64_t *ret)
{
	_cleanup_statement_ sqlite3_stmt *s = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);

	if (code != SQLITE_OK)
		return error_of(code);
	code = sqlite3_step(s);
	if (code != SQLITE_ROW)
		return code == SQLITE_DONE ? -EBADMSG : error_of(code);
	*ret = sqlite3_column_int64(s, 0);
	return 0;
}

/* A broken page shows itself here and not as half an answer later. */
static int check(struct index *x, uint64_t bytes)
{
	_cleanup_statement_ sqlite3_stmt *s = NULL;
	int code;

	if (bytes > INDEX_CHECKED_BYTES_MAX)
		return 0;
	code = sqlite3_prepare_v2(x->db, "PRAGMA quick_check(1)", -1, &s, NULL);
	if (code != SQLITE_OK)
		return error_of(code);
	code = sqlite3_step(s);
	if (code != SQLITE_ROW)
		return code == SQLITE_DONE ? 0 : error_of(code);
	return strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0 ? 0 : -EBADMSG;
}

static int set_up(struct index *x, unsigned flags, uint64_t bytes)
{
	int64_t version;
	int r;

	(void)sqlite3_busy_timeout(x->db, INDEX_BUSY_MS);
	r = run(x->db, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON");
	if (r < 0)
		return r;
	r = ask_number(x->db, "PRAGMA user_version", &version);
	if (r < 0)
		return r;
	if (flags & INDEX_READ_ONLY)
		return version == INDEX_VERSION ? 0 : -EBADMSG;
	r = run(x->db, "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = NORMAL");
	if (r < 0)
		return r;
	if (version != 0 && version != INDEX_VERSION)
		return -EBADMSG;
	if (version == 0) {
		r = run(x->db, schema);
		if (r < 0)
			return r;
	}
	return check(x, bytes);
}

int index_open(const char *directory, unsigned flags, struct index **ret)
{
	_cleanup_(index_closep) struct index *x = calloc(1, sizeof(*x));
	int open_flags = flags & INDEX_READ_ONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	struct stat st = { 0 };
	bool exists;
	int r;

	assert(ret);

	if (!x)
		return -ENOMEM;
	if (asprintf(&x->path, "%s/" INDEX_FILE, directory) < 0) {
		x->path = NULL;
		return -ENOMEM;
	}
	exists = stat(x->path, &st) == 0;
	if (!exists && !(flags & INDEX_CREATE))
		return -errno;
	if (flags & INDEX_CREATE)
		open_flags |= SQLITE_OPEN_CREATE;
	r = error_of(sqlite3_open_v2(x->path, &x->db, open_flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL));
	if (r < 0)
		return r;
	r = set_up(x, flags, (uint64_t)st.st_size);
	if (r < 0)
		return r;
	if (stat(x->path, &st) < 0)
		return -errno;
	x->dev = st.st_dev;
	x->ino = st.st_ino;
	*ret = TAKE_PTR(x);
	return 0;
}

bool index_is_current(const struct index *x)
{
	struct stat st;

	return stat(x->path, &st) == 0 && st.st_dev == x->dev && st.st_ino == x->ino;
}

/* A prepared statement, reset; it is kept for the next time. */
static int statement(struct index *x, enum statement which, sqlite3_stmt **ret)
{
	int code;

	if (!x->statements[which]) {
		code = sqlite3_prepare_v3(
		        x->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, &x->statements[which], NULL);
		if (code != SQLITE_OK)
			return error_of(code);
	}
	*ret = x->statements[which];
	return 0;
}

/* One step; the statement is reset, so that it holds no lock. 1: there was a row, *ret (may be NULL) its first column.
 */
static int step_once(sqlite3_stmt *s, int64_t *ret)
{
	int code = sqlite3_step(s);

	if (code == SQLITE_ROW && ret)
		*ret = sqlite3_column_int64(s, 0);
	(void)sqlite3_reset(s);
	(void)sqlite3_clear_bindings(s);
	return code == SQLITE_ROW ? 1 : error_of(code);
}

static int bind_text(sqlite3_stmt *s, int at, const char *text)
{
	return sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

int index_get_number(struct index *x, const char *name, int64_t *ret)
{
	sqlite3_stmt *s;
	int r = statement(x, GET_META, &s);

	if (r < 0)
		return r;
	(void)bind_text(s, 1, name);
	r = step_once(s, ret);
	return r == 0 ? -ENOENT : r < 0 ? r : 0;
}

int index_set_number(struct index *x, const char *name, int64_t value)
{
	sqlite3_stmt *s;
	int r = statement(x, SET_META, &s);

	if (r < 0)
		return r;
	(void)bind_text(s, 1, name);
	(void)sqlite3_bind_int64(s, 2, value);
	r = step_once(s, NULL);
	return r < 0 ? r : 0;
}

int index_is_complete(struct index *x, bool *ret)
{
	int64_t value;
	int r = index_get_number(x, "complete", &value);

	if (r < 0 && r != -ENOENT)
		return r;
	*ret = r == 0 && value;
	return 0;
}

int index_set_complete(struct index *x, bool complete)
{
	return index_set_number(x, "complete", complete);
}

int index_begin(struct index *x)
{
	int r = 0;

	if (x->depth == 0)
		r = run(x->db, "BEGIN IMMEDIATE");
	if (r >= 0)
		x->depth++;
	return r;
}

int index_end(struct index *x, int result)
{
	int r;

	assert(x->depth > 0);

	if (--x->depth > 0)
		return result;
	if (result >= 0) {
		r = run(x->db, "COMMIT");
		if (r >= 0)
			return result;
		result = r;
	}
	if (!sqlite3_get_autocommit(x->db))
		(void)run(x->db, "ROLLBACK");
	return result;
}

static int label_id(
        struct index *x, const char *name, size_t name_size, const char *value, size_t value_size, int64_t *ret)
{
	static const enum statement order[] = { FIND_LABEL, PUT_LABEL, FIND_LABEL };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		sqlite3_stmt *s;
		int r = statement(x, order[i], &s);

		if (r < 0)
			return r;
		(void)sqlite3_bind_text(s, 1, name, (int)name_size, SQLITE_STATIC);
		(void)sqlite3_bind_int(s, 2, value ? 0 : 1);
		(void)sqlite3_bind_blob(s, 3, value ? value : "", value ? (int)value_size : 0, SQLITE_STATIC);
		r = step_once(s, ret);
		if (r < 0)
			return r;
		if (r > 0)
			return 0;
	}
	return -EBADMSG;
}

static int compare_ids(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* Ids of the labels, sorted; the differences as varints. */
static int make_labels(struct index *x, const struct intern *labels, struct buffer *out)
{
	uint32_t n = intern_count(labels);
	_cleanup_free_ int64_t *ids = malloc((n + 1) * sizeof(*ids));
	int64_t last = 0;

	if (!ids)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		size_t size, name_size;
		const char *entry = intern_get(labels, i, &size);
		int r;

		name_size = strnlen(entry, size);
		r = label_id(x, entry, name_size, name_size < size ? entry + name_size + 1 : NULL,
		        name_size < size ? size - name_size - 1 : 0, &ids[i]);
		if (r < 0)
			return r;
	}
	qsort(ids, n, sizeof(*ids), compare_ids);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t d = (uint64_t)(ids[i] - last);
		unsigned char bytes[10];
		size_t k = 0;

		for (; d >= 0x80; d >>= 7)
			bytes[k++] = (unsigned char)(d | 0x80);
		bytes[k++] = (unsigned char)d;
		(void)buffer_append(out, bytes, k);
		last = ids[i];
	}
	return out->error;
}

int index_labels_each(const void *blob, size_t size, int (*f)(void *, int64_t id), void *data)
{
	const unsigned char *at = blob, *end = at + size;
	int64_t id = 0;
	int r;

	while (at < end) {
		uint64_t d = 0;
		unsigned shift = 0;

		for (;; shift += 7) {
			if (at == end || shift > 56)
				return -EBADMSG;
			d |= (uint64_t)(*at & 0x7f) << shift;
			if (*at++ < 0x80)
				break;
		}
		id += (int64_t)d;
		r = f(data, id);
		if (r != 0)
			return r;
	}
	return 0;
}

static int put_row(struct index *x, const struct index_row *row, const struct intern *labels)
{
	_cleanup_buffer_ struct buffer blob = BUFFER(INDEX_LABELS_BYTES_MAX);
	sqlite3_stmt *s;
	int r = make_labels(x, labels, &blob);

	if (r < 0)
		return r;
	r = statement(x, PUT_FILE, &s);
	if (r < 0)
		return r;
	(void)bind_text(s, 1, row->path);
	(void)bind_text(s, 2, row->type);
	(void)bind_text(s, 3, row->host);
	(void)sqlite3_bind_int64(s, 4, row->level);
	(void)sqlite3_bind_int64(s, 5, row->sealed);
	(void)sqlite3_bind_int64(s, 6, row->start_ns);
	(void)sqlite3_bind_int64(s, 7, row->end_ns);
	(void)sqlite3_bind_int64(s, 8, row->added_ns);
	(void)sqlite3_bind_int64(s, 9, (int64_t)row->bytes);
	(void)sqlite3_bind_int64(s, 10, (int64_t)row->raw_bytes);
	(void)sqlite3_bind_int64(s, 11, row->n_samples);
	(void)bind_text(s, 12, row->totals);
	(void)sqlite3_bind_blob64(s, 13, blob.data ? blob.data : "", blob.size, SQLITE_STATIC);
	r = step_once(s, NULL);
	return r < 0 ? r : 0;
}

int index_put(struct index *x, const struct index_row *row, const struct intern *labels)
{
	int r = index_begin(x);

	if (r < 0)
		return r;
	return index_end(x, put_row(x, row, labels));
}

int index_has(struct index *x, const char *path)
{
	sqlite3_stmt *s;
	int r = statement(x, HAS_FILE, &s);

	if (r < 0)
		return r;
	(void)bind_text(s, 1, path);
	return step_once(s, NULL);
}

int index_remove(struct index *x, const char *path)
{
	sqlite3_stmt *s;
	int r = statement(x, REMOVE_FILE, &s);

	if (r < 0)
		return r;
	(void)bind_text(s, 1, path);
	r = step_once(s, NULL);
	return r < 0 ? r : sqlite3_changes(x->db) > 0;
}

int index_seal(struct index *x, const char *path, uint32_t level)
{
	sqlite3_stmt *s;
	int r = statement(x, SEAL_FILE, &s);

	if (r < 0)
		return r;
	(void)bind_text(s, 1, path);
	(void)sqlite3_bind_int64(s, 2, level);
	r = step_once(s, NULL);
	return r < 0 ? r : 0;
}

int index_clear(struct index *x)
{
	int r = index_begin(x);

	if (r < 0)
		return r;
	r = index_set_complete(x, false);
	if (r >= 0)
		r = run(x->db, "DELETE FROM file; DELETE FROM label");
	return index_end(x, r);
}

static int64_t clamp(uint64_t n)
{
	return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

/* Merged files count where their middle lies in the range, or where they hold all of it; see store/plan.h. */
static const char select_rows[] =
        "SELECT id, path, type, host, totals, level, sealed, start_ns, end_ns, added_ns, bytes, raw_bytes, samples, "
        "labels"
        " FROM file WHERE start_ns >= ?1 AND start_ns < ?2 AND (?3 = 0 OR CASE level WHEN 0 THEN start_ns >= ?4 ELSE"
        "  (start_ns + (end_ns - start_ns) / 2 >= ?4 AND start_ns + (end_ns - start_ns) / 2 < ?5)"
        "  OR (start_ns <= ?4 AND end_ns >= ?5) END)"
        " AND (?6 = 0 OR level < ?6) AND (?7 = 0 OR sealed < ?7) AND id > ?8 AND (?10 IS NULL OR host = ?10)";

static void read_row(sqlite3_stmt *s, struct index_row *ret)
{
	*ret = (struct index_row){
		.id = sqlite3_column_int64(s, 0),
		.path = (const char *)sqlite3_column_text(s, 1),
		.type = (const char *)sqlite3_column_text(s, 2),
		.host = (const char *)sqlite3_column_text(s, 3),
		.totals = (const char *)sqlite3_column_text(s, 4),
		.level = (uint32_t)sqlite3_column_int64(s, 5),
		.sealed = (uint32_t)sqlite3_column_int64(s, 6),
		.start_ns = sqlite3_column_int64(s, 7),
		.end_ns = sqlite3_column_int64(s, 8),
		.added_ns = sqlite3_column_int64(s, 9),
		.bytes = (uint64_t)sqlite3_column_int64(s, 10),
		.raw_bytes = (uint64_t)sqlite3_column_int64(s, 11),
		.n_samples = (uint32_t)sqlite3_column_int64(s, 12),
		.labels = sqlite3_column_blob(s, 13),
		.labels_size = (size_t)sqlite3_column_bytes(s, 13),
	};
}

static bool row_is_sane(const struct index_row *row)
{
	return row->path && row->type && row->host && row->totals && row->level < STORE_LEVELS &&
	       row->end_ns >= row->start_ns && store_name_path_is_valid(row->path);
}

static int each_row(sqlite3_stmt *s, int (*f)(void *, const struct index_row *), void *data)
{
	int code, r;

	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		struct index_row row;

		read_row(s, &row);
		if (!row_is_sane(&row))
			return -EBADMSG;
		r = f(data, &row);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return error_of(code);
}

/* Where a start may lie at all: a merged file begins a day before its end at most. */
static void bound_starts(sqlite3_stmt *s, const struct index_where *w)
{
	int64_t first = INT64_MIN, last = INT64_MAX;

	if (w->has_range) {
		first = w->from_ns > INT64_MIN + DAY_NS ? w->from_ns - DAY_NS : INT64_MIN;
		last = w->to_ns;
	}
	if (w->has_slot) {
		first = MAX(first, w->slot_from_ns);
		last = MIN(last, w->slot_to_ns);
	}
	(void)sqlite3_bind_int64(s, 1, first);
	(void)sqlite3_bind_int64(s, 2, last);
	(void)sqlite3_bind_int(s, 3, w->has_range);
	(void)sqlite3_bind_int64(s, 4, w->from_ns);
	(void)sqlite3_bind_int64(s, 5, w->to_ns);
}

int index_each(struct index *x, const struct index_where *w, int (*f)(void *, const struct index_row *), void *data)
{
	_cleanup_statement_ sqlite3_stmt *s = NULL;
	char sql[sizeof(select_rows) + 100];
	int code;

	(void)snprintf(sql, sizeof(sql), "%s%s ORDER BY %s LIMIT ?9", select_rows, w->type ? " AND type = ?11" : "",
	        w->oldest_first ? "added_ns, path"
	        : w->limit      ? "id"
	                        : "type, start_ns, path");
	code = sqlite3_prepare_v2(x->db, sql, -1, &s, NULL);
	if (code != SQLITE_OK)
		return error_of(code);
	bound_starts(s, w);
	(void)sqlite3_bind_int64(s, 6, w->levels_below);
	(void)sqlite3_bind_int64(s, 7, w->sealed_below);
	(void)sqlite3_bind_int64(s, 8, w->after_id);
	(void)sqlite3_bind_int64(s, 9, w->limit ? clamp(w->limit) : -1);
	(void)bind_text(s, 10, w->host);
	if (w->type)
		(void)bind_text(s, 11, w->type);
	return each_row(s, f, data);
}

int index_groups(struct index *x, uint32_t level, int (*f)(void *, const struct index_group *), void *data)
{
	_cleanup_statement_ sqlite3_stmt *s = NULL;
	const int64_t span_ns = store_level_seconds(level) * 1000000000;
	int code, r;

	code = sqlite3_prepare_v2(x->db,
	        "SELECT type, host, start_ns / ?1 AS slot, count(*) FROM file WHERE level < ?2 AND sealed < ?2"
	        " GROUP BY type, host, slot HAVING count(*) > 1 ORDER BY slot, type, host",
	        -1, &s, NULL);
	if (code != SQLITE_OK)
		return error_of(code);
	(void)sqlite3_bind_int64(s, 1, span_ns);
	(void)sqlite3_bind_int64(s, 2, level);
	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		struct index_group g = {
			.start_ns = sqlite3_column_int64(s, 2) * span_ns,
			.n_files = (uint64_t)sqlite3_column_int64(s, 3),
		};

		(void)snprintf(g.type, sizeof(g.type), "%s", (const char *)sqlite3_column_text(s, 0));
		(void)snprintf(g.host, sizeof(g.host), "%s", (const char *)sqlite3_column_text(s, 1));
		r = f(data, &g);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return error_of(code);
}

int index_sum(struct index *x, const char *type, struct index_sums *ret)
{
	_cleanup_statement_ sqlite3_stmt *s = NULL;
	struct index_sums sums = { 0 };
	int code;

	code = sqlite3_prepare_v2(x->db,
	        "SELECT level, count(*), sum(bytes), min(start_ns), max(end_ns) FROM file WHERE ?1 IS NULL OR type = ?1"
	        " GROUP BY level",
	        -1, &s, NULL);
	if (code != SQLITE_OK)
		return error_of(code);
	(void)bind_text(s, 1, type);
	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		int64_t level = sqlite3_column_int64(s, 0), first = sqlite3_column_int64(s, 3);

		if (level < 0 || level >= STORE_LEVELS)
			return -EBADMSG;
		sums.n_files[level] = (uint64_t)sqlite3_column_int64(s, 1);
		sums.bytes[level] = (uint64_t)sqlite3_column_int64(s, 2);
		sums.first_ns = sums.first_ns ? MIN(sums.first_ns, first) : first;
		sums.last_ns = MAX(sums.last_ns, (int64_t)sqlite3_column_int64(s, 4));
	}
	if (code != SQLITE_DONE)
		return error_of(code);
	*ret = sums;
	return 0;
}

int index_each_label(struct index *x, const char *name,
        int (*f)(void *, int64_t id, const char *name, const char *value, size_t value_size), void *data)
{
	_cleanup_statement_ sqlite3_stmt *s = NULL;
	int code, r;

	code = sqlite3_prepare_v2(x->db,
	        "SELECT id, name, many, value FROM label WHERE ?1 IS NULL OR name = ?1 ORDER BY name, value", -1, &s,
	        NULL);
	if (code != SQLITE_OK)
		return error_of(code);
	(void)bind_text(s, 1, name);
	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		const char *value = sqlite3_column_blob(s, 3), *label = (const char *)sqlite3_column_text(s, 1);

		if (!label)
			return -EBADMSG;
		r = f(data, sqlite3_column_int64(s, 0), label,
		        sqlite3_column_int(s, 2) ? NULL
		        : value                  ? value
		                                 : "",
		        (size_t)sqlite3_column_bytes(s, 3));
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return error_of(code);
}

static int mark_label(void *data, int64_t id)
{
	sqlite3_stmt *s = data;
	int r;

	(void)sqlite3_bind_int64(s, 1, id);
	r = step_once(s, NULL);
	return r < 0 ? r : 0;
}

static int mark_labels(void *data, const struct index_row *row)
{
	return index_labels_each(row->labels, row->labels_size, mark_label, data);
}

static int drop_unused(struct index *x)
{
	_cleanup_statement_ sqlite3_stmt *mark = NULL;
	int code, r;

	r = run(x->db, "CREATE TEMP TABLE IF NOT EXISTS used(id INTEGER PRIMARY KEY); DELETE FROM used");
	if (r < 0)
		return r;
	code = sqlite3_prepare_v2(x->db, "INSERT OR IGNORE INTO used(id) VALUES(?1)", -1, &mark, NULL);
	if (code != SQLITE_OK)
		return error_of(code);
	r = index_each(x, &(struct index_where){ 0 }, mark_labels, mark);
	if (r < 0)
		return r;
	r = run(x->db, "DELETE FROM label WHERE id NOT IN (SELECT id FROM used)");
	if (r < 0)
		return r;
	return sqlite3_changes(x->db);
}

int index_drop_unused_labels(struct index *x)
{
	int r = index_begin(x);

	if (r < 0)
		return r;
	return index_end(x, drop_unused(x));
}
