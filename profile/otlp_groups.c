#include "profile/otlp_groups.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>
#include "base/intern.h"
#include "profile/otlp_wire.h"

#define KEY_BYTES_MAX 4096

const char *otlp_attribute_name(const char *label, int *ret_is_resource)
{
	for (size_t i = 0; i < ARRAY_SIZE(otlp_label_names); i++)
		if (strcmp(otlp_label_names[i].label, label) == 0) {
			*ret_is_resource = otlp_label_names[i].is_resource;
			return otlp_label_names[i].attribute;
		}
	*ret_is_resource = 0;
	return label;
}

int otlp_unit_is_lasting(const char *unit)
{
	const char *dot = strrchr(unit, '.');

	return !dot || strcmp(dot, ".scope") != 0;
}

static size_t put_key(char *key, size_t at, const void *data, size_t n)
{
	if (at + n > KEY_BYTES_MAX)
		return at;
	memcpy(key + at, data, n);
	return at + n;
}

/* All that the resource will say, as bytes: the service, then (name, value) of the resource's labels. */
static size_t make_key(const struct profile *p, const struct otlp_options *o, const struct profile_label *labels,
        size_t n, const char *service, char key[KEY_BYTES_MAX])
{
	size_t at = put_key(key, 0, service, strlen(service) + 1);

	for (size_t i = 0; i < n; i++) {
		const char *name = profile_string(p, labels[i].key, NULL);
		int is_resource;

		if (labels[i].unit != PROFILE_NONE) {
			if ((o->flags & OTLP_PER_PROCESS) && strcmp(name, "pid") == 0)
				at = put_key(key, at, &labels[i].value, sizeof(labels[i].value));
			continue;
		}
		(void)otlp_attribute_name(name, &is_resource);
		if (!is_resource)
			continue;
		if (strcmp(name, "unit") == 0 && !(o->flags & OTLP_ALL_LABELS) &&
		        !otlp_unit_is_lasting(profile_string(p, (uint32_t)labels[i].value, NULL)))
			continue;
		at = put_key(key, at, &labels[i].key, sizeof(labels[i].key));
		at = put_key(key, at, &labels[i].value, sizeof(labels[i].value));
	}
	return at;
}

static int add_group(struct otlp_groups *g, const struct otlp_group *group)
{
	if ((g->n & (g->n - 1)) == 0) {
		size_t room = g->n ? (size_t)g->n * 2 : 16;
		struct otlp_group *bigger = reallocarray(g->groups, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		g->groups = bigger;
	}
	g->groups[g->n++] = *group;
	return 0;
}

static int group_of(const struct profile *p, const struct otlp_options *o, struct intern *known, uint32_t set,
        struct otlp_groups *g, uint32_t *ret)
{
	char key[KEY_BYTES_MAX];
	struct otlp_group group = { .labels = set };
	const struct profile_label *labels;
	size_t n, size;
	int r;

	labels = profile_label_set(p, set, &n);
	service_name(o->services, p, labels, n, group.service);
	size = make_key(p, o, labels, n, group.service, key);
	if (intern_find(known, key, size, ret) == 0)
		return 0;
	if (intern_count(known) + 1 >= OTLP_RESOURCES_MAX) {
		group = (struct otlp_group){ .service = "other", .labels = PROFILE_NONE };
		size = put_key(key, 0, "other", 5); /* no NUL: no other key is like it */
	}
	r = intern_put(known, key, size, ret);
	if (r <= 0)
		return r;
	group.key = XXH3_64bits(group.service, strlen(group.service)) + *ret;
	return add_group(g, &group);
}

/* Counting sort of the samples by group. */
static int sort_samples(const struct profile *p, struct otlp_groups *g)
{
	uint32_t n = profile_n_samples(p);
	_cleanup_free_ uint32_t *at = NULL;

	g->start = calloc((size_t)g->n + 2, sizeof(*g->start));
	g->order = calloc((size_t)n + 1, sizeof(*g->order));
	at = calloc((size_t)g->n + 1, sizeof(*at));
	if (!g->start || !g->order || !at)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		g->start[g->of_label_set[profile_sample(p, i)->labels] + 1]++;
	for (uint32_t i = 0; i < g->n; i++) {
		g->start[i + 1] += g->start[i];
		at[i] = g->start[i];
	}
	for (uint32_t i = 0; i < n; i++)
		g->order[at[g->of_label_set[profile_sample(p, i)->labels]]++] = i;
	return 0;
}

static int make(const struct profile *p, const struct otlp_options *o, struct otlp_groups *g)
{
	_cleanup_(intern_freep) struct intern *known = NULL;
	uint32_t n = profile_n_label_sets(p);
	int r;

	r = intern_new(OTLP_RESOURCES_MAX, (size_t)OTLP_RESOURCES_MAX * KEY_BYTES_MAX, &known);
	if (r < 0)
		return r;
	g->of_label_set = calloc((size_t)n + 1, sizeof(*g->of_label_set));
	if (!g->of_label_set)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		r = group_of(p, o, known, i, g, &g->of_label_set[i]);
		if (r < 0)
			return r;
	}
	return sort_samples(p, g);
}

int otlp_groups_make(const struct profile *p, const struct otlp_options *options, struct otlp_groups *ret)
{
	struct otlp_groups g = { 0 };
	int r;

	assert(ret);

	r = make(p, options, &g);
	if (r < 0) {
		otlp_groups_done(&g);
		return r;
	}
	*ret = g;
	return 0;
}

void otlp_groups_done(struct otlp_groups *g)
{
	free(g->groups);
	free(g->of_label_set);
	free(g->order);
	free(g->start);
	*g = (struct otlp_groups){ 0 };
}
