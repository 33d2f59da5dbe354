#include "daemon/cgroups.h"

#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <fts.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* File handles of kernfs hold the inode number: include/linux/exportfs.h. */
#define HANDLE_TYPE_KERNFS 0xfe
#define MOUNTINFO_LINES_MAX 10000
#define CONTAINER_ID_HEX 64

struct entry {
	struct cgroup cgroup;
	char *text; /* path, unit and container ID, each with its NUL */
	UT_hash_handle hh;
};

struct cgroups {
	char *mount;
	int mount_fd;
	struct entry *entries;
	bool no_handles; /* open_by_handle_at() is refused: walk */
};

/* ---- names in a path --------------------------------------------------------------------------------------------- */

static bool ends_with(const char *s, size_t n, const char *end)
{
	size_t m = strlen(end);

	return n > m && memcmp(s + n - m, end, m) == 0;
}

static bool is_unit(const char *s, size_t n)
{
	static const char *const suffixes[] = { ".service", ".scope", ".socket", ".mount", ".swap", ".automount" };

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (ends_with(s, n, suffixes[i]))
			return true;
	return false;
}

static void set_name(char ret[CGROUP_NAME_MAX], const char *s, size_t n)
{
	n = MIN(n, (size_t)CGROUP_NAME_MAX - 1);
	memcpy(ret, s, n);
	ret[n] = '\0';
}

/* As systemd reads its own tree: slices, then the unit; what lies below belongs to the unit. A user's manager runs
 * units of its own below itself, and those say more than "user@1000.service". */
void cgroup_parse_unit(const char *path, char ret[CGROUP_NAME_MAX])
{
	ret[0] = '\0';
	for (const char *p = path + strspn(path, "/"); *p; p += strspn(p, "/")) {
		size_t n = strcspn(p, "/");
		const char *name = p;
		size_t size = n;

		if (size > 1 && *name == '_') /* systemd's escape of names that are attributes too */
			name++, size--;
		p += n;
		if (ends_with(name, size, ".slice"))
			continue;
		if (!is_unit(name, size))
			return;
		set_name(ret, name, size);
		if (size < 5 || memcmp(name, "user@", 5) != 0)
			return;
	}
}

static bool is_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isdigit((unsigned char)s[i]) && !(s[i] >= 'a' && s[i] <= 'f'))
			return false;
	return true;
}

/* "docker-ID.scope", "cri-containerd-ID.scope", "crio-ID.scope", "libpod-ID.scope", or "ID" below docker/ and
 * kubepods/; "lxc.payload.NAME". A monitor beside a container ("crio-conmon-ID.scope") is not in it. */
static bool component_container(const char *s, size_t n, char ret[CGROUP_NAME_MAX])
{
	static const char lxc[] = "lxc.payload.";

	if (n > strlen(lxc) && memcmp(s, lxc, strlen(lxc)) == 0) {
		set_name(ret, s + strlen(lxc), n - strlen(lxc));
		return true;
	}
	if (ends_with(s, n, ".scope"))
		n -= strlen(".scope");
	if (n < CONTAINER_ID_HEX || !is_hex(s + n - CONTAINER_ID_HEX, CONTAINER_ID_HEX))
		return false;
	if (n > CONTAINER_ID_HEX && s[n - CONTAINER_ID_HEX - 1] != '-' && s[n - CONTAINER_ID_HEX - 1] != ':')
		return false;
	if (memmem(s, n, "conmon-", strlen("conmon-")))
		return false;
	set_name(ret, s + n - CONTAINER_ID_HEX, CONTAINER_ID_HEX);
	return true;
}

/* The innermost wins: a container in a container. */
void cgroup_parse_container(const char *path, char ret[CGROUP_NAME_MAX])
{
	ret[0] = '\0';
	for (const char *p = path + strspn(path, "/"); *p; p += strspn(p, "/")) {
		size_t n = strcspn(p, "/");

		(void)component_container(p, n, ret);
		p += n;
	}
}

/* ---- number to path ---------------------------------------------------------------------------------------------- */

static int path_of_fd(const struct cgroups *c, int fd, char **ret)
{
	char link[32], path[CGROUP_PATH_MAX];
	size_t mount = strlen(c->mount);
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	if (strncmp(path, c->mount, mount) != 0)
		return -ENOENT;
	*ret = strdup(path[mount] ? path + mount : "/");
	return *ret ? 0 : -ENOMEM;
}

