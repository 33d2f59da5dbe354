#include "profile/profile.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

#include "profile/profile_data.h"

/* ---- memory ---- */

int profile_charge(struct profile *p, uint64_t bytes)
{
	if (bytes > p->limits.bytes_max || p->bytes > p->limits.bytes_max - bytes)
		return -ENOSPC;
	p->bytes += bytes;
	return 0;
}

int profile_pool_reserve(struct profile *p, struct pool *pool, size_t n)
{
	size_t need, room;
	char *bigger;
	int r;

	if (n <= pool->room - pool->size)
		return 0;
	if (n > UINT32_MAX || pool->size + n > UINT32_MAX * (size_t)16)
		return -ENOSPC;
	need = pool->size + n;
	room = pool->room < (1u << 20) ? pool->room * 2 : pool->room + pool->room / 2;
	room = MAX(MAX(room, need), (size_t)256);
	r = profile_charge(p, room - pool->room);
	if (r < 0) { /* the last bytes below the limit are usable too */
		room = need;
		r = profile_charge(p, room - pool->room);
	}
	if (r < 0)
		return r;
	bigger = realloc(pool->data, room);
	if (!bigger) {
		p->bytes -= room - pool->room;
		return -ENOMEM;
	}
	pool->data = bigger;
	pool->room = room;
	return 0;
}

int profile_table_reserve(struct profile *p, struct table *t, uint32_t n)
{
	uint64_t slots = table_slots_for((uint64_t)t->n + n), old = t->n_slots;
	int r;

	if (slots <= old)
		return 0;
	if ((uint64_t)t->n + n >= UINT32_MAX / 4)
		return -ENOSPC;
	r = profile_charge(p, (slots - old) * sizeof(struct table_slot));
	if (r < 0)
		return r;
	r = table_resize(t, slots);
	if (r < 0)
		p->bytes -= (slots - old) * sizeof(struct table_slot);
	return r;
}

/* ---- life ---- */

int profile_new(const struct profile_limits *limits, struct profile **ret)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	uint32_t empty;
	int r;

	assert(ret);

	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->limits = limits ? *limits : PROFILE_LIMITS_DEFAULT;
	p->bytes = sizeof(*p);
	if (getrandom(&p->seed, sizeof(p->seed), GRND_NONBLOCK) != sizeof(p->seed))
		p->seed = (uintptr_t)p;
	r = profile_add_string(p, "", 0, &empty);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

struct profile *profile_free(struct profile *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(p->pools); i++)
		free(p->pools[i].data);
	for (size_t i = 0; i < ARRAY_SIZE(p->tables); i++)
		free(p->tables[i].slots);
	for (uint32_t i = 0; i < p->n_comments; i++)
		free(p->comments[i]);
	free(p->comments);
	free(p);
	return NULL;
}

struct profile_header *profile_header(struct profile *p)
{
	return &p->header;
}

const struct profile_header *profile_header_const(const struct profile *p)
{
	return &p->header;
}

/* ---- strings ---- */

static bool string_equal(const void *owner, uint32_t i, const void *key)
{
	const struct profile *p = owner;
	const struct bytes_key *k = key;
	const struct span *s = &POOL_AT(p->strings, struct span)[i];

	return s->n == k->size && memcmp(p->string_bytes.data + s->first, k->data, k->size) == 0;
}

static int add_hashed_string(struct profile *p, const char *s, size_t size, uint32_t hash, uint32_t *ret)
{
	const struct bytes_key key = { s, size };
	uint32_t i;
	int r;

	i = table_find(&p->string_table, hash, string_equal, p, &key);
	if (i != TABLE_NONE) {
		*ret = i;
		return 0;
	}
	if (size >= UINT32_MAX - 1 || p->string_bytes.size + size + 1 > UINT32_MAX)
		return -ENOSPC;
	r = profile_table_reserve(p, &p->string_table, 1);
	if (r >= 0)
		r = profile_pool_reserve(p, &p->string_bytes, size + 1);
	if (r >= 0)
		r = profile_pool_reserve(p, &p->strings, sizeof(struct span));
	if (r < 0)
		return r;
	i = profile_n_strings(p);
	*(struct span *)pool_take(&p->strings, sizeof(struct span)) =
	        (struct span){ .first = (uint32_t)p->string_bytes.size, .n = (uint32_t)size };
	pool_push(&p->string_bytes, s, size);
	pool_push(&p->string_bytes, "", 1);
	table_insert(&p->string_table, hash, i);
	*ret = i;
	return 0;
}

int profile_add_string(struct profile *p, const char *s, size_t size, uint32_t *ret)
{
	return add_hashed_string(p, s, size, bytes_hash(p, s, size), ret);
}

