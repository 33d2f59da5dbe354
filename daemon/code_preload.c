/* Learning ahead: the executables and libraries that running processes have mapped, so that a sample finds their rows
 * ready. A few processes each turn of the event loop. */
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/intern.h"
#include "base/proc_stat.h"
#include "daemon/code_table.h"

#define PROCESSES_MAX 65536
#define FILES_SEEN_MAX 4096
#define PROCESSES_A_TURN 2
#define FILES_PRELOADED_MAX 1024 /* a quarter of the table: samples decide about the rest */

struct preload {
	struct code *code;
	DIR *proc;
	struct intern *seen; /* device and inode */
	unsigned processes, files;
};

struct process {
	struct preload *preload;
	pid_t pid;
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

static int mapping_expect(void *userdata, const struct proc_mapping *m)
{
	struct process *process = userdata;
	struct {
		uint64_t inode;
		uint32_t device_major, device_minor;
	} key;
	uint32_t id, index;

	if (m->inode == 0 || m->path[0] != '/')
		return 0;
	memset(&key, 0, sizeof(key));
	key.inode = m->inode;
	key.device_major = m->device_major;
	key.device_minor = m->device_minor;
	if (intern_put(process->preload->seen, &key, sizeof(key), &id) != 1)
		return 0;
	process->preload->files += code_expect(process->preload->code, process->pid, m, false, &index) == 1;
	return 0;
}

static void process_read(struct preload *p, pid_t pid)
{
	struct process process = { .preload = p, .pid = pid };

	(void)proc_maps_read(pid, mapping_expect, &process);
}

static int on_turn(sd_event_source *source, void *userdata)
{
	struct preload *p = userdata;
	int left = PROCESSES_A_TURN;
	pid_t pid;

	while (left > 0 && p->processes < PROCESSES_MAX && p->files < FILES_PRELOADED_MAX &&
	        (pid = proc_next(p->proc))) {
		process_read(p, pid);
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
