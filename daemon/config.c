#include "daemon/config.h"

#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/units.h"

#define LINE_BYTES_MAX 190 /* inih takes 200 with its ends */

struct config_key;
typedef int (*config_parser)(const struct config_key *key, const char *value, void *field);

/* One key. The default is text, parsed by the same parser, so it cannot say something else than the file would. */
struct config_key {
	const char *section, *key;
	config_parser parse;
	size_t offset;        /* of the field in struct config */
	const char *fallback; /* the default */
	const char *wants;    /* ends "wants ...": what a good value is */
	uint64_t min, max;    /* of numbers, sizes and times */
	bool is_repeatable;   /* lists: further lines add; else the last line stands alone */
};

static int parse_number(const struct config_key *key, const char *value, void *field)
{
	unsigned long long n;
	char *end;

	if (!isdigit((unsigned char)value[0]))
		return -EINVAL;
	errno = 0;
	n = strtoull(value, &end, 10);
	if (*end || errno || n < key->min || n > key->max)
		return -EINVAL;
	*(uint64_t *)field = n;
	return 0;
}

static int parse_time(const struct config_key *key, const char *value, void *field)
{
	uint64_t ns;

	if (units_parse_time(value, &ns) < 0 || ns < key->min || ns > key->max)
		return -EINVAL;
	*(uint64_t *)field = ns;
	return 0;
}

static int parse_size(const struct config_key *key, const char *value, void *field)
{
	uint64_t bytes;

	if (units_parse_size(value, &bytes) < 0 || bytes < key->min || bytes > key->max)
		return -EINVAL;
	*(uint64_t *)field = bytes;
	return 0;
}

static int parse_bool(const struct config_key *key, const char *value, void *field)
{
	int b;

	(void)key;
	if (units_parse_bool(value, &b) < 0)
		return -EINVAL;
	*(bool *)field = b;
	return 0;
}

static int parse_path(const struct config_key *key, const char *value, void *field)
{
	char **to = field, *copy;

	(void)key;
	if (value[0] != '/')
		return -EINVAL;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static void list_done(struct config_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i]);
	free(l->items);
	*l = (struct config_list){ 0 };
}

static int list_add(struct config_list *l, const char *item, size_t size)
{
	char **items, *copy;

	if (l->n >= CONFIG_LIST_MAX)
		return -E2BIG;
	items = reallocarray(l->items, l->n + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	l->items = items;
	copy = strndup(item, size);
	if (!copy)
		return -ENOMEM;
	l->items[l->n++] = copy;
	return 0;
}

/* What a list's items must look like; the key's "wants" says it in words. */
static bool item_is_name(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_' && s[i] != '-')
			return false;
	return n > 0;
}

static bool item_is_pid(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isdigit((unsigned char)s[i]))
			return false;
	return n > 0 && n <= 7 && s[0] != '0';
}

static bool item_is_path(const char *s, size_t n)
{
	return n > 0 && s[0] == '/';
}

static bool item_is_any(const char *s, size_t n)
{
	(void)s;
	return n > 0;
}

/* An empty value empties the list, as systemd has it. */
static int parse_words(
        const struct config_key *key, const char *value, struct config_list *l, bool (*is_good)(const char *, size_t))
{
	int r;

	if (!key->is_repeatable || !*value)
		list_done(l);
	for (const char *p = value + strspn(value, " \t"); *p; p += strspn(p, " \t")) {
		size_t n = strcspn(p, " \t");

		if (!is_good(p, n))
			return -EINVAL;
		r = list_add(l, p, n);
		if (r < 0)
			return r;
		p += n;
	}
	return 0;
}

static int parse_names(const struct config_key *key, const char *value, void *field)
{
	return parse_words(key, value, field, item_is_name);
}

static int parse_pids(const struct config_key *key, const char *value, void *field)
{
	return parse_words(key, value, field, item_is_pid);
}

static int parse_paths(const struct config_key *key, const char *value, void *field)
{
	return parse_words(key, value, field, item_is_path);
}

static int parse_globs(const struct config_key *key, const char *value, void *field)
{
	return parse_words(key, value, field, item_is_any);
}

/* A command name may hold blanks ("Web Content"), so the value is one item. */
static int parse_item(const struct config_key *key, const char *value, void *field)
{
	struct config_list *l = field;

	if (!key->is_repeatable || !*value)
		list_done(l);
	return *value ? list_add(l, value, strlen(value)) : 0;
}

#define FIELD(name) offsetof(struct config, name)
#define WANTS_BOOL "yes or no"
#define WANTS_PATH "an absolute path"