/* Files of one host say much the same in the same order (pprof_write.c). So where a batch begins with what stands
 * behind the last one that was found, each is compared with the next, and only what is missing or new is looked up. */
static bool string_is_next(const struct profile *p, const struct profile_text *t)
{
	const struct bytes_key key = { t->data, t->size };

	return p->next_string < profile_n_strings(p) && string_equal(p, p->next_string, &key);
}

static int add_strings_in_turn(struct profile *p, const struct profile_text *texts, size_t n, uint32_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		int r;

		ret[i] = p->next_string;
		if (!string_is_next(p, &texts[i])) {
			r = profile_add_string(p, texts[i].data, texts[i].size, &ret[i]);
			if (r < 0)
				return r;
		}
		p->next_string = ret[i] + 1;
	}
	return 0;
}

/* One look-up waits for memory three times: for the slot, the span and the text. Here those of BATCH strings wait
 * together. */
int profile_add_strings(struct profile *p, const struct profile_text *texts, size_t n, uint32_t *ret)
{
	for (size_t first = 0; first < n; first += BATCH) {
		const size_t end = MIN(n, first + BATCH);
		uint32_t hashes[BATCH], guesses[BATCH];

		if (string_is_next(p, &texts[first])) {
			int r = add_strings_in_turn(p, texts + first, end - first, ret + first);

			if (r < 0)
				return r;
			continue;
		}
		for (size_t i = first; i < end; i++) {
			hashes[i - first] = bytes_hash(p, texts[i].data, texts[i].size);
			table_prefetch(&p->string_table, hashes[i - first]);
		}
		for (size_t i = first; i < end; i++) {
			guesses[i - first] = table_guess(&p->string_table, hashes[i - first]);
			if (guesses[i - first] != TABLE_NONE)
				__builtin_prefetch(&POOL_AT(p->strings, struct span)[guesses[i - first]]);
		}
		for (size_t i = first; i < end; i++)
			if (guesses[i - first] != TABLE_NONE)
				__builtin_prefetch(p->string_bytes.data +
				                   POOL_AT(p->strings, struct span)[guesses[i - first]].first);
		for (size_t i = first; i < end; i++) {
			int r = add_hashed_string(p, texts[i].data, texts[i].size, hashes[i - first], &ret[i]);

			if (r < 0)
				return r;
		}
		p->next_string = ret[end - 1] + 1;
	}
	return 0;
}

int profile_add_cstring(struct profile *p, const char *s, uint32_t *ret)
{
	return profile_add_string(p, s, strlen(s), ret);
}

int profile_find_string(const struct profile *p, const char *s, uint32_t *ret)
{
	const struct bytes_key key = { s, strlen(s) };
	uint32_t i = table_find(&p->string_table, bytes_hash(p, s, key.size), string_equal, p, &key);

	if (i == TABLE_NONE)
		return -ENOENT;
	*ret = i;
	return 0;
}

/* ---- mappings and functions: fixed size, compared as they lie ---- */

struct fixed_owner {
	const char *data;
	size_t size;
};

static bool fixed_equal(const void *owner, uint32_t i, const void *key)
{
	const struct fixed_owner *o = owner;

	return memcmp(o->data + i * o->size, key, o->size) == 0;
}

__attribute__((always_inline)) static inline int add_fixed(struct profile *p, struct pool *pool, struct table *table,
        const void *entity, size_t size, uint32_t hash, uint32_t *ret)
{
	const struct fixed_owner owner = { pool->data, size };
	uint32_t i;
	int r;

	i = table_find(table, hash, fixed_equal, &owner, entity);
	if (i != TABLE_NONE) {
		*ret = i;
		return 0;
	}
	r = profile_table_reserve(p, table, 1);
	if (r >= 0)
		r = profile_pool_reserve(p, pool, size);
	if (r < 0)
		return r;
	i = (uint32_t)(pool->size / size);
	pool_push(pool, entity, size);
	table_insert(table, hash, i);
	*ret = i;
	return 0;
}

_Static_assert(sizeof(struct profile_mapping) == 40, "mapping");
_Static_assert(sizeof(struct profile_function) == 24, "function");
_Static_assert(sizeof(struct profile_line) == 16, "line");
_Static_assert(sizeof(struct profile_label) == 16, "label");

int profile_add_mapping(struct profile *p, const struct profile_mapping *m, uint32_t *ret)
{
	struct profile_mapping clean;
	uint32_t n = profile_n_strings(p);

	if (m->filename >= n || m->build_id >= n)
		return -EINVAL;
	memset(&clean, 0, sizeof(clean)); /* with the padding at its end */
	clean.start = m->start;
	clean.limit = m->limit;
	clean.offset = m->offset;
	clean.filename = m->filename;
	clean.build_id = m->build_id;
	clean.flags = m->flags;
	return add_fixed(
	        p, &p->mappings, &p->mapping_table, &clean, sizeof(clean), bytes_hash(p, &clean, sizeof(clean)), ret);
}

