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
	UT_hash_handle hh;
};

struct sums {
	double alloc_objects, alloc_bytes, inuse_objects, inuse_bytes;
};

struct allocated {
	double objects, bytes, variance; /* of bytes */
};

/* What is to be told of one stack of one process: fresh is not settled yet. */
struct account {
	struct account_key {
		uint32_t pid, stack;
	} key;
	struct allocated fresh, seen, scaled;
	double inuse_objects, inuse_bytes;
	UT_hash_handle hh;
};

struct heap_objects {
	struct heap_objects_limits limits;
	struct keeper *stacks;
	struct object *objects;
	struct account *accounts;
	struct sums carry; /* fractions that were not told yet */
	double told_bytes, told_variance, untold_bytes;
	uint64_t dropped;
	unsigned thinned; /* times */
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

static void forget_account(struct heap_objects *h, struct account *a)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an element that is in has a table */
	HASH_DEL(h->accounts, a);
	free(a);
}

struct heap_objects *heap_objects_free(struct heap_objects *h)
{
	struct object *o, *next;
	struct account *a, *next_account;

	if (!h)
		return NULL;
	HASH_ITER (hh, h->objects, o, next)
		forget(h, o);
	HASH_ITER (hh, h->accounts, a, next_account)
		forget_account(h, a);
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

static int put_account(struct heap_objects *h, struct account *a)
{
	HASH_ADD(hh, h->accounts, key, sizeof(a->key), a);
	return a->hh.tbl ? 0 : -ENOMEM;
}

static struct account *account_of(struct heap_objects *h, uint32_t pid, uint32_t stack)
{
	const struct account_key key = { .pid = pid, .stack = stack };
	struct account *a;

