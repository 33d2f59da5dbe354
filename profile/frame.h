/* What one line of a location is shown as: its name, where it comes from, and its kind, which pictures colour. A
 * location of several lines is several frames: all but the outermost were inlined. One without lines is one frame that
 * is named after its mapping. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "profile/profile.h"

enum frame_kind {
	FRAME_NATIVE,
	FRAME_INLINED,
	FRAME_KERNEL,
	FRAME_JIT,
	FRAME_GO,
	FRAME_SCRIPT,    /* Python, Ruby, JavaScript, ...: told by the source file's suffix */
	FRAME_UNKNOWN,   /* no name: "[libfoo.so]" or "[unknown]" */
	FRAME_TRUNCATED, /* "[truncated: REASON]" */
	FRAME_GROUP,     /* not code: the process, thread, ... that a tree puts above the stacks */
	FRAME_KINDS,
};

/* Mapping of code made at run time and named by a perf map. */
#define FRAME_JIT_MAPPING "[jit]"
#define FRAME_KERNEL_MAPPING "[kernel.kallsyms]"
#define FRAME_NAME_MADE_MAX 256
/* A longer name counts as its first bytes: a name is handled once for each place that has it, so a hostile file could
 * make work without end of one long name. */
#define FRAME_NAME_BYTES_MAX 65536
/* For the same reason a file or a mapping whose name is longer than any path counts as not known. */
#define FRAME_FILE_BYTES_MAX 4096
/* What rows, nodes, ... may copy of files and mappings, all together. */
#define FRAME_KEPT_BYTES_MAX ((size_t)128 << 20)

struct frame {
	const char *name;    /* the profile's, or made below */
	size_t name_size;    /* at most FRAME_NAME_BYTES_MAX; the name itself may go on */
	const char *file;    /* source file, "" where not known */
	const char *mapping; /* "" where not known */
	int64_t line;        /* 0 where not known */
	uint64_t address;
	uint32_t function; /* PROFILE_NONE where there is none */
	enum frame_kind kind;
	char made[FRAME_NAME_MADE_MAX];
};

/* Frames of a location, at least 1. */
uint32_t frame_count(const struct profile *p, uint32_t location);
/* i counts from the innermost, as a location's lines do. *ret borrows from p until something is added to it. */
void frame_get(const struct profile *p, uint32_t location, uint32_t i, struct frame *ret);

/* Copies of both, counted in *kept. -ENOSPC: beyond FRAME_KEPT_BYTES_MAX, -ENOMEM; nothing is changed then. */
int frame_keep(const char *file, const char *mapping, size_t *kept, char **ret_file, char **ret_mapping);

const char *frame_kind_name(enum frame_kind kind); /* "native", "kernel", ... for legends and JSON */
