#include "tests/unit/unit.h"
#include "daemon/config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"

static bool is_known(const char *name)
{
	return strcmp(name, "cpu") == 0 || strcmp(name, "memory") == 0;
}

static const struct config_options options = { .is_source = is_known };

static void defaults(void **state)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_free_ char *error = NULL;

	(void)state;
	assert_int_equal(config_parse("f", "", &options, &c, &error), 0);
	assert_null(error);
	assert_int_equal(c->frequency_hz, 100);
	assert_int_equal(c->interval_ns, 60 * NS_PER_SEC);
	assert_true(c->kernel_stacks && c->on_demand && c->inlines);
	assert_string_equal(c->store_path, "/var/lib/emberd");
	assert_int_equal(c->sources.n, 2);
	assert_string_equal(c->sources.items[0], "cpu");
	assert_int_equal(c->cache_bytes, 256 << 20);
	assert_int_equal(
	        c->include.pids.n + c->include.cgroups.n + c->include.units.n + c->include.comms.n + c->include.exes.n,
	        0);
}

static void values(void **state)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_free_ char *error = NULL;

	(void)state;
	assert_int_equal(config_parse("f",
	                         "# comment\n; another\n[Profile]\n  FrequencyHz = 199\nInterval=10s\nKernelStacks=no\n"
	                         "[Target]\nPid=1 22\nPid=333\nComm=Web Content\nComm=nginx*\nExcludeComm=x "
	                         "y\nExcludePid=5\nCgroup=/a /b\nCgroup=\nCgroup=/c\n"
	                         "[Store]\nPath=/tmp/x\n[Symbols]\nDebugDirectories=/a\nDebugDirectories=/b /c",
	                         &options, &c, &error),
	        0);
	assert_int_equal(c->frequency_hz, 199);
	assert_int_equal(c->interval_ns, 10 * NS_PER_SEC);
	assert_false(c->kernel_stacks);
	assert_int_equal(c->include.pids.n, 3);
	assert_string_equal(c->include.pids.items[2], "333");
	assert_int_equal(c->include.comms.n, 2);
	assert_string_equal(c->include.comms.items[0], "Web Content");
	assert_int_equal(c->exclude.comms.n, 1);
	assert_string_equal(c->exclude.comms.items[0], "x y");
	assert_int_equal(c->exclude.pids.n, 1);
	assert_int_equal(c->include.cgroups.n, 1); /* the empty line emptied it */
	assert_string_equal(c->include.cgroups.items[0], "/c");
	assert_int_equal(c->debug_directories.n, 2); /* not repeatable: the last line stands alone */
	assert_string_equal(c->debug_directories.items[1], "/c");
	assert_string_equal(c->store_path, "/tmp/x");
}

struct bad {
	const char *text, *error;
};

static const struct bad bad[] = {
	{ "[Profile]\nFrequencyHz=fast\n", "f:2: [Profile] FrequencyHz=fast: wants a whole number from 1 to 10000" },
	{ "[Profile]\nFrequencyHz=0\n", "f:2: [Profile] FrequencyHz=0: wants a whole number from 1 to 10000" },
	{ "[Profile]\nFrequencyHz=-1\n", "f:2: [Profile] FrequencyHz=-1: wants a whole number from 1 to 10000" },
	{ "[Profile]\nFrequencyHz=99999999999999999999\n",
	        "f:2: [Profile] FrequencyHz=99999999999999999999: wants a whole number from 1 to 10000" },
	{ "\n\n[Profile]\n\nInterval=1ms", "f:5: [Profile] Interval=1ms: wants a time from 1s to 1h" },
	{ "[Profile]\nKernelStacks=perhaps", "f:2: [Profile] KernelStacks=perhaps: wants yes or no" },
	{ "[Profile]\nSources=cpu moon", "f:2: [Profile] Sources=cpu moon: this emberd has no source called moon; "
	                                 "`emberctl features` lists them" },
	{ "[Profile]\nSources=c/pu",
	        "f:2: [Profile] Sources=c/pu: wants names from `emberctl features`, with blanks between" },
	{ "[Profile]\nFrequency=99",
	        "f:2: [Profile] Frequency: this emberd knows no such key; remove the line or use one of Sources, "
	        "FrequencyHz, Interval, MaxProfileSize, OnDemand, KernelStacks, HeapSampleInterval, HeapSingleStep" },
	{ "[Nonsense]\nX=1", "f:2: [Nonsense] X: this emberd knows no section [Nonsense]; remove it" },
	{ "X=1", "f:1: X: stands before any section; put a line such as [Profile] above it" },
	{ "[Profile]\nwhat is this\n", "f:2: neither a [Section], a Key=value nor a # comment" },
	{ "[Profile\n", "f:1: neither a [Section], a Key=value nor a # comment" },
	{ "[Target]\nPid=1 x", "f:2: [Target] Pid=1 x: wants process IDs with blanks between" },
	{ "[Target]\nExe=ls", "f:2: [Target] Exe=ls: wants absolute paths of executables, with blanks between" },
	{ "[Store]\nPath=here", "f:2: [Store] Path=here: wants an absolute path" },
	{ "[Store]\nPath=", "f:2: [Store] Path=: wants an absolute path" },
	{ "[Budget]\nHeap=0%",
	        "f:2: [Budget] Heap=0%: wants a share of each target's CPU time from 0.1% to 90%, such as 3%" },
	{ "[Budget]\nHeapTogether=95%",
	        "f:2: [Budget] HeapTogether=95%: wants a share of one core from 0.1% to 90%, such as 1%" },
	{ "[Symbols]\nCacheBytes=1K", "f:2: [Symbols] CacheBytes=1K: wants a size from 1M to 1T" },
};