	HASH_FIND(hh, h->accounts, &key, sizeof(key), a);
	if (a)
		return a;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->key = key;
	if (put_account(h, a) >= 0)
		return a;
	free(a);
	return NULL;
}

/* From here on it need not be known as an object to be told as allocated. */
static int count_allocated(struct heap_objects *h, const struct sample *s, const struct object *o, uint32_t *ret_stack)
{
	struct account *a;
	int r = keeper_put(h->stacks, s, ret_stack);

	if (r < 0)
		return r;
	a = account_of(h, o->pid, *ret_stack);
	if (!a)
		return -ENOMEM;
	a->fresh.objects += o->weight;
	a->fresh.bytes += o->weight * o->size_bytes;
	a->fresh.variance += o->weight * (o->weight - 1) * o->size_bytes * o->size_bytes;
	return 0;
}

static int follow(struct heap_objects *h, const struct object *object)
{
	struct object *o;

	if (HASH_COUNT(h->objects) >= h->limits.objects)
		return -ENOSPC;
	o = malloc(sizeof(*o));
	if (!o)
		return -ENOMEM;
	*o = *object;
	HASH_ADD(hh, h->objects, id, sizeof(o->id), o);
	if (o->hh.tbl)
		return 0;
	free(o);
	return -ENOMEM;
}

int heap_objects_add(struct heap_objects *h, uint64_t id, const struct sample *s, uint64_t size_bytes, double weight)
{
	struct object o = { .id = id, .size_bytes = (double)size_bytes, .weight = weight, .pid = s->pid };
	int r = count_allocated(h, s, &o, &o.stack);

	if (r < 0)
		h->untold_bytes += weight * (double)size_bytes;
	else
		r = follow(h, &o);
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

double heap_objects_release(struct heap_objects *h, uint64_t id)
{
	struct object *o = find(h, id);
	double weight = o ? o->weight : 0;

	if (o)
		forget(h, o);
	return weight;
}

void heap_objects_forget(struct heap_objects *h, uint32_t pid, heap_objects_address_t each, void *userdata)
{
	struct object *o, *next;

	HASH_ITER (hh, h->objects, o, next) {
		if (o->pid != pid)
			continue;
		if (o->address && each)
			each(userdata, pid, o->address);
		forget(h, o);
	}
}

bool heap_objects_are_many(const struct heap_objects *h)
{
	return HASH_COUNT(h->objects) > h->limits.objects / 4 * 3;
}

bool heap_objects_are_few(const struct heap_objects *h)
{
	return HASH_COUNT(h->objects) < h->limits.objects / 8;
}

/* By a bit of each one's number, hashed, another one each time: sizes and stacks do not come into it. */
void heap_objects_thin(struct heap_objects *h, heap_objects_address_t each, void *userdata)
{
	struct object *o, *next;
	unsigned bit = h->thinned++ % 64;

	HASH_ITER (hh, h->objects, o, next) {
		if (XXH3_64bits(&o->id, sizeof(o->id)) >> bit & 1) {
			o->weight *= 2;
			continue;
		}
		if (o->address && each)
			each(userdata, o->pid, o->address);
		forget(h, o);
	}
}

static void add_allocated(struct allocated *to, const struct allocated *a, double scale)
{
	to->objects += a->objects * scale;
	to->bytes += a->bytes * scale;
	to->variance += a->variance * scale * scale;
}

static void settle_used(struct heap_objects *h, const struct object *o, double scale)
{
	struct account *a = o->address ? account_of(h, o->pid, o->stack) : NULL;

	if (a) {
		a->inuse_objects += o->weight * scale;
		a->inuse_bytes += o->weight * o->size_bytes * scale;
	} else if (o->address)
		h->dropped++;
}

void heap_objects_settle(struct heap_objects *h, uint32_t pid, double scale, double inuse_scale)
{
	for (struct account *a = h->accounts; a; a = a->hh.next) {
		if (pid != 0 && a->key.pid != pid)
			continue;
		add_allocated(&a->seen, &a->fresh, 1);
		add_allocated(&a->scaled, &a->fresh, scale);
		a->fresh = (struct allocated){ 0 };
	}
	for (const struct object *o = h->objects; o; o = o->hh.next)
		if (pid == 0 || o->pid == pid)
			settle_used(h, o, inuse_scale);
}

static int64_t whole(double value, double *carry)
{
	double sum = value + *carry, rounded = rint(sum);

	*carry = sum - rounded;
	return (int64_t)rounded;
}

static void tell(struct heap_objects *h, const struct account *account, double factor, double seen_factor,
        heap_objects_each_t each, void *userdata)
{
	const struct allocated *a = seen_factor > 0 ? &account->seen : &account->scaled;
	double by = seen_factor > 0 ? seen_factor : factor;
	struct heap_objects_values values = {
		.alloc_objects = whole(a->objects * by, &h->carry.alloc_objects),
		.alloc_bytes = whole(a->bytes * by, &h->carry.alloc_bytes),
		.inuse_objects = whole(account->inuse_objects * factor, &h->carry.inuse_objects),
		.inuse_bytes = whole(account->inuse_bytes * factor, &h->carry.inuse_bytes),
	};
	struct sample s;

	h->told_bytes += a->bytes * by;
	h->told_variance += a->variance * by * by;
	keeper_get(h->stacks, account->key.stack, &s);
	s.time_ns = clock_now_ns(CLOCK_REALTIME);
	each(userdata, &s, &values);
}

void heap_objects_report(struct heap_objects *h, uint32_t pid, double factor, double seen_factor,
        heap_objects_each_t each, void *userdata)
{
	struct account *a, *next;

	HASH_ITER (hh, h->accounts, a, next) {
		if (pid != 0 && a->key.pid != pid)
			continue;
		if (a->seen.objects > 0 || a->inuse_objects > 0)
			tell(h, a, factor, seen_factor, each, userdata);
		if (a->fresh.objects > 0)
			*a = (struct account){ .key = a->key, .fresh = a->fresh, .hh = a->hh };
		else
			forget_account(h, a);
	}
}

double heap_objects_error(struct heap_objects *h)
{
	double error =
	        h->told_bytes > 0 ? sqrt(h->told_variance + h->untold_bytes * h->untold_bytes) / h->told_bytes : 0;

	h->told_bytes = h->told_variance = h->untold_bytes = 0;
	return error;
}

/* Each account is known by its stack's number, which is another one in the new table. */
static void move_accounts(struct heap_objects *h, struct keeper *to)
{
	struct account *a, *next, *moved = h->accounts;

	h->accounts = NULL;
	HASH_ITER (hh, moved, a, next) {
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an element that is in has a table */
		HASH_DEL(moved, a);
		if (keeper_copy(to, h->stacks, a->key.stack, &a->key.stack) >= 0 && put_account(h, a) >= 0)
			continue;
		h->untold_bytes += a->fresh.bytes;
		h->dropped++;
		free(a);
	}
}

int heap_objects_compact(struct heap_objects *h)
{
	_cleanup_(keeper_freep) struct keeper *kept = NULL;
	struct object *o, *next;
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
	move_accounts(h, kept);
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
		.bytes = keeper_bytes(h->stacks) + HASH_COUNT(h->objects) * sizeof(struct object) +
		         HASH_COUNT(h->accounts) * sizeof(struct account),
		.dropped = h->dropped,
	};
	for (o = h->objects; o; o = o->hh.next)
		ret->in_use += o->address != 0;
}
