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
#include "daemon/config_values.h"
#include "profile/service_name.h"

#define LINE_BYTES_MAX 190 /* inih takes 200 with its ends */

#define FIELD(name) offsetof(struct config, name)
#define WANTS_BOOL "yes or no"
#define WANTS_PATH "an absolute path"

static const struct config_key keys[] = {
	{ "Profile", "Sources", config_parse_names, FIELD(sources), "cpu memory",
	        "names from `emberctl features`, with blanks between" },
	{ "Profile", "FrequencyHz", config_parse_number, FIELD(frequency_hz), "100", "a whole number from 1 to 10000",
	        1, 10000 },
	{ "Profile", "Interval", config_parse_time, FIELD(interval_ns), "60s", "a time from 1s to 1h", NS_PER_SEC,
	        3600 * NS_PER_SEC },
	{ "Profile", "MaxProfileSize", config_parse_size, FIELD(max_profile_bytes), "50M", "a size from 1M to 512M",
	        1ull << 20, 512ull << 20 },
	{ "Profile", "OnDemand", config_parse_bool, FIELD(on_demand), "yes", WANTS_BOOL },
	{ "Profile", "KernelStacks", config_parse_bool, FIELD(kernel_stacks), "yes", WANTS_BOOL },
	{ "Profile", "HeapSampleInterval", config_parse_size, FIELD(heap_interval), "512K", "a size from 64 to 1G", 64,
	        1ull << 30 },
	{ "Profile", "HeapSingleStep", config_parse_bool, FIELD(heap_single_step), "no", WANTS_BOOL },

	{ "Target", "Pid", config_parse_pids, FIELD(include.pids), "", "process IDs with blanks between",
	        .is_repeatable = true },
	{ "Target", "Cgroup", config_parse_paths, FIELD(include.cgroups), "",
	        "cgroup paths as in /proc/PID/cgroup (\"/system.slice\"), with blanks between", .is_repeatable = true },
	{ "Target", "Unit", config_parse_globs, FIELD(include.units), "",
	        "systemd units (\"nginx.service\"), with blanks between", .is_repeatable = true },
	{ "Target", "Comm", config_parse_item, FIELD(include.comms), "", "one command name or glob",
	        .is_repeatable = true },
	{ "Target", "Exe", config_parse_paths, FIELD(include.exes), "",
	        "absolute paths of executables, with blanks between", .is_repeatable = true },
	{ "Target", "ExcludePid", config_parse_pids, FIELD(exclude.pids), "", "process IDs with blanks between",
	        .is_repeatable = true },
	{ "Target", "ExcludeCgroup", config_parse_paths, FIELD(exclude.cgroups), "",
	        "cgroup paths as in /proc/PID/cgroup (\"/system.slice\"), with blanks between", .is_repeatable = true },
	{ "Target", "ExcludeUnit", config_parse_globs, FIELD(exclude.units), "",
	        "systemd units (\"nginx.service\"), with blanks between", .is_repeatable = true },
	{ "Target", "ExcludeComm", config_parse_item, FIELD(exclude.comms), "", "one command name or glob",
	        .is_repeatable = true },
	{ "Target", "ExcludeExe", config_parse_paths, FIELD(exclude.exes), "",
	        "absolute paths of executables, with blanks between", .is_repeatable = true },

	{ "Labels", "ServiceName", config_parse_service_rule, FIELD(service_names), "",
	        "unit, container, comm, exe, label:NAME or env:NAME, then perhaps a glob and a name",
	        .is_repeatable = true },

	{ "Store", "Path", config_parse_path, FIELD(store_path), "/var/lib/emberd", WANTS_PATH },
	{ "Store", "RetentionDays", config_parse_number, FIELD(retention_days), "14",
	        "a whole number of days up to 3650, 0 for no limit", 0, 3650 },
	{ "Store", "MaxBytes", config_parse_size, FIELD(store_bytes), "2G", "a size up to 1024T, 0 for no limit", 0,
	        1ull << 50 },
	{ "Store", "MinFreeDisk", config_parse_percent, FIELD(min_free_disk), "5%",
	        "a share of the disk up to 90%, such as 5%" },

	{ "Budget", "Heap", config_parse_share, FIELD(heap_budget), "3%",
	        "a share of each target's CPU time from 0.1% to 90%, such as 3%" },
	{ "Budget", "HeapTogether", config_parse_share, FIELD(heap_together), "1%",
	        "a share of one core from 0.1% to 90%, such as 1%" },

	{ "Symbols", "Inlines", config_parse_bool, FIELD(inlines), "yes", WANTS_BOOL },
	{ "Symbols", "DebugDirectories", config_parse_paths, FIELD(debug_directories), "/usr/lib/debug",
	        "absolute paths with blanks between" },
	{ "Symbols", "CacheBytes", config_parse_size, FIELD(cache_bytes), "256M", "a size from 1M to 1T", 1ull << 20,
	        1ull << 40 },
};

