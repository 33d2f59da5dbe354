#include "daemon/heap_objects.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <xxhash.h>

#include "base/clock.h"
#include "daemon/keeper.h"

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, size, value) ((value) = (unsigned)XXH3_64bits((key), (size)))
#include <uthash.h>

struct object {
	uint64_t id, address; /* address 0: its call has not returned */
	double size_bytes, weight;
	uint32_t pid, stack;
	int is_told;  /* as allocated */
	int is_freed; /* before it was told */
	UT_hash_handle hh;
};

struct sums {
	double alloc_objects, alloc_bytes, inuse_objects, inuse_bytes;
};

struct allocated {
	double objects, bytes, variance; /* of bytes */
};

/* What is settled of one stack of one process, and waits to be told. */
struct settled {
	struct settled_key {
		uint32_t pid, stack;
	} key;
	struct allocated seen, scaled;
	double inuse_objects, inuse_bytes;
	UT_hash_handle hh;
};

struct heap_objects {
	struct heap_objects_limits limits;
	struct keeper *stacks;
	struct object *objects;
	struct settled *settled;
	struct sums carry; /* fractions that were not told yet */
	double told_bytes, told_variance;
	uint64_t dropped;
};

int heap_objects_new(const struct heap_objects_limits *limits, struct heap_objects **ret)
{
	_cleanup_(heap_objects_freep) struct heap_objects *h = NULL;
	int r;

	assert(ret);

	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->limits = *limits;
	r = keeper_new(limits->stacks, limits->stack_bytes, &h->stacks);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(h);
	return 0;
}

static void forget(struct heap_objects *h, struct object *o)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an element that is in has a table */
	HASH_DEL(h->objects, o);
	free(o);
}

static void remove_settled(struct heap_objects *h, struct settled *s)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an element that is in has a table */
	HASH_DEL(h->settled, s);
	free(s);
}

struct heap_objects *heap_objects_free(struct heap_objects *h)
{
	struct object *o, *next;
	struct settled *s, *next_settled;

	if (!h)
		return NULL;
	HASH_ITER (hh, h->objects, o, next)
		forget(h, o);
	HASH_ITER (hh, h->settled, s, next_settled)
		remove_settled(h, s);
	(void)keeper_free(h->stacks);
	free(h);
	return NULL;
}

double heap_objects_weight(uint64_t size_bytes, uint64_t interval)
{
	if (interval == 0)
		return 1;
	return -1 / expm1(-(double)MAX(size_bytes, (uint64_t)1) / (double)interval);
}

static int add(struct heap_objects *h, uint64_t id, const struct sample *s, uint64_t size_bytes, double weight)
{
	_cleanup_free_ struct object *o = NULL;
	uint32_t stack;
	int r;

	if (HASH_COUNT(h->objects) >= h->limits.objects)
		return -ENOSPC;
	r = keeper_put(h->stacks, s, &stack);
	if (r < 0)
		return r;
	o = malloc(sizeof(*o));
	if (!o)
		return -ENOMEM;
	*o = (struct object){
		.id = id, .size_bytes = (double)size_bytes, .weight = weight, .pid = s->pid, .stack = stack
	};
	HASH_ADD(hh, h->objects, id, sizeof(o->id), o);
	if (!o->hh.tbl)
		return -ENOMEM;
	(void)TAKE_PTR(o);
	return 0;
}

int heap_objects_add(struct heap_objects *h, uint64_t id, const struct sample *s, uint64_t size_bytes, double weight)
{
	int r = add(h, id, s, size_bytes, weight);

	if (r < 0)
		h->dropped++;
	return r;
}

static struct object *find(struct heap_objects *h, uint64_t id)
{
	struct object *o;

	HASH_FIND(hh, h->objects, &id, sizeof(id), o);
	return o;
}

void heap_objects_hold(struct heap_objects *h, uint64_t id, uint64_t address)
{
	struct object *o = find(h, id);

	if (o)
		o->address = address;
}

/* What was not told as allocated yet stays until it is. */
static void end(struct heap_objects *h, struct object *o)
{
	if (o->is_told)
		forget(h, o);
	else
		o->is_freed = 1;
}

double heap_objects_release(struct heap_objects *h, uint64_t id)
{
	struct object *o = find(h, id);
	double weight = o ? o->weight : 0;

	if (o)
		end(h, o);
	return weight;
}

void heap_objects_forget(struct heap_objects *h, uint32_t pid, heap_objects_address_t each, void *userdata)
{
	struct object *o, *next;

	HASH_ITER (hh, h->objects, o, next) {
		if (o->pid != pid)
			continue;
		if (o->address && !o->is_freed && each)
			each(userdata, pid, o->address);
		end(h, o);
	}
}

static struct settled *settled_of(struct heap_objects *h, const struct settled_key *key)
{
	struct settled *s;