static void errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(config_freep) struct config *c = NULL;
		_cleanup_free_ char *error = NULL;

		assert_true(config_parse("f", bad[i].text, &options, &c, &error) < 0);
		assert_null(c);
		assert_non_null(error);
		assert_string_equal(error, bad[i].error);
	}
}

static void long_lines_and_long_lists(void **state)
{
	_cleanup_free_ char *error = NULL, *error2 = NULL;
	struct config *c = NULL;
	char text[4096] = "[Target]\nComm=";

	(void)state;
	memset(text + strlen(text), 'x', 300);
	assert_int_equal(config_parse("f", text, &options, &c, &error), -EINVAL);
	assert_string_equal(error, "f:2: the line is longer than 190 bytes; write it as several lines");

	strcpy(text, "[Target]\n");
	for (int i = 0; i < 300; i++)
		strcat(text, "Pid=7\n");
	assert_int_equal(config_parse("f", text, &options, &c, &error2), -E2BIG);
	assert_string_equal(error2, "f:258: [Target] Pid: more than 256 values");
	assert_null(c);
}

static void drop_ins_come_in_order(void **state)
{
	char directory[] = "/tmp/unit-config-XXXXXX", path[64];
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_free_ char *error = NULL;
	_cleanup_close_ int fd = -1;

	(void)state;
	assert_non_null(mkdtemp(directory));
	fd = open(directory, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "%s/e.conf", directory);
	assert_int_equal(config_load(path, true, &options, &c, &error), -ENOENT);
	assert_non_null(strstr(error, "e.conf: cannot be read: No such file"));
	free(error);
	error = NULL;
	assert_int_equal(config_load(path, false, &options, &c, &error), 0);
	c = config_free(c);

	assert_int_equal(dir_make(fd, "e.conf.d", 0755), 0);
	assert_int_equal(file_write_atomic(fd, "e.conf", "[Profile]\nFrequencyHz=1\n", 24, 0644), 0);
	assert_int_equal(file_write_atomic(fd, "e.conf.d/20.conf", "[Profile]\nFrequencyHz=20\n", 25, 0644), 0);
	assert_int_equal(file_write_atomic(fd, "e.conf.d/10.conf", "[Profile]\nFrequencyHz=10\n", 25, 0644), 0);
	assert_int_equal(file_write_atomic(fd, "e.conf.d/30.txt", "nonsense", 8, 0644), 0);
	assert_int_equal(config_load(path, true, &options, &c, &error), 0);
	assert_int_equal(c->frequency_hz, 20);
	c = config_free(c);

	assert_int_equal(file_write_atomic(fd, "e.conf.d/40.conf", "[Profile]\nNo=1\n", 15, 0644), 0);
	assert_int_equal(config_load(path, true, &options, &c, &error), -EINVAL);
	assert_non_null(strstr(error, "e.conf.d/40.conf:2: [Profile] No:"));
	free(error);
	error = NULL;
	assert_int_equal(file_write_atomic(fd, "e.conf.d/40.conf", "[Profile]\n\0\n", 12, 0644), 0);
	assert_int_equal(config_load(path, true, &options, &c, &error), -EINVAL);
	assert_non_null(strstr(error, "NUL bytes"));
	assert_null(c);

	(void)unlinkat(fd, "e.conf.d/10.conf", 0);
	(void)unlinkat(fd, "e.conf.d/20.conf", 0);
	(void)unlinkat(fd, "e.conf.d/30.txt", 0);
	(void)unlinkat(fd, "e.conf.d/40.conf", 0);
	(void)unlinkat(fd, "e.conf.d", AT_REMOVEDIR);
	(void)unlinkat(fd, "e.conf", 0);
	(void)rmdir(directory);
}