#define UPLOAD(name) offsetof(struct config_upload, name)
#define WANTS_FILE "an absolute path of a file"

/* Of every [Upload NAME]. No default may be longer than the line that shows it. */
static const struct config_key upload_keys[] = {
	{ "Upload", "Protocol", config_parse_choice, UPLOAD(protocol), "otlp-http",
	        "otlp-http, otlp-grpc, pyroscope, pyroscope-ingest or pprof-dir" },
	{ "Upload", "Url", config_parse_url, UPLOAD(url), "",
	        "http://HOST:PORT or https://HOST:PORT, for pprof-dir an absolute path" },
	{ "Upload", "Compression", config_parse_choice, UPLOAD(compression), "gzip", "zstd, gzip or none" },
	{ "Upload", "Encoding", config_parse_choice, UPLOAD(encoding), "protobuf", "protobuf or json" },
	{ "Upload", "TokenFile", config_parse_file_path, UPLOAD(token_file), "", WANTS_FILE },
	{ "Upload", "CaFile", config_parse_file_path, UPLOAD(ca_file), "", WANTS_FILE },
	{ "Upload", "CertFile", config_parse_file_path, UPLOAD(cert_file), "", WANTS_FILE },
	{ "Upload", "KeyFile", config_parse_file_path, UPLOAD(key_file), "", WANTS_FILE },
	{ "Upload", "TenantId", config_parse_text, UPLOAD(tenant_id), "", "a text" },
	{ "Upload", "Proxy", config_parse_url, UPLOAD(proxy), "", "http://HOST:PORT" },
	{ "Upload", "Header", config_parse_header, UPLOAD(headers), "", "Name: value", .is_repeatable = true },
	{ "Upload", "Attributes", config_parse_names, UPLOAD(attributes), "", "names of labels, with blanks between" },
	{ "Upload", "Processes", config_parse_bool, UPLOAD(processes), "no", WANTS_BOOL },
	{ "Upload", "Timestamps", config_parse_bool, UPLOAD(timestamps), "no", WANTS_BOOL },
	{ "Upload", "OriginalPayload", config_parse_bool, UPLOAD(payload), "no", WANTS_BOOL },
	{ "Upload", "Timeout", config_parse_time, UPLOAD(timeout_ns), "10s", "a time from 100ms to 10min",
	        NS_PER_SEC / 10, 600 * NS_PER_SEC },
	{ "Upload", "SpoolBytes", config_parse_size, UPLOAD(spool_bytes), "256M", "a size from 64K to 1T", 64 << 10,
	        1ull << 40 },
	{ "Upload", "MaxAge", config_parse_time, UPLOAD(max_age_ns), "7d", "a time from 1s to 365d", NS_PER_SEC,
	        365 * 86400 * NS_PER_SEC },
	{ "Upload", "RetryInitial", config_parse_time, UPLOAD(retry_initial_ns), "1s", "a time from 10ms to 1h",
	        NS_PER_SEC / 100, 3600 * NS_PER_SEC },
	{ "Upload", "RetryMax", config_parse_time, UPLOAD(retry_max_ns), "5min", "a time from 10ms to 1h",
	        NS_PER_SEC / 100, 3600 * NS_PER_SEC },
	{ "Upload", "RequestSamples", config_parse_number, UPLOAD(samples_max), "0", "a whole number up to 1000000", 0,
	        1000000 },
	{ "Upload", "RequestBytes", config_parse_size, UPLOAD(request_bytes), "0", "a size up to 64M", 0, 64 << 20 },
	{ "Upload", "Retention", config_parse_time, UPLOAD(retention_ns), "14d", "a time from 1s to 3650d", NS_PER_SEC,
	        3650 * 86400 * NS_PER_SEC },
	{ "Upload", "MaxBytes", config_parse_size, UPLOAD(max_bytes), "1G", "a size from 1M to 1P", 1 << 20,
	        1ull << 50 },
};