static const struct config_key keys[] = {
	{ "Profile", "Sources", parse_names, FIELD(sources), "cpu",
	        "names from `emberctl features`, with blanks between" },
	{ "Profile", "FrequencyHz", parse_number, FIELD(frequency_hz), "100", "a whole number from 1 to 10000", 1,
	        10000 },
	{ "Profile", "Interval", parse_time, FIELD(interval_ns), "60s", "a time from 1s to 1h", NS_PER_SEC,
	        3600 * NS_PER_SEC },
	{ "Profile", "OnDemand", parse_bool, FIELD(on_demand), "yes", WANTS_BOOL },
	{ "Profile", "KernelStacks", parse_bool, FIELD(kernel_stacks), "yes", WANTS_BOOL },

	{ "Target", "Pid", parse_pids, FIELD(pids), "", "process IDs with blanks between", .is_repeatable = true },
	{ "Target", "Cgroup", parse_paths, FIELD(cgroups), "",
	        "cgroup paths as in /proc/PID/cgroup (\"/system.slice\"), with blanks between", .is_repeatable = true },
	{ "Target", "Unit", parse_globs, FIELD(units), "", "systemd units (\"nginx.service\"), with blanks between",
	        .is_repeatable = true },
	{ "Target", "Comm", parse_item, FIELD(comms), "", "one command name or glob", .is_repeatable = true },
	{ "Target", "Exe", parse_paths, FIELD(exes), "", "absolute paths of executables, with blanks between",
	        .is_repeatable = true },

	{ "Store", "Path", parse_path, FIELD(store_path), "/var/lib/emberd", WANTS_PATH },

	{ "Symbols", "Inlines", parse_bool, FIELD(inlines), "yes", WANTS_BOOL },
	{ "Symbols", "DebugDirectories", parse_paths, FIELD(debug_directories), "/usr/lib/debug",
	        "absolute paths with blanks between" },
	{ "Symbols", "CacheBytes", parse_size, FIELD(cache_bytes), "256M", "a size from 1M to 1T", 1ull << 20,
	        1ull << 40 },
};

/* ---- one file ---------------------------------------------------------------------------------------------------- */

struct reading {
	struct config *config;
	const struct config_options *options;
	const char *name; /* of the file */
	const char *at;   /* what is left of the text */
	unsigned line;
	char section[64]; /* as inih gives it */
	int r;            /* of the first failure */
	char *error;
};

_printf_(3, 4) static void fail(struct reading *in, int r, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	if (in->r < 0)
		return;
	in->r = r;
	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	if (!text || asprintf(&in->error, "%s:%u: %s", in->name, in->line, text) < 0)
		in->error = NULL;
}

/* inih's fgets(). It counts the lines, and leading blanks are taken away because inih would make a continued value of
 * such a line. */
static char *read_line(char *to, int room, void *stream)
{
	struct reading *in = stream;
	size_t n;

	if (!*in->at || in->r < 0)
		return NULL;
	in->line++;
	n = strcspn(in->at, "\n");
	if (n > LINE_BYTES_MAX || n + 2 > (size_t)room) {
		fail(in, -EINVAL, "the line is longer than %d bytes; write it as several lines", LINE_BYTES_MAX);
		return NULL;
	}
	for (; n && (*in->at == ' ' || *in->at == '\t'); n--)
		in->at++;
	memcpy(to, in->at, n);
	to[n] = '\n';
	to[n + 1] = '\0';
	in->at += n + (in->at[n] == '\n');
	return to;
}

static void fail_unknown(struct reading *in, const char *section, const char *key)
{
	char known[512] = "";
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].section, section) == 0 && n < sizeof(known))
			n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "", keys[i].key);
	if (n)
		fail(in, -EINVAL, "[%s] %s: this emberd knows no such key; remove the line or use one of %s", section,
		        key, known);
	else if (!*section)
		fail(in, -EINVAL, "%s: stands before any section; put a line such as [Profile] above it", key);
	else
		fail(in, -EINVAL, "[%s] %s: this emberd knows no section [%s]; remove it", section, key, section);
}

static int check_sources(struct reading *in, const struct config_key *key, const char *value)
{
	const struct config_list *l = &in->config->sources;

	if (key->offset != FIELD(sources) || !in->options || !in->options->is_source)
		return 0;
	for (size_t i = 0; i < l->n; i++)
		if (!in->options->is_source(l->items[i])) {
			fail(in, -EINVAL,
			        "[%s] %s=%s: this emberd has no source called %s; `emberctl features` lists them",
			        key->section, key->key, value, l->items[i]);
			return -EINVAL;
		}
	return 0;
}

/* inih's handler: 1 goes on, 0 is an error. */
static int take_pair(void *user, const char *section, const char *name, const char *value)
{
	struct reading *in = user;
	int r;

	if (in->r < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct config_key *key = &keys[i];

		if (strcmp(key->section, section) != 0 || strcmp(key->key, name) != 0)
			continue;
		r = key->parse(key, value, (char *)in->config + key->offset);
		if (r == -ENOMEM)
			in->r = r;
		else if (r == -E2BIG)
			fail(in, r, "[%s] %s: more than %d values", section, name, CONFIG_LIST_MAX);
		else if (r < 0)
			fail(in, r, "[%s] %s=%s: wants %s", section, name, value, key->wants);
		else
			r = check_sources(in, key, value);
		return r >= 0;
	}
	fail_unknown(in, section, name);
	return 0;
}

