/* Learning ahead: the executables and libraries that running processes have mapped, so that a sample finds their rows
 * ready. A few processes each turn of the event loop. */
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "base/clock.h"
#include "base/fd.h"
#include "base/intern.h"
#include "daemon/code_table.h"

#define PROCESSES_MAX 65536
#define FILES_SEEN_MAX 4096
#define MAPS_BYTES_MAX (4u << 20)
#define PROCESSES_A_TURN 2
#define FILES_PRELOADED_MAX 1024 /* a quarter of the table: samples decide about the rest */

struct preload {
	struct code *code;
	DIR *proc;
	struct intern *seen; /* device and inode */
	unsigned processes, files;
};

static struct preload *preload_free(struct preload *p)
{
	if (!p)
		return NULL;
	if (p->proc)
		(void)closedir(p->proc);
	intern_free(p->seen);
	free(p);
	return NULL;
}
DEFINE_CLEANUP(struct preload *, preload_free)

/* The key as the kernel will see it; where it does not come out the same (btrfs, overlay) nothing is gained or lost. */
static int key_of(int fd, struct file_key *ret)
{
	struct stat st;
	int generation = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || ioctl(fd, FS_IOC_GETVERSION, &generation) < 0)
		return -ENOTTY;
	*ret = (struct file_key){
		.inode = st.st_ino,
		.size_bytes = (uint64_t)st.st_size,
		.mtime_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_SEC + (uint64_t)st.st_mtim.tv_nsec,
		.device = (uint32_t)(major(st.st_dev) << 20 | minor(st.st_dev)),
		.generation = (uint32_t)generation,
	};
	return 0;
}

static void file_expect(struct preload *p, pid_t pid, unsigned long start, unsigned long end, const char *path)
{
	struct code_meeting m = { .reach = { .pid = pid, .path = path, .start = start, .end = end } };
	_cleanup_close_ int looking = -1, fd = -1;
	char name[128], link[64];
	struct stat st;
	uint32_t index;

	(void)snprintf(name, sizeof(name), "/proc/%d/map_files/%lx-%lx", pid, start, end);
	looking = open(name, O_PATH | O_CLOEXEC);
	if (looking < 0 || fstat(looking, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", looking);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || key_of(fd, &m.reach.key) < 0)
		return;
	if (code_allot(p->code, &m.reach.key, &index) != 1)
		return;
	p->files++;
	code_meet(p->code, index, &m);
}

static void line_read(struct preload *p, pid_t pid, char *line)
{
	unsigned long start, end, inode;
	unsigned device_major, device_minor;
	char permissions[8];
	int path_at = 0;
	struct {
		uint64_t inode;
		uint32_t device_major, device_minor;
	} key;
	uint32_t id;

	if (sscanf(line, "%lx-%lx %7s %*x %x:%x %lu %n", &start, &end, permissions, &device_major, &device_minor,
	            &inode, &path_at) != 6)
		return;
	if (inode == 0 || permissions[2] != 'x' || path_at == 0 || line[path_at] != '/')
		return;
	memset(&key, 0, sizeof(key));
	key.inode = inode;
	key.device_major = device_major;
	key.device_minor = device_minor;
	if (intern_put(p->seen, &key, sizeof(key), &id) != 1)
		return;
	file_expect(p, pid, start, end, line + path_at);
}

static void process_read(struct preload *p, pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	char name[64], *line, *rest;

	(void)snprintf(name, sizeof(name), "/proc/%d/maps", pid);
	if (file_read_all(AT_FDCWD, name, MAPS_BYTES_MAX, &text, NULL) < 0)
		return;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		line_read(p, pid, line);
}

static int on_turn(sd_event_source *source, void *userdata)
{
	struct preload *p = userdata;
	struct dirent *d;
	int left = PROCESSES_A_TURN;

	while (left > 0 && p->processes < PROCESSES_MAX && p->files < FILES_PRELOADED_MAX && (d = readdir(p->proc))) {
		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		process_read(p, (pid_t)strtol(d->d_name, NULL, 10));
		p->processes++;
		left--;
	}
	if (left == 0)
		return 0;
	preload_done(p->code);
	(void)source;
	return 0;
}

static void on_destroy(void *userdata)
{
	preload_free(userdata);
}

int preload_start(struct code *c, sd_event *event, sd_event_source **ret)
{
	_cleanup_(preload_freep) struct preload *p = calloc(1, sizeof(*p));
	sd_event_source *source;
	int r;

	if (!p)
		return -ENOMEM;
	p->code = c;
	p->proc = opendir("/proc");
	if (!p->proc)
		return -errno;
	r = intern_new(FILES_SEEN_MAX, FILES_SEEN_MAX * 32, &p->seen);
	if (r == 0)
		r = sd_event_add_defer(event, &source, on_turn, p);
	if (r < 0)
		return r;
	(void)sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IDLE);
	(void)sd_event_source_set_destroy_callback(source, on_destroy);
	(void)sd_event_source_set_enabled(source, SD_EVENT_ON);
	(void)TAKE_PTR(p);
	*ret = source;
	return 0;
}