static bool key_is_text(const struct config_key *key)
{
	return key->parse == config_parse_path || key->parse == config_parse_text ||
	       key->parse == config_parse_file_path || key->parse == config_parse_choice ||
	       key->parse == config_parse_url;
}

static bool key_is_list(const struct config_key *key)
{
	return key->parse == config_parse_names || key->parse == config_parse_pids ||
	       key->parse == config_parse_paths || key->parse == config_parse_globs ||
	       key->parse == config_parse_item || key->parse == config_parse_service_rule ||
	       key->parse == config_parse_header;
}

static void keys_done(const struct config_key *table, size_t n, void *object)
{
	for (size_t i = 0; i < n; i++) {
		void *field = (char *)object + table[i].offset;

		if (key_is_text(&table[i])) {
			free(*(char **)field);
			*(char **)field = NULL;
		} else if (key_is_list(&table[i])) {
			config_list_done(field);
		}
	}
}

static int keys_default(const struct config_key *table, size_t n, void *object)
{
	for (size_t i = 0; i < n; i++) {
		int r = table[i].parse(&table[i], table[i].fallback, (char *)object + table[i].offset);

		assert(r >= 0 || r == -ENOMEM);
		if (r < 0)
			return r;
	}
	return 0;
}

int config_upload_new(const char *name, struct config_upload **ret)
{
	_cleanup_(config_upload_freep) struct config_upload *u = calloc(1, sizeof(*u));
	int r;

	assert(ret);

	if (!u)
		return -ENOMEM;
	u->name = strdup(name);
	r = u->name ? keys_default(upload_keys, ARRAY_SIZE(upload_keys), u) : -ENOMEM;
	if (r < 0)
		return r;
	*ret = TAKE_PTR(u);
	return 0;
}

struct config_upload *config_upload_free(struct config_upload *u)
{
	if (!u)
		return NULL;
	keys_done(upload_keys, ARRAY_SIZE(upload_keys), u);
	free(u->name);
	free(u);
	return NULL;
}

struct config_upload *config_find_upload(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_uploads; i++)
		if (strcmp(c->uploads[i]->name, name) == 0)
			return c->uploads[i];
	return NULL;
}

/* "Upload" or "Upload NAME": the destination of that name, made where it is new. -ENOENT: another section. */
static int take_upload(struct config *c, const char *section, struct config_upload **ret)
{
	const char *name = strcmp(section, "Upload") == 0 ? "default" : section + strlen("Upload ");
	struct config_upload *u;
	int r;

	if (strncmp(section, "Upload", 6) != 0 || (section[6] && section[6] != ' '))
		return -ENOENT;
	if (!config_is_name(name, strlen(name)))
		return -EINVAL;
	u = config_find_upload(c, name);
	if (!u) {
		if (c->n_uploads >= CONFIG_UPLOADS_MAX)
			return -E2BIG;
		r = config_upload_new(name, &u);
		if (r < 0)
			return r;
		c->uploads[c->n_uploads++] = u;
	}
	*ret = u;
	return 0;
}

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

	for (size_t i = 0; i < ARRAY_SIZE(keys) + ARRAY_SIZE(upload_keys); i++) {
		const struct config_key *k = i < ARRAY_SIZE(keys) ? &keys[i] : &upload_keys[i - ARRAY_SIZE(keys)];

		if (strcmp(k->section, section) == 0 && n < sizeof(known))
			n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "", k->key);
	}
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

