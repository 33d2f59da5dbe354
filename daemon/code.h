/* Code known by file: the table of executables and libraries that samples have hit, and the unwinder's maps that all
 * sources share. BPF programs give a file an index when they first see it and tell its path; from then on this module
 * opens the file, lets ember-symbolizer identify it and make unwind rows, and fills the maps. Samples name files by an
 * ID that is never reused while the daemon runs (the kernel's index and a generation). */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>
#include "base/cleanup.h"
#include "bpf/abi.h"
#include "symbolizer/protocol.h"

struct code;
struct symbolizer;
struct bpf_object;

struct code_config {
	sd_event *event;               /* borrowed */
	struct symbolizer *symbolizer; /* borrowed; NULL: frame pointers only, files are known by path alone */
	int cache_dirfd;    /* STORE/cache, borrowed; rows are kept in rows/ below it; -1: no cache on disk */
	uint64_t map_bytes; /* budget of the shared maps; 0: CODE_MAP_BYTES_DEFAULT */
};

#define CODE_MAP_BYTES_DEFAULT (10u << 20)

/* Creates the shared maps. -EPERM: no privilege for BPF. */
int code_new(const struct code_config *config, struct code **ret);
/* Close every source and free the symbolizer first. NULL in, NULL out. */
struct code *code_free(struct code *c);
DEFINE_CLEANUP(struct code *, code_free)

/* Learns the executables and libraries of running processes ahead of their first sample. Bounded work; goes on from the
 * event loop. */
int code_preload(struct code *c);

/* ---- for windows ------------------------------------------------------------------------------------------------ */

enum {
	CODE_IDENTIFIED = 1 << 0, /* file_id, build_id and segments are known */
	CODE_DELETED = 1 << 1,    /* no longer at its path */
	CODE_UNREADABLE = 1 << 2, /* could not be opened, or the file at the path is another one by now */
	CODE_NOT_ELF = 1 << 3,
	CODE_POISONED = 1 << 4, /* the symbolizer died of it: not asked again */
	CODE_VDSO = 1 << 5,
};

struct code_file {
	uint32_t id;                         /* as in struct user_frame and struct sample */
	uint32_t flags;                      /* CODE_* */
	const char *path;                    /* as the process sees it; "[vdso]" for the vDSO; never NULL */
	const char *file_id;                 /* GNU build ID in hex, else htlhash in hex; "" until identified */
	struct symbolizer_identity identity; /* zeroed until identified */
	uint64_t inode, size_bytes, mtime_ns;
};

/* Borrowed until the event loop runs again. NULL: FILE_NONE .. FILE_ANONYMOUS, or no longer known (idle for long). */
const struct code_file *code_get(struct code *c, uint32_t id);

/* A descriptor of the file for symbolizing, checked to be the same file: O_RDONLY, belongs to the caller. Works for
 * deleted files (a bounded number are kept open). -ENOENT: cannot be reached any more. */
int code_open(struct code *c, uint32_t id);

/* Keeps ids of files that a window uses from being reused: files seen since the earliest hold are not forgotten. Take
 * one when a window opens, give it back when it has been symbolized. */
uint64_t code_hold(struct code *c);
void code_release(struct code *c, uint64_t hold);

/* 1 while identifications or rows are under way (a first window may wait a little for them). */
int code_busy(const struct code *c);

struct code_stats {
	uint32_t files, files_identified, files_failed, files_room;
	uint32_t files_recycled;
	uint32_t pages_loaded, rows_used, rows_room, rules_used, rules_room;
	uint64_t page_misses, pages_evicted;
	uint64_t rows_from_cache, rows_made;
	uint64_t map_bytes; /* memory of the shared maps */
};
void code_stats(struct code *c, struct code_stats *ret);

/* As code_new() was given them. */
sd_event *code_loop(const struct code *c);
struct symbolizer *code_symbolizer(const struct code *c);

/* ---- for sources ------------------------------------------------------------------------------------------------ */

/* Makes the maps of obj that carry a shared map's name the shared ones. Between open and load. */
int code_share_maps(struct code *c, struct bpf_object *obj);
/* A file event or page-miss event from a ring. -EBADMSG where it is malformed. */
int code_event(struct code *c, const void *record, size_t size);
/* The ID of a kernel index, as of now. */
uint32_t code_id(struct code *c, uint32_t index);
/* About once a second: releases evicted room, retries, forgets idle files. */
void code_tick(struct code *c);