	HASH_FIND(hh, h->settled, key, sizeof(*key), s);
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = *key;
	HASH_ADD(hh, h->settled, key, sizeof(s->key), s);
	if (s->hh.tbl)
		return s;
	free(s);
	return NULL;
}

static void add_allocated(struct allocated *a, const struct object *o, double scale)
{
	a->objects += o->weight * scale;
	a->bytes += o->weight * o->size_bytes * scale;
	a->variance += o->weight * (o->weight - 1) * o->size_bytes * o->size_bytes * scale * scale;
}

static void settle(struct heap_objects *h, struct object *o, double scale, double inuse_scale)
{
	const struct settled_key key = { .pid = o->pid, .stack = o->stack };
	int is_in_use = o->address && !o->is_freed;
	struct settled *s;

	if (o->is_told && !is_in_use)
		return;
	s = settled_of(h, &key);
	if (!s) {
		h->dropped++;
		return;
	}
	if (!o->is_told) {
		add_allocated(&s->seen, o, 1);
		add_allocated(&s->scaled, o, scale);
		o->is_told = 1;
	}
	if (is_in_use) {
		s->inuse_objects += o->weight * inuse_scale;
		s->inuse_bytes += o->weight * o->size_bytes * inuse_scale;
	}
}

void heap_objects_settle(struct heap_objects *h, uint32_t pid, double scale, double inuse_scale)
{
	struct object *o, *next;

	HASH_ITER (hh, h->objects, o, next) {
		if (pid != 0 && o->pid != pid)
			continue;
		settle(h, o, scale, inuse_scale);
		if (o->is_freed)
			forget(h, o);
	}
}

static int64_t whole(double value, double *carry)
{
	double sum = value + *carry, rounded = rint(sum);

	*carry = sum - rounded;
	return (int64_t)rounded;
}

static void tell(struct heap_objects *h, const struct settled *settled, double factor, double seen_factor,
        heap_objects_each_t each, void *userdata)
{
	const struct allocated *a = seen_factor > 0 ? &settled->seen : &settled->scaled;
	double by = seen_factor > 0 ? seen_factor : factor;
	struct heap_objects_values values = {
		.alloc_objects = whole(a->objects * by, &h->carry.alloc_objects),
		.alloc_bytes = whole(a->bytes * by, &h->carry.alloc_bytes),
		.inuse_objects = whole(settled->inuse_objects * factor, &h->carry.inuse_objects),
		.inuse_bytes = whole(settled->inuse_bytes * factor, &h->carry.inuse_bytes),
	};
	struct sample s;

	h->told_bytes += a->bytes * by;
	h->told_variance += a->variance * by * by;
	keeper_get(h->stacks, settled->key.stack, &s);
	s.time_ns = clock_now_ns(CLOCK_REALTIME);
	each(userdata, &s, &values);
}

void heap_objects_report(struct heap_objects *h, uint32_t pid, double factor, double seen_factor,
        heap_objects_each_t each, void *userdata)
{
	struct settled *s, *next;

	HASH_ITER (hh, h->settled, s, next) {
		if (pid != 0 && s->key.pid != pid)
			continue;
		tell(h, s, factor, seen_factor, each, userdata);
		remove_settled(h, s);
	}
}

double heap_objects_error(struct heap_objects *h)
{
	double error = h->told_bytes > 0 ? sqrt(h->told_variance) / h->told_bytes : 0;

	h->told_bytes = h->told_variance = 0;
	return error;
}

int heap_objects_compact(struct heap_objects *h)
{
	_cleanup_(keeper_freep) struct keeper *kept = NULL;
	struct object *o, *next;
	struct settled *s, *next_settled;
	int r;

	r = keeper_new(h->limits.stacks, h->limits.stack_bytes, &kept);
	if (r < 0)
		return r;
	HASH_ITER (hh, h->objects, o, next) {
		if (keeper_copy(kept, h->stacks, o->stack, &o->stack) >= 0)
			continue;
		h->dropped++;
		forget(h, o);
	}
	HASH_ITER (hh, h->settled, s, next_settled) { /* refers to stacks as they were */
		h->dropped++;
		remove_settled(h, s);
	}
	(void)keeper_free(h->stacks);
	h->stacks = TAKE_PTR(kept);
	return 0;
}

void heap_objects_stats(const struct heap_objects *h, struct heap_objects_stats *ret)
{
	const struct object *o;

	*ret = (struct heap_objects_stats){
		.objects = HASH_COUNT(h->objects),
		.stacks = keeper_count(h->stacks),
		.bytes = keeper_bytes(h->stacks) + HASH_COUNT(h->objects) * sizeof(struct object),
		.dropped = h->dropped,
	};
	for (o = h->objects; o; o = o->hh.next)
		ret->in_use += o->address != 0 && !o->is_freed;
}
