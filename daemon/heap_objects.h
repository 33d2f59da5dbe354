/* Sampled allocations: what each stands for, and which of them are still in use.
 *
 * A sample of size bytes taken at a mean interval stands for 1 / (1 - e^(-size/interval)) allocations of its size; the
 * weight is applied to each sample before anything is added up, so sums are unbiased (Poisson sampling by bytes as in
 * tcmalloc and Go). Fractions are carried over from one delivery to the next, so rounding has no bias either.
 *
 * No I/O, no logging. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "daemon/sample.h"

struct heap_objects;

struct heap_objects_limits {
	uint32_t objects, stacks;
	size_t stack_bytes;
};
#define HEAP_OBJECTS_LIMITS_DEFAULT                                                                                    \
	((struct heap_objects_limits){ .objects = HEAP_LIVE_MAX, .stacks = 8192, .stack_bytes = 3u << 20 })

int heap_objects_new(const struct heap_objects_limits *limits, struct heap_objects **ret);
struct heap_objects *heap_objects_free(struct heap_objects *h);
DEFINE_CLEANUP(struct heap_objects *, heap_objects_free)

/* How many allocations one sample stands for; 1 where interval is 0. */
double heap_objects_weight(uint64_t size_bytes, uint64_t interval);

/* An allocation was sampled; it counts as allocated from now on and, once heap_objects_hold() said where, as in use.
 * -ENOSPC, -ENOMEM: counted as dropped; where that is for want of a place for an object it is only not known as in use.
 */
int heap_objects_add(struct heap_objects *h, uint64_t id, const struct sample *s, uint64_t size_bytes, double weight);
void heap_objects_hold(struct heap_objects *h, uint64_t id, uint64_t address);
/* It is freed. Returns how many frees it stands for; 0: it is not known. */
double heap_objects_release(struct heap_objects *h, uint64_t id);

typedef void (*heap_objects_address_t)(void *userdata, uint32_t pid, uint64_t address);
/* All objects of a process are gone (exit, exec) or can no longer be followed (its probes are out). Calls each with
 * their addresses. */
void heap_objects_forget(struct heap_objects *h, uint32_t pid, heap_objects_address_t each, void *userdata);

/* Whether there are so many that room should be made (three quarters of the limit), so few that there could be four
 * times as many (an eighth), and how room is made: every second one, by lot, is followed further and stands for two.
 * Sums stay unbiased. Calls each with the addresses of the others. */
bool heap_objects_are_many(const struct heap_objects *h);
bool heap_objects_are_few(const struct heap_objects *h);
void heap_objects_thin(struct heap_objects *h, heap_objects_address_t each, void *userdata);

/* What was allocated since the last call stands for scale times as much, what is in use now for inuse_scale times: it
 * waits to be told, by stack. */
void heap_objects_settle(struct heap_objects *h, uint32_t pid, double scale, double inuse_scale);

struct heap_objects_values {
	int64_t alloc_objects, alloc_bytes, inuse_objects, inuse_bytes;
};
typedef void (*heap_objects_each_t)(void *userdata, struct sample *s, const struct heap_objects_values *values);
/* Tells what was settled of one process (0: all), times factor, by stack, and forgets it. Where seen_factor is not 0,
 * what was allocated is told as it was seen, whatever scale it was settled with, times that. */
void heap_objects_report(struct heap_objects *h, uint32_t pid, double factor, double seen_factor,
        heap_objects_each_t each, void *userdata);
/* Relative standard error of the bytes told as allocated since the last call, from sampling alone: the variance of a
 * Poisson sample's weight, w^2 (1 - 1/w), added up, and the square of what could not be told. */
double heap_objects_error(struct heap_objects *h);
/* After a report of all: stacks that nothing refers to any more leave memory. */
int heap_objects_compact(struct heap_objects *h);

struct heap_objects_stats {
	uint32_t objects, in_use, stacks;
	uint64_t bytes; /* memory held */
	uint64_t dropped;
};
void heap_objects_stats(const struct heap_objects *h, struct heap_objects_stats *ret);