static int function_clean(const struct profile *p, const struct profile_function *f, struct profile_function *ret)
{
	const uint32_t n = profile_n_strings(p);

	if (f->name >= n || f->system_name >= n || f->filename >= n)
		return -EINVAL;
	*ret = (struct profile_function){
		.name = f->name,
		.system_name = f->system_name,
		.filename = f->filename,
		.start_line = f->start_line,
	};
	return 0;
}

int profile_add_function(struct profile *p, const struct profile_function *f, uint32_t *ret)
{
	return profile_add_functions(p, f, 1, ret);
}

static bool function_is_next(const struct profile *p, const struct profile_function *f)
{
	const struct profile_function *next = &POOL_AT(p->functions, struct profile_function)[p->next_function];

	return p->next_function < profile_n_functions(p) && f->name == next->name &&
	       f->system_name == next->system_name && f->filename == next->filename &&
	       f->start_line == next->start_line;
}

static int add_functions_in_turn(struct profile *p, const struct profile_function *functions, size_t n, uint32_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		int r;

		ret[i] = p->next_function;
		if (!function_is_next(p, &functions[i])) {
			r = profile_add_function(p, &functions[i], &ret[i]);
			if (r < 0)
				return r;
		}
		p->next_function = ret[i] + 1;
	}
	return 0;
}

int profile_add_functions(struct profile *p, const struct profile_function *functions, size_t n, uint32_t *ret)
{
	int r = 0;

	for (size_t first = 0; first < n; first += BATCH) {
		const size_t end = MIN(n, first + BATCH);
		struct profile_function clean[BATCH];
		uint32_t hashes[BATCH];

		if (function_is_next(p, &functions[first])) {
			r = add_functions_in_turn(p, functions + first, end - first, ret + first);
			if (r < 0)
				return r;
			continue;
		}
		for (size_t i = first; i < end; i++) {
			r = function_clean(p, &functions[i], &clean[i - first]);
			if (r < 0)
				return r;
			hashes[i - first] = bytes_hash(p, &clean[i - first], sizeof(*clean));
			table_prefetch(&p->function_table, hashes[i - first]);
		}
		for (size_t i = first; i < end; i++) {
			uint32_t guess = table_guess(&p->function_table, hashes[i - first]);

			if (guess != TABLE_NONE)
				__builtin_prefetch(&POOL_AT(p->functions, struct profile_function)[guess]);
		}
		for (size_t i = first; i < end; i++) {
			r = add_fixed(p, &p->functions, &p->function_table, &clean[i - first], sizeof(*clean),
			        hashes[i - first], &ret[i]);
			if (r < 0)
				return r;
		}
		p->next_function = ret[end - 1] + 1;
	}
	return 0;
}

/* ---- locations ---- */

static bool location_equal(const void *owner, uint32_t i, const void *key)
{
	const struct profile *p = owner;
	const struct location *a = &POOL_AT(p->locations, struct location)[i];
	const struct profile_location *b = key;

	return a->address == b->address && a->mapping == b->mapping && a->n_lines == b->n_lines &&
	       a->is_folded == b->is_folded &&
	       (a->n_lines == 0 || memcmp(&POOL_AT(p->lines, struct profile_line)[a->first_line], b->lines,
	                                   a->n_lines * sizeof(struct profile_line)) == 0);
}

static int location_check(const struct profile *p, const struct profile_location *l)
{
	if (l->n_lines > PROFILE_LINES_MAX)
		return -E2BIG;
	if (l->mapping != PROFILE_NONE && l->mapping >= profile_n_mappings(p))
		return -EINVAL;
	for (uint32_t i = 0; i < l->n_lines; i++)
		if (l->lines[i].function >= profile_n_functions(p))
			return -EINVAL;
	return 0;
}

static uint32_t location_hash(const struct profile *p, const struct profile_location *l)
{
	const uint64_t head[2] = { l->address, (uint64_t)l->mapping << 32 | l->is_folded };
	const uint64_t seed = XXH3_64bits_withSeed(head, sizeof(head), p->seed);

	return table_hash(XXH3_64bits_withSeed(
	        l->n_lines ? (const void *)l->lines : "", l->n_lines * sizeof(struct profile_line), seed));
}