static int path_by_handle(struct cgroups *c, uint64_t id, char **ret)
{
	struct {
		struct file_handle head;
		uint64_t id;
	} handle = { .head = { .handle_bytes = sizeof(id), .handle_type = HANDLE_TYPE_KERNFS } };
	_cleanup_close_ int fd = -1;

	memcpy(handle.head.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(c->mount_fd, &handle.head, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return path_of_fd(c, fd, ret);
}

/* Calls match for each directory below the mount until it returns true. */
static int walk(
        struct cgroups *c, bool (*match)(const FTSENT *e, const void *userdata), const void *userdata, char **ret)
{
	char *roots[] = { c->mount, NULL };
	unsigned seen = 0;
	int r = -ENOENT;
	FTS *fts;

	fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	if (!fts)
		return -errno;
	for (FTSENT *e; seen < CGROUPS_WALK_MAX && (e = fts_read(fts));) {
		size_t mount = strlen(c->mount);

		if (e->fts_info != FTS_D)
			continue;
		seen++;
		if (!match(e, userdata))
			continue;
		*ret = strdup(e->fts_path[mount] ? e->fts_path + mount : "/");
		r = *ret ? 0 : -ENOMEM;
		break;
	}
	(void)fts_close(fts);
	return r;
}

static bool match_id(const FTSENT *e, const void *userdata)
{
	return e->fts_statp->st_ino == *(const uint64_t *)userdata;
}

static bool match_name(const FTSENT *e, const void *userdata)
{
	return strcmp(e->fts_name, userdata) == 0;
}

static int find_path(struct cgroups *c, uint64_t id, char **ret)
{
	if (!c->no_handles)
		return path_by_handle(c, id, ret);
	return walk(c, match_id, &id, ret);
}

static struct entry *entry_free(struct entry *e)
{
	if (e) {
		free(e->text);
		free(e);
	}
	return NULL;
}
DEFINE_CLEANUP(struct entry *, entry_free)

static int entry_new(uint64_t id, const char *path, struct entry **ret)
{
	_cleanup_(entry_freep) struct entry *e = calloc(1, sizeof(*e));
	char unit[CGROUP_NAME_MAX], container[CGROUP_NAME_MAX];
	int n;

	if (!e)
		return -ENOMEM;
	cgroup_parse_unit(path, unit);
	cgroup_parse_container(path, container);
	n = asprintf(&e->text, "%s%c%s%c%s", path, 0, unit, 0, container);
	if (n < 0) {
		e->text = NULL;
		return -ENOMEM;
	}
	e->cgroup = (struct cgroup){ .id = id,
		.path = e->text,
		.unit = e->text + strlen(path) + 1,
		.container_id = e->text + strlen(path) + 1 + strlen(unit) + 1 };
	*ret = TAKE_PTR(e);
	return 0;
}

static void forget_all(struct cgroups *c)
{
	struct entry *e, *next;

	HASH_ITER (hh, c->entries, e, next) {
		HASH_DEL(c->entries, e);
		entry_free(e);
	}
}

const struct cgroup *cgroups_get(struct cgroups *c, uint64_t id)
{
	_cleanup_(entry_freep) struct entry *fresh = NULL;
	_cleanup_free_ char *path = NULL;
	static const struct cgroup unknown = { .path = "", .unit = "", .container_id = "" };
	struct entry *e, *added;

	assert(c);

	HASH_FIND(hh, c->entries, &id, sizeof(id), e);
	if (e)
		return &e->cgroup;
	/* A host that makes thousands of cgroups a window loses labels, not memory. */
	if (HASH_COUNT(c->entries) >= CGROUPS_MAX)
		return &unknown;
	if (find_path(c, id, &path) < 0)
		path = NULL;
	if (entry_new(id, path ? path : "", &fresh) < 0)
		return &unknown;
	HASH_ADD(hh, c->entries, cgroup.id, sizeof(id), fresh);
	HASH_FIND(hh, c->entries, &id, sizeof(id), added);
	if (!added)
		return &unknown; /* no memory for the table */
	fresh = NULL;
	return &added->cgroup;
}

void cgroups_trim(struct cgroups *c)
{
	if (HASH_COUNT(c->entries) > CGROUPS_MAX / 2)
		forget_all(c);
}

/* ---- outside ----------------------------------------------------------------------------------------------------- */

static int find_mount(char **ret)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;

	if (!f)
		return -errno;
	for (unsigned n = 0; n < MOUNTINFO_LINES_MAX && getline(&line, &room, f) > 0; n++) {
		char point[CGROUP_PATH_MAX];

		if (!strstr(line, " - cgroup2 ") || sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1)
			continue;
		*ret = strdup(point);
		return *ret ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

/* Handles need CAP_DAC_READ_SEARCH and kernfs: the mount's own number tells. */
static void check_handles(struct cgroups *c)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	c->no_handles = fstat(c->mount_fd, &st) < 0 || path_by_handle(c, st.st_ino, &path) < 0;
}

int cgroups_new(const char *mount, struct cgroups **ret)
{
	_cleanup_(cgroups_freep) struct cgroups *c = NULL;
	int r = 0;

	assert(ret);

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->mount_fd = -1;
	if (mount)
		r = (c->mount = strdup(mount)) ? 0 : -ENOMEM;
	else
		r = find_mount(&c->mount);
	if (r < 0)
		return r;
	c->mount_fd = open(c->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->mount_fd < 0)
		return -errno;
	check_handles(c);
	*ret = TAKE_PTR(c);
	return 0;
}

struct cgroups *cgroups_free(struct cgroups *c)
{
	if (!c)
		return NULL;
	forget_all(c);
	close_fd(c->mount_fd);
	free(c->mount);
	free(c);
	return NULL;
}

const char *cgroups_mount(const struct cgroups *c)
{
	return c->mount;
}

uint32_t cgroups_count(const struct cgroups *c)
{
	return HASH_COUNT(c->entries);
}

int cgroups_find_unit(struct cgroups *c, const char *unit, char **ret_path)
{
	_cleanup_free_ char *direct = NULL;

	assert(c);
	assert(ret_path);

	if (!*unit || strchr(unit, '/'))
		return -ENOENT;
	if (asprintf(&direct, "system.slice/%s", unit) < 0)
		return -ENOMEM;
	if (faccessat(c->mount_fd, direct, F_OK, 0) == 0) {
		return asprintf(ret_path, "/%s", direct) < 0 ? -ENOMEM : 0;
	}
	return walk(c, match_name, unit, ret_path);
}
