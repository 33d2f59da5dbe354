/* Uprobes on one file for one process, many sites at a time: by one uprobe_multi link where the kernel has them (6.6),
 * as a session (6.13) where the program wants to decide at the call whether it is asked at the return, else one perf
 * event a site. Everything hangs on descriptors: when emberd dies, however it dies, the kernel takes the breakpoints
 * out. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/cleanup.h"

struct bpf_program;

/* Values of enum bpf_attach_type, which the distribution's headers may not have yet. */
#define UPROBE_ATTACH_MULTI 48
#define UPROBE_ATTACH_SESSION 57

struct uprobe_site {
	uint64_t offset;         /* in the file */
	uint64_t counter_offset; /* USDT semaphore, 0 for none */
	uint64_t cookie;
};

struct uprobe;

/* prog must have been loaded with the expected attach type that is given here: UPROBE_ATTACH_MULTI,
 * UPROBE_ATTACH_SESSION, or 0 for perf events. is_return: at the return of the function (not with a session). fd: the
 * file, borrowed. */
int uprobe_attach(const struct bpf_program *prog, int attach_type, int is_return, int fd, pid_t pid,
        const struct uprobe_site *sites, size_t n, struct uprobe **ret);
struct uprobe *uprobe_detach(struct uprobe *u); /* NULL in, NULL out; waits for the kernel (tens of ms) */
DEFINE_CLEANUP(struct uprobe *, uprobe_detach)
/* A link is a descriptor: asks for room for so many, more than the usual 1024, as far as the hard limit allows. */
void uprobe_want_files(uint64_t n);