static int add_hashed_location(struct profile *p, const struct profile_location *l, uint32_t hash, uint32_t *ret)
{
	const size_t lines_size = l->n_lines * sizeof(struct profile_line);
	uint32_t i;
	int r;

	i = table_find(&p->location_table, hash, location_equal, p, l);
	if (i != TABLE_NONE) {
		*ret = i;
		return 0;
	}
	r = profile_table_reserve(p, &p->location_table, 1);
	if (r >= 0)
		r = profile_pool_reserve(p, &p->lines, lines_size);
	if (r >= 0)
		r = profile_pool_reserve(p, &p->locations, sizeof(struct location));
	if (r < 0)
		return r;
	i = profile_n_locations(p);
	*(struct location *)pool_take(&p->locations, sizeof(struct location)) = (struct location){
		.address = l->address,
		.mapping = l->mapping,
		.n_lines = l->n_lines,
		.is_folded = l->is_folded,
		.first_line = POOL_COUNT(p->lines, struct profile_line),
	};
	pool_push(&p->lines, l->lines, lines_size);
	table_insert(&p->location_table, hash, i);
	*ret = i;
	return 0;
}

int profile_add_location(struct profile *p, const struct profile_location *l, uint32_t *ret)
{
	return profile_add_locations(p, l, 1, ret);
}

static bool location_is_next(const struct profile *p, const struct profile_location *l)
{
	return p->next_location < profile_n_locations(p) && location_equal(p, p->next_location, l);
}

static int add_locations_in_turn(struct profile *p, const struct profile_location *list, size_t n, uint32_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		int r;

		ret[i] = p->next_location;
		if (!location_is_next(p, &list[i])) {
			r = profile_add_location(p, &list[i], &ret[i]);
			if (r < 0)
				return r;
		}
		p->next_location = ret[i] + 1;
	}
	return 0;
}

int profile_add_locations(struct profile *p, const struct profile_location *list, size_t n, uint32_t *ret)
{
	const struct location *locations;
	int r;

	for (size_t first = 0; first < n; first += BATCH) {
		const size_t end = MIN(n, first + BATCH);
		uint32_t hashes[BATCH], guesses[BATCH];

		if (location_is_next(p, &list[first])) {
			r = add_locations_in_turn(p, list + first, end - first, ret + first);
			if (r < 0)
				return r;
			continue;
		}
		for (size_t i = first; i < end; i++) {
			r = location_check(p, &list[i]);
			if (r < 0)
				return r;
			hashes[i - first] = location_hash(p, &list[i]);
			table_prefetch(&p->location_table, hashes[i - first]);
		}
		locations = POOL_AT(p->locations, struct location);
		for (size_t i = first; i < end; i++) {
			guesses[i - first] = table_guess(&p->location_table, hashes[i - first]);
			if (guesses[i - first] != TABLE_NONE)
				__builtin_prefetch(&locations[guesses[i - first]]);
		}
		for (size_t i = first; i < end; i++)
			if (guesses[i - first] != TABLE_NONE && locations[guesses[i - first]].n_lines)
				__builtin_prefetch(&POOL_AT(
				        p->lines, struct profile_line)[locations[guesses[i - first]].first_line]);
		for (size_t i = first; i < end; i++) {
			r = add_hashed_location(p, &list[i], hashes[i - first], &ret[i]);
			if (r < 0)
				return r;
		}
		p->next_location = ret[end - 1] + 1;
	}
	return 0;
}

/* ---- comments ---- */

static int comment_copy(struct profile *p, const char *text, char **ret)
{
	size_t size = strlen(text) + 1;
	char *copy;
	int r;

	r = profile_charge(p, size);
	if (r < 0)
		return r;
	copy = malloc(size);
	if (!copy) {
		p->bytes -= size;
		return -ENOMEM;
	}
	*ret = memcpy(copy, text, size);
	return 0;
}

int profile_add_comment(struct profile *p, const char *text)
{
	int r;

	if (p->n_comments >= PROFILE_COMMENTS_MAX)
		return -E2BIG;
	if (!p->comments) {
		r = profile_charge(p, PROFILE_COMMENTS_MAX * sizeof(char *));
		if (r < 0)
			return r;
		p->comments = calloc(PROFILE_COMMENTS_MAX, sizeof(char *));
		if (!p->comments) {
			p->bytes -= PROFILE_COMMENTS_MAX * sizeof(char *);
			return -ENOMEM;
		}
	}
	r = comment_copy(p, text, &p->comments[p->n_comments]);
	if (r < 0)
		return r;
	p->n_comments++;
	return 0;
}

int profile_set_comment(struct profile *p, uint32_t i, const char *text)
{
	char *copy;
	int r;

	assert(i < p->n_comments);
	r = comment_copy(p, text, &copy);
	if (r < 0)
		return r;
	p->bytes -= strlen(p->comments[i]) + 1;
	free(p->comments[i]);
	p->comments[i] = copy;
	return 0;
}