static void uploads(void **state)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_free_ char *error = NULL;

	(void)state;
	assert_int_equal(config_parse("f",
	                         "[Labels]\nenv=production\nServiceName=unit nginx* web\nServiceName=comm\n"
	                         "[Upload]\nUrl=http://a:4318\n"
	                         "[Upload two]\nProtocol=otlp-grpc\nUrl=https://b:4317\nCompression=zstd\n"
	                         "TokenFile=/etc/token\nHeader=X-A: b c\nAttributes=thread pid\nSpoolBytes=1M\n"
	                         "[Upload three]\nProtocol=pprof-dir\nUrl=/var/profiles\nRetention=2d\n"
	                         "[Upload two]\nTimeout=3s\n",
	                         &options, &c, &error),
	        0);
	assert_int_equal(c->n_uploads, 3);
	assert_string_equal(c->uploads[0]->name, "default");
	assert_string_equal(c->uploads[0]->protocol, "otlp-http");
	assert_string_equal(c->uploads[0]->compression, "gzip");
	assert_null(c->uploads[0]->token_file);
	assert_string_equal(c->uploads[1]->protocol, "otlp-grpc");
	assert_int_equal(c->uploads[1]->timeout_ns, 3 * NS_PER_SEC);
	assert_int_equal(c->uploads[1]->spool_bytes, 1 << 20);
	assert_int_equal(c->uploads[1]->attributes.n, 2);
	assert_string_equal(c->uploads[1]->headers.items[0], "X-A: b c");
	assert_string_equal(c->uploads[2]->url, "/var/profiles");
	assert_int_equal(c->service_names.n, 2);
	assert_string_equal(c->labels.items[0], "env=production");
}

static void uploads_refused(void **state)
{
	static const char *const refused[] = {
		"[Upload a b]\nUrl=http://x\n",
		"[Upload ../x]\nUrl=http://x\n",
		"[Upload x]\nProtocol=otlp\n",
		"[Upload x]\nProtocol=otlp-http, otlp-grpc\n",
		"[Upload x]\nProtocol=otlp-http\n", /* no Url */
		"[Upload x]\nUrl=file:///etc/passwd\n",
		"[Upload x]\nUrl=ftp://x\n",
		"[Upload x]\nUrl=http://user:secret@x\n",
		"[Upload x]\nUrl=/var/dir\n",
		"[Upload x]\nProtocol=pprof-dir\nUrl=http://x\n",
		"[Upload x]\nUrl=http://x\nTokenFile=token\n",
		"[Upload x]\nUrl=http://x\nCertFile=/c\n",
		"[Upload x]\nUrl=http://x\nHeader=nothing\n",
		"[Upload x]\nUrl=http://x\nColour=red\n",
		"[Labels]\nServiceName=pid\n",
		"[Labels]\nServiceName=label:tid\n",
		"[Labels]\na b=c\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		_cleanup_(config_freep) struct config *c = NULL;
		_cleanup_free_ char *error = NULL;

		if (config_parse("f", refused[i], &options, &c, &error) >= 0)
			fail_msg("taken: %s", refused[i]);
		assert_non_null(error);
	}
}

/* The shipped file is all comments, names every key and says the true defaults. */
static void shipped_file_is_the_table(void **state)
{
	_cleanup_free_ char *text = NULL, *printed = NULL;
	char path[512];
	size_t size, printed_size;
	FILE *to = open_memstream(&printed, &printed_size);

	(void)state;
	assert_non_null(to);
	config_print_defaults(to);
	fclose(to);
	snprintf(path, sizeof(path), "%s/../config/emberd.conf", getenv("G_DATA") ? getenv("G_DATA") : "tests");
	assert_int_equal(file_read_all(AT_FDCWD, path, 1 << 20, &text, &size), 0);
	for (char *line = strtok(printed, "\n"); line; line = strtok(NULL, "\n"))
		if (!strstr(text, line))
			fail_msg("config/emberd.conf lacks the line %s", line);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(defaults),
	cmocka_unit_test(values),
	cmocka_unit_test(errors),
	cmocka_unit_test(long_lines_and_long_lists),
	cmocka_unit_test(drop_ins_come_in_order),
	cmocka_unit_test(uploads),
	cmocka_unit_test(uploads_refused),
	cmocka_unit_test(shipped_file_is_the_table),
};

UNIT_MAIN(tests)
