#include "ctl/smaps.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = { "heap", "anonymous", "stack", "shared", "file", "kernel" };

const char *smaps_kind_name(enum smaps_kind kind)
{
	assert((size_t)kind < ARRAY_SIZE(kind_names));
	return kind_names[kind];
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static enum smaps_kind kind_of(const char *name)
{
	if (strcmp(name, "[heap]") == 0)
		return SMAPS_HEAP;
	if (name[0] == '\0' || begins(name, "[anon"))
		return SMAPS_ANONYMOUS;
	if (begins(name, "[stack"))
		return SMAPS_STACK;
	if (begins(name, "/dev/shm/") || begins(name, "/memfd:") || begins(name, "/SYSV") || begins(name, "/dev/zero"))
		return SMAPS_SHARED;
	return name[0] == '[' ? SMAPS_KERNEL : SMAPS_FILE;
}

static struct smaps_group *group_find(struct smaps *s, enum smaps_kind kind, const char *name)
{
	/* the mappings of a file stand together */
	for (size_t i = s->n; i > 0; i--)
		if (s->groups[i - 1].kind == kind && (kind != SMAPS_FILE || strcmp(s->groups[i - 1].name, name) == 0))
			return &s->groups[i - 1];
	return NULL;
}

static int group_add(struct smaps *s, enum smaps_kind kind, const char *name, struct smaps_group **ret)
{
	static const char *const names[SMAPS_KINDS] = { "[heap]", "anonymous", "[stack]", "shared memory", NULL,
		"kernel" };
	struct smaps_group *grown;
	char *copy;

	if (s->n >= SMAPS_FILES_MAX)
		return -E2BIG;
	grown = realloc(s->groups, (s->n + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->groups = grown;
	copy = strdup(names[kind] ? names[kind] : name);
	if (!copy)
		return -ENOMEM;
	s->groups[s->n] = (struct smaps_group){ .kind = kind, .name = copy };
	*ret = &s->groups[s->n++];
	return 0;
}

static void add_up(struct smaps_bytes *to, const struct smaps_bytes *b)
{
	to->mapped += b->mapped;
	to->resident += b->resident;
	to->private += b->private;
	to->swapped += b->swapped;
	to->mappings += b->mappings;
}

struct reading {
	struct smaps smaps;
	char *name; /* of the mapping whose lines come */
	struct smaps_bytes bytes;
};

static int end_mapping(struct reading *r)
{
	enum smaps_kind kind;
	struct smaps_group *g;
	int failed;

	if (!r->name)
		return 0;
	kind = kind_of(r->name);
	g = group_find(&r->smaps, kind, r->name);
	failed = g ? 0 : group_add(&r->smaps, kind, r->name, &g);
	free(r->name);
	r->name = NULL;
	if (failed < 0)
		return failed;
	add_up(&g->bytes, &r->bytes);
	add_up(&r->smaps.of[kind], &r->bytes);
	add_up(&r->smaps.all, &r->bytes);
	return 0;
}

/* "start-end perms offset device inode   name", or "Rss:    12 kB". */
static int read_line(struct reading *r, char *line)
{
	static const struct {
		const char *key;
		size_t offset;
	} keys[] = {
		{ "Size:", offsetof(struct smaps_bytes, mapped) },
		{ "Rss:", offsetof(struct smaps_bytes, resident) },
		{ "Private_Clean:", offsetof(struct smaps_bytes, private) },
		{ "Private_Dirty:", offsetof(struct smaps_bytes, private) },
		{ "Swap:", offsetof(struct smaps_bytes, swapped) },
	};
	uint64_t start, end;
	int at = 0, failed;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (begins(line, keys[i].key))
			*(uint64_t *)(void *)((char *)&r->bytes + keys[i].offset) +=
			        strtoull(line + strlen(keys[i].key), NULL, 10) * 1024;
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*x %*s %*u %n", &start, &end, &at) < 2 || at == 0)
		return 0;
	failed = end_mapping(r);
	if (failed < 0)
		return failed;
	r->bytes = (struct smaps_bytes){ .mappings = 1 };
	line[strcspn(line, "\n")] = '\0';
	r->name = strdup(line + at);
	return r->name ? 0 : -ENOMEM;
}

static void reading_done(struct reading *r)
{
	free(r->name);
	smaps_done(&r->smaps);
}

static int most_resident_first(const void *a, const void *b)
{
	uint64_t x = ((const struct smaps_group *)a)->bytes.resident,
	         y = ((const struct smaps_group *)b)->bytes.resident;

	return x < y ? 1 : x > y ? -1 : 0;
}

int smaps_read(pid_t pid, struct smaps *ret)
{
	_cleanup_(reading_done) struct reading r = { 0 };
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	char path[32];
	size_t room = 0;
	int failed = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	while (failed >= 0 && getline(&line, &room, f) > 0)
		failed = read_line(&r, line);
	if (failed >= 0)
		failed = ferror(f) ? -ESRCH : end_mapping(&r);
	if (failed < 0)
		return failed;
	if (r.smaps.n)
		qsort(r.smaps.groups, r.smaps.n, sizeof(r.smaps.groups[0]), most_resident_first);
	*ret = r.smaps;
	r.smaps = (struct smaps){ 0 };
	return 0;
}

void smaps_done(struct smaps *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->groups[i].name);
	free(s->groups);
	*s = (struct smaps){ 0 };
}