static int parse_text(
        struct config *c, const char *name, const char *text, const struct config_options *options, char **ret_error)
{
	struct reading in = { .config = c, .options = options, .name = name, .at = text };
	int r;

	r = ini_parse_stream(read_line, &in, take_pair, &in);
	if (in.r == 0 && r != 0) {
		in.line = r > 0 ? (unsigned)r : in.line;
		fail(&in, -EINVAL, "neither a [Section], a Key=value nor a # comment");
	}
	if (in.r < 0)
		*ret_error = in.error;
	return in.r;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

_printf_(3, 4) static int fail_file(int r, char **ret_error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(ret_error, format, ap) < 0)
		*ret_error = NULL;
	va_end(ap);
	return r;
}

static int parse_file(struct config *c, const char *path, const struct config_options *options, char **ret_error)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	r = file_read_all(AT_FDCWD, path, CONFIG_FILE_BYTES_MAX, &text, &size);
	if (r < 0)
		return fail_file(
		        r, ret_error, "%s: cannot be read: %s", path, r == -E2BIG ? "larger than 1 MiB" : strerror(-r));
	if (strlen(text) != size)
		return fail_file(-EINVAL, ret_error, "%s: holds NUL bytes; it must be a text file", path);
	return parse_text(c, path, text, options, ret_error);
}

static int is_drop_in(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".conf") == 0;
}

static void free_names(struct dirent **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static int parse_drop_ins(struct config *c, const char *path, const struct config_options *options, char **ret_error)
{
	char directory[PATH_MAX], file[PATH_MAX + 256 + 2];
	struct dirent **names = NULL;
	int n, r = 0;

	if (snprintf(directory, sizeof(directory), "%s.d", path) >= (int)sizeof(directory))
		return fail_file(-ENAMETOOLONG, ret_error, "%s: the path is too long", path);
	n = scandir(directory, &names, is_drop_in, alphasort);
	if (n < 0 && errno == ENOENT)
		return 0;
	if (n < 0)
		return fail_file(-errno, ret_error, "%s: cannot be read: %s", directory, strerror(errno));
	if (n > CONFIG_FILES_MAX)
		r = fail_file(-E2BIG, ret_error, "%s: more than %d files", directory, CONFIG_FILES_MAX);
	for (int i = 0; i < n && r == 0; i++) {
		(void)snprintf(file, sizeof(file), "%s/%s", directory, names[i]->d_name);
		r = parse_file(c, file, options, ret_error);
	}
	free_names(names, n);
	return r;
}

/* ---- outside ----------------------------------------------------------------------------------------------------- */

int config_new(struct config **ret)
{
	_cleanup_(config_freep) struct config *c = NULL;
	int r;

	assert(ret);

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		r = keys[i].parse(&keys[i], keys[i].fallback, (char *)c + keys[i].offset);
		assert(r >= 0 || r == -ENOMEM);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(c);
	return 0;
}

int config_load(
        const char *path, bool must_exist, const struct config_options *options, struct config **ret, char **ret_error)
{
	_cleanup_(config_freep) struct config *c = NULL;
	int r;

	assert(path);
	assert(ret);
	assert(ret_error);

	*ret_error = NULL;
	r = config_new(&c);
	if (r < 0)
		return r;
	if (must_exist || access(path, F_OK) == 0) {
		r = parse_file(c, path, options, ret_error);
		if (r < 0)
			return r;
	}
	r = parse_drop_ins(c, path, options, ret_error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

int config_parse(
        const char *name, const char *text, const struct config_options *options, struct config **ret, char **ret_error)
{
	_cleanup_(config_freep) struct config *c = NULL;
	int r;

	assert(ret);
	assert(ret_error);

	*ret_error = NULL;
	r = config_new(&c);
	if (r < 0)
		return r;
	r = parse_text(c, name, text, options, ret_error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct config *config_free(struct config *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		void *field = (char *)c + keys[i].offset;

		if (keys[i].parse == parse_path) {
			free(*(char **)field);
			*(char **)field = NULL;
		} else if (keys[i].parse == parse_names || keys[i].parse == parse_pids ||
		           keys[i].parse == parse_paths || keys[i].parse == parse_globs ||
		           keys[i].parse == parse_item) {
			list_done(field);
		}
	}
	free(c);
	return NULL;
}

bool config_list_has(const struct config_list *l, const char *item)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->items[i], item) == 0)
			return true;
	return false;
}

bool config_list_equal(const struct config_list *a, const struct config_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

void config_print_defaults(FILE *to)
{
	const char *section = "";

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(section, keys[i].section) != 0)
			fprintf(to, "%s[%s]\n", *section ? "\n" : "", keys[i].section);
		section = keys[i].section;
		fprintf(to, "#%s=%s\n", keys[i].key, keys[i].fallback);
	}
}