/* Every key of [Labels] but ServiceName is a label. */
static int take_label(struct reading *in, const char *name, const char *value)
{
	_cleanup_free_ char *pair = NULL;
	int r;

	if (!config_is_name(name, strlen(name)) || !*value) {
		fail(in, -EINVAL, "[Labels] %s=%s: wants a name of letters, digits and _, and a value", name, value);
		return 0;
	}
	if (asprintf(&pair, "%s=%s", name, value) < 0) {
		pair = NULL;
		in->r = -ENOMEM;
		return 0;
	}
	r = config_list_add(&in->config->labels, pair, strlen(pair));
	if (r < 0)
		fail(in, r, "[Labels]: more than %d labels", CONFIG_LIST_MAX);
	return r >= 0;
}

static int take_value(
        struct reading *in, const struct config_key *key, void *object, const char *section, const char *value)
{
	int r = key->parse(key, value, (char *)object + key->offset);

	if (r == -ENOMEM)
		in->r = r;
	else if (r == -E2BIG)
		fail(in, r, "[%s] %s: more than %d values", section, key->key, CONFIG_LIST_MAX);
	else if (r < 0)
		fail(in, r, "[%s] %s=%s: wants %s", section, key->key, value, key->wants);
	else if (object == in->config)
		r = check_sources(in, key, value);
	return r >= 0;
}

/* inih's handler: 1 goes on, 0 is an error. */
static int take_pair(void *user, const char *section, const char *name, const char *value)
{
	struct reading *in = user;
	struct config_upload *upload;
	int r;

	if (in->r < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].key, name) == 0)
			return take_value(in, &keys[i], in->config, section, value);
	if (strcmp(section, "Labels") == 0)
		return take_label(in, name, value);
	r = take_upload(in->config, section, &upload);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(upload_keys); i++)
		if (strcmp(upload_keys[i].key, name) == 0)
			return take_value(in, &upload_keys[i], upload, section, value);
	if (r == -EINVAL)
		fail(in, r, "[%s]: wants a name of letters, digits, - and _ after Upload", section);
	else if (r == -E2BIG)
		fail(in, r, "[%s]: more than %d destinations", section, CONFIG_UPLOADS_MAX);
	else if (r == -ENOMEM)
		in->r = r;
	else
		fail_unknown(in, r >= 0 ? "Upload" : section, name);
	return 0;
}

_printf_(3, 4) static int fail_file(int r, char **ret_error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(ret_error, format, ap) < 0)
		*ret_error = NULL;
	va_end(ap);
	return r;
}

/* What no single key can tell. */
static int check_uploads(const struct config *c, const char *path, char **ret_error)
{
	for (size_t i = 0; i < c->n_uploads; i++) {
		const struct config_upload *u = c->uploads[i];
		bool is_directory = strcmp(u->protocol, "pprof-dir") == 0;

		if (!u->url || (*u->url == '/') != is_directory)
			return fail_file(-EINVAL, ret_error, "%s: [Upload %s] Url: wants %s for Protocol=%s", path,
			        u->name, is_directory ? "an absolute path" : "http://HOST:PORT or https://HOST:PORT",
			        u->protocol);
		if (!u->cert_file != !u->key_file)
			return fail_file(
			        -EINVAL, ret_error, "%s: [Upload %s]: CertFile and KeyFile go together", path, u->name);
	}
	return 0;
}

static int parse_whole(
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
	return parse_whole(c, path, text, options, ret_error);
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
	r = keys_default(keys, ARRAY_SIZE(keys), c);
	if (r < 0)
		return r;
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
	if (r >= 0)
		r = check_uploads(c, path, ret_error);
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
	r = parse_whole(c, name, text, options, ret_error);
	if (r >= 0)
		r = check_uploads(c, name, ret_error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct config *config_free(struct config *c)
{
	if (!c)
		return NULL;
	keys_done(keys, ARRAY_SIZE(keys), c);
	config_list_done(&c->labels);
	for (size_t i = 0; i < c->n_uploads; i++)
		(void)config_upload_free(c->uploads[i]);
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
	fprintf(to, "\n# A section for each destination.\n#[Upload NAME]\n");
	for (size_t i = 0; i < ARRAY_SIZE(upload_keys); i++)
		fprintf(to, "#%s=%s\n", upload_keys[i].key, upload_keys[i].fallback);
}
