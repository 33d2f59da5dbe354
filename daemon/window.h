/* One window: what one source gathered in one interval, aggregated while it is gathered. Equal (stack, labels) are one
 * sample whose values are added up; frames, stacks and label sets are stored once each. Memory is bounded: a sample
 * that does not fit is refused and counted, and its values are added to the lost ones, so the ledger can tell.
 *
 * Addresses only: names come later, when the window is closed and read by its readers. No I/O, no logging. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "daemon/sample.h"

struct window;

#define WINDOW_BYTES_MAX (6u << 20)
#define WINDOW_FRAMES_MAX (STACK_KERNEL_FRAMES_MAX + STACK_USER_FRAMES_MAX)

enum window_space {
	WINDOW_SPACE_KERNEL,    /* address: the kernel's own, raw */
	WINDOW_SPACE_FILE,      /* file: FILE_FIRST or above, or FILE_VDSO; address: file offset */
	WINDOW_SPACE_ANONYMOUS, /* address: of process, in memory without a file */
	WINDOW_SPACE_UNKNOWN,   /* address: in a file that nobody has told of, or nowhere */
};

/* The address is what to look up: of a return address already the byte before it. */
struct window_frame {
	uint64_t address;
	uint32_t space;   /* WINDOW_SPACE_* */
	uint32_t file;    /* of WINDOW_SPACE_FILE */
	uint32_t process; /* of WINDOW_SPACE_ANONYMOUS: index of a process, else 0 */
	uint32_t padding;
};

struct window_process {
	uint64_t start_ns; /* tells a reused PID */
	uint32_t pid;
	uint32_t padding;
};

struct window_labels {
	uint64_t start_ns, cgroup_id;
	uint32_t pid, tid;
	uint32_t exe; /* file index */
	uint32_t padding;
	char comm[SAMPLE_COMM_MAX], thread[SAMPLE_COMM_MAX];
	struct sample_label own[SAMPLE_LABELS_MAX];
};

struct window_sample {
	uint32_t stack, labels;
};

struct window_stack {
	const uint32_t *frames; /* leaf first */
	size_t n;
	const char *truncated; /* NULL: complete */
};

struct window_counts {
	uint64_t samples;   /* taken */
	uint64_t truncated; /* of them, without their root */
	uint64_t lost;      /* refused for want of room */
};

/* n_values: sample types of the source. bytes_max bounds what the window holds. */
int window_new(size_t n_values, size_t bytes_max, struct window **ret);
struct window *window_free(struct window *w);
DEFINE_CLEANUP(struct window *, window_free)

/* 0; -ENOSPC where there is no room (counted as lost); -ENOMEM likewise. */
int window_add(struct window *w, const struct sample *s);

/* Readers. Indices count from 0. */
size_t window_n_values(const struct window *w);
uint32_t window_n_samples(const struct window *w);
uint32_t window_n_frames(const struct window *w);
uint32_t window_n_stacks(const struct window *w);
uint32_t window_n_label_sets(const struct window *w);
uint32_t window_n_processes(const struct window *w);
const struct window_sample *window_sample(const struct window *w, uint32_t i);
const int64_t *window_values(const struct window *w, uint32_t sample);
const struct window_frame *window_frame(const struct window *w, uint32_t i);
struct window_stack window_stack(const struct window *w, uint32_t i);
const struct window_labels *window_labels(const struct window *w, uint32_t i);
const struct window_process *window_process(const struct window *w, uint32_t i);
const struct window_counts *window_counts(const struct window *w);
size_t window_bytes(const struct window *w);
