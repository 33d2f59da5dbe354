#include "tests/unit/unit.h"
#include "daemon/cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct expected {
	const char *path, *unit, *container;
};

static const struct expected paths[] = {
	{ "/", "", "" },
	{ "", "", "" },
	{ "/system.slice/nginx.service", "nginx.service", "" },
	{ "/system.slice/nginx.service/worker", "nginx.service", "" },
	{ "/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", "" },
	{ "/init.scope", "init.scope", "" },
	{ "/user.slice/user-1000.slice/session-3.scope", "session-3.scope", "" },
	{ "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-12.scope", "app-firefox-12.scope", "" },
	{ "/user.slice/user-1000.slice/user@1000.service/init.scope", "init.scope", "" },
	{ "/user.slice/user-1000.slice/user@1000.service", "user@1000.service", "" },
	{ "/system.slice/_memory.service", "memory.service", "" },
	{ "/system.slice", "", "" },
	{ "/system.slice/docker-" ID ".scope", "docker-" ID ".scope", ID },
	{ "/docker/" ID, "", ID },
	{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-" ID ".scope",
	        "cri-containerd-" ID ".scope", ID },
	{ "/kubepods/besteffort/pod12/" ID, "", ID },
	{ "/kubepods.slice/crio-" ID ".scope/container", "crio-" ID ".scope", ID },
	{ "/machine.slice/libpod-" ID ".scope", "libpod-" ID ".scope", ID },
	{ "/kubepods.slice/crio-conmon-" ID ".scope", "crio-conmon-" ID ".scope", "" },
	{ "/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:" ID, "containerd.service", ID },
	{ "/lxc.payload.web/system.slice/cron.service", "", "web" },
	{ "/docker/" ID "/docker/f" ID, "", ID }, /* 65 digits are no ID */
	{ "/foo/bar", "", "" },
	{ "/x" ID, "", "" },
	{ "///", "", "" },
	{ "/.service", "", "" },
};

static void names_in_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		char unit[CGROUP_NAME_MAX], container[CGROUP_NAME_MAX];

		cgroup_parse_unit(paths[i].path, unit);
		cgroup_parse_container(paths[i].path, container);
		assert_string_equal(unit, paths[i].unit);
		assert_string_equal(container, paths[i].container);
	}
}

static void long_names_are_cut(void **state)
{
	char path[2000] = "/", unit[CGROUP_NAME_MAX];

	(void)state;
	memset(path + 1, 'x', 1500);
	strcpy(path + 1501, ".service");
	cgroup_parse_unit(path, unit);
	assert_int_equal(strlen(unit), CGROUP_NAME_MAX - 1);
}

/* A directory of any file system: file handles do not fit, the tree is walked. */
static void finds_by_number_and_by_unit(void **state)
{
	char directory[] = "/tmp/unit-cgroups-XXXXXX";
	_cleanup_(cgroups_freep) struct cgroups *c = NULL;
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *path = NULL, *nested = NULL;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(directory));
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(dir_make(fd, "system.slice/a.service/sub", 0755), 0);
	assert_int_equal(dir_make(fd, "user.slice/b.service", 0755), 0);
	assert_int_equal(cgroups_new(directory, &c), 0);
	assert_int_equal(fstatat(fd, "system.slice/a.service/sub", &st, 0), 0);
	assert_string_equal(cgroups_get(c, st.st_ino)->path, "/system.slice/a.service/sub");
	assert_string_equal(cgroups_get(c, st.st_ino)->unit, "a.service");
	assert_string_equal(cgroups_get(c, 1)->path, "");
	assert_int_equal(cgroups_count(c), 2);

	assert_int_equal(cgroups_find_unit(c, "a.service", &path), 0);
	assert_string_equal(path, "/system.slice/a.service");
	assert_int_equal(cgroups_find_unit(c, "b.service", &nested), 0);
	assert_string_equal(nested, "/user.slice/b.service");
	assert_int_equal(cgroups_find_unit(c, "c.service", &path), -ENOENT);
	assert_int_equal(cgroups_find_unit(c, "../x", &path), -ENOENT);

	(void)unlinkat(fd, "system.slice/a.service/sub", AT_REMOVEDIR);
	/* Gone, and still known. */
	assert_string_equal(cgroups_get(c, st.st_ino)->path, "/system.slice/a.service/sub");
	(void)unlinkat(fd, "system.slice/a.service", AT_REMOVEDIR);
	(void)unlinkat(fd, "system.slice", AT_REMOVEDIR);
	(void)unlinkat(fd, "user.slice/b.service", AT_REMOVEDIR);
	(void)unlinkat(fd, "user.slice", AT_REMOVEDIR);
	(void)rmdir(directory);
}

static void is_bounded(void **state)
{
	char directory[] = "/tmp/unit-cgroups-XXXXXX";
	_cleanup_(cgroups_freep) struct cgroups *c = NULL;

	(void)state;
	assert_non_null(mkdtemp(directory));
	assert_int_equal(cgroups_new(directory, &c), 0);
	for (uint64_t id = 1; id < CGROUPS_MAX * 2; id++)
		assert_string_equal(cgroups_get(c, id)->path, "");
	assert_int_equal(cgroups_count(c), CGROUPS_MAX);
	cgroups_trim(c);
	assert_int_equal(cgroups_count(c), 0);
	(void)rmdir(directory);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(names_in_paths),
	cmocka_unit_test(long_names_are_cut),
	cmocka_unit_test(finds_by_number_and_by_unit),
	cmocka_unit_test(is_bounded),
};

UNIT_MAIN(tests)
