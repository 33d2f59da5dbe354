/* Written by us, decoded by protobuf-c from proto/otlp.proto, held to the rules; read back by us, the same profile. */
#include "tests/unit/unit.h"
#include "profile/otlp.h"

#include <stdio.h>
#include <string.h>
#include "otlp.pb-c.h"
#include "profile/pprof.h"

static uint32_t text(struct profile *p, const char *s)
{
	uint32_t i;

	assert_int_equal(profile_add_cstring(p, s, &i), 0);
	return i;
}

static struct profile_label string_label(struct profile *p, const char *key, const char *value)
{
	return (struct profile_label){ .key = text(p, key), .unit = PROFILE_NONE, .value = text(p, value) };
}

static struct profile_label number_label(struct profile *p, const char *key, int64_t value)
{
	return (struct profile_label){ .key = text(p, key), .value = value };
}

static uint32_t location(struct profile *p, uint32_t mapping, uint64_t address, const char *name, const char *file)
{
	struct profile_function f = { .name = text(p, name), .system_name = text(p, name), .filename = text(p, file) };
	struct profile_line lines[2] = { { .line = 7, .column = 3 }, { .line = -1 } };
	struct profile_location l = { .address = address, .mapping = mapping, .n_lines = 2, .lines = lines };
	uint32_t i;

	assert_int_equal(profile_add_function(p, &f, &lines[0].function), 0);
	lines[1].function = lines[0].function;
	assert_int_equal(profile_add_location(p, &l, &i), 0);
	return i;
}

/* n samples of several processes, one stack each; values of the second type are the first's times period where
 * is_proportional. */
static struct profile *make(unsigned n, bool is_proportional)
{
	struct profile *p = NULL;
	struct profile_header *h;
	struct profile_mapping m;
	uint32_t mapping, kernel;

	assert_int_equal(profile_new(NULL, &p), 0);
	h = profile_header(p);
	h->n_sample_types = 2;
	h->sample_types[0] = (struct profile_value_type){ text(p, "samples"), text(p, "count") };
	h->sample_types[1] = (struct profile_value_type){ text(p, "cpu"), text(p, "nanoseconds") };
	h->period_type = h->sample_types[1];
	h->period = 10000000;
	h->time_ns = 1700000000000000000;
	h->duration_ns = 60000000000;
	m = (struct profile_mapping){ 0x1000, 0x9000, 0, text(p, "/bin/a"),
		text(p, "0123456789abcdef0123456789abcdef01234567"), PROFILE_MAPPING_HAS_FUNCTIONS };
	assert_int_equal(profile_add_mapping(p, &m, &mapping), 0);
	m = (struct profile_mapping){ 0, 0, 0, text(p, "[kernel.kallsyms]"), 0, 0 };
	assert_int_equal(profile_add_mapping(p, &m, &kernel), 0);
	for (unsigned i = 0; i < n; i++) {
		char name[32];
		uint32_t stack[3], s, set;
		struct profile_label labels[5];
		int64_t values[2] = { i + 1, (int64_t)(i + 1) * h->period + !is_proportional };

		(void)snprintf(name, sizeof(name), "f%u", i);
		stack[0] = location(p, kernel, ~0ull - i, "schedule", "");
		stack[1] = location(p, mapping, 0x1000 + i, name, "a.rs");
		stack[2] = location(p, PROFILE_NONE, 5, "bad \xff name", "");
		assert_int_equal(profile_add_stack(p, stack, 3, &s), 0);
		labels[0] = string_label(p, "exe", i % 2 ? "/bin/one" : "/bin/two");
		labels[1] = string_label(p, "comm", i % 3 ? "x" : "y");
		labels[2] = number_label(p, "pid", i % 5);
		labels[3] = number_label(p, "tid", i);
		labels[4] = string_label(p, "unit", "u.service");
		assert_int_equal(profile_add_label_set(p, labels, 5, &set), 0);
		assert_int_equal(profile_add_sample(p, s, set, values, NULL), 0);
	}
	assert_int_equal(profile_add_comment(p, "emberd.lost=3"), 0);
	return p;
}

static Otlp__ExportRequest *unpack(const struct buffer *b)
{
	Otlp__ExportRequest *r = otlp__export_request__unpack(NULL, b->size, (const uint8_t *)b->data);

	assert_non_null(r);
	return r;
}

static const char *attribute(const Otlp__Dictionary *d, int32_t i)
{
	assert_in_range(i, 1, d->n_attribute_table - 1);
	return d->string_table[d->attribute_table[i]->key_strindex];
}

static void check_tables(const Otlp__Dictionary *d)
{
	assert_string_equal(d->string_table[0], "");
	assert_int_equal(d->mapping_table[0]->memory_limit, 0);
	assert_int_equal(d->function_table[0]->name_strindex, 0);
	assert_int_equal(d->location_table[0]->n_lines, 0);
	assert_int_equal(d->stack_table[0]->n_location_indices, 0);
	assert_int_equal(d->n_link_table, 1);
	assert_null(d->attribute_table[0]->value);
	for (size_t i = 1; i < d->n_stack_table; i++)
		for (size_t k = 0; k < d->stack_table[i]->n_location_indices; k++)
			assert_in_range(d->stack_table[i]->location_indices[k], 1, d->n_location_table - 1);
	for (size_t i = 1; i < d->n_location_table; i++) {
		assert_int_equal(d->location_table[i]->n_attribute_indices, 1);
		assert_string_equal(attribute(d, d->location_table[i]->attribute_indices[0]), "profile.frame.type");
		for (size_t k = 0; k < d->location_table[i]->n_lines; k++)
			assert_in_range(d->location_table[i]->lines[k]->function_index, 1, d->n_function_table - 1);
	}
}

static int64_t sum(const Otlp__ExportRequest *r, uint64_t *ret_samples)
{
	int64_t total = 0;

	for (size_t i = 0; i < r->n_resource_profiles; i++) {
		const Otlp__ScopeProfiles *s = r->resource_profiles[i]->scope_profiles[0];

		assert_non_null(r->resource_profiles[i]->resource);
		assert_string_equal(s->scope->name, "emberd");
		for (size_t k = 0; k < s->n_profiles; k++) {
			assert_int_equal(s->profiles[k]->profile_id.len, 16);
			assert_non_null(s->profiles[k]->sample_type);
			assert_non_null(s->profiles[k]->period_type);
			assert_true(s->profiles[k]->n_samples > 0);
			for (size_t l = 0; l < s->profiles[k]->n_samples; l++) {
				assert_int_equal(s->profiles[k]->samples[l]->n_values, 1);
				total += s->profiles[k]->samples[l]->values[0];
				(*ret_samples)++;
			}
		}
	}
	return total;
}

static void the_rules_hold(void **state)
{
	_cleanup_(profile_freep) struct profile *p = make(50, true);
	_cleanup_buffer_ struct buffer b = BUFFER(1u << 20);
	Otlp__ExportRequest *r;
	uint64_t n = 0;

	(void)state;
	assert_int_equal(otlp_write(p, &b), 0);
	assert_true(otlp_sniff(b.data, b.size));
	r = unpack(&b);
	check_tables(r->dictionary);
	assert_int_equal(r->n_resource_profiles, 2);
	assert_int_equal(sum(r, &n), 50 * 51 / 2); /* the time is said by the count */
	assert_int_equal(n, 50);
	otlp__export_request__free_unpacked(r, NULL);
}

static void times_that_counts_do_not_say_are_sent(void **state)
{
	_cleanup_(profile_freep) struct profile *p = make(10, false);
	_cleanup_buffer_ struct buffer b = BUFFER(1u << 20);
	Otlp__ExportRequest *r;

	(void)state;
	assert_int_equal(otlp_write(p, &b), 0);
	r = unpack(&b);
	assert_int_equal(r->resource_profiles[0]->scope_profiles[0]->n_profiles, 2);
	otlp__export_request__free_unpacked(r, NULL);
}

static int append(void *userdata, const void *data, size_t n)
{
	return buffer_append(userdata, data, n);
}

static void limits_split(void **state)
{
	_cleanup_(profile_freep) struct profile *p = make(500, true);
	struct otlp_options o = { .samples_max = 40, .bytes_max = 9000, .id = { 1 } };
	uint8_t seen[600][16];
	size_t n_seen = 0;
	uint64_t total = 0, samples = 0;

	(void)state;
	for (int round = 0; round < 2; round++) {
		_cleanup_(otlp_encoder_freep) struct otlp_encoder *e = NULL;
		size_t at = 0;
		int r;

		assert_int_equal(otlp_encoder_new(p, &o, &e), 0);
		for (;;) {
			_cleanup_buffer_ struct buffer b = BUFFER(1u << 20);
			Otlp__ExportRequest *q;
			struct otlp_part part;

			r = otlp_encoder_next(e, append, &b, &part);
			if (r == 0)
				break;
			assert_int_equal(r, 1);
			assert_in_range(b.size, 1, 9000);
			assert_int_equal(part.bytes, b.size);
			q = unpack(&b);
			check_tables(q->dictionary);
			if (round == 0)
				total += (uint64_t)sum(q, &samples);
			for (size_t i = 0; i < q->n_resource_profiles; i++) {
				const Otlp__Profile *f = q->resource_profiles[i]->scope_profiles[0]->profiles[0];

				assert_in_range(f->n_samples, 1, 40);
				if (round == 0)
					memcpy(seen[n_seen++], f->profile_id.data, 16);
				else
					assert_memory_equal(seen[at++], f->profile_id.data, 16);
			}
			otlp__export_request__free_unpacked(q, NULL);
		}
	}
	assert_true(n_seen > 10);
	for (size_t i = 0; i < n_seen; i++)
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(seen[i], seen[k], 16);
	assert_int_equal(total, 500 * 501 / 2);
	assert_int_equal(samples, 500);
}

static void a_resource_without_bounds_ends(void **state)
{
	_cleanup_(profile_freep) struct profile *p = make(3, true);
	_cleanup_free_ char *text = calloc(1, (2u << 20) + 1);
	struct otlp_pair resource = { .key = "long", .value = text };
	struct otlp_options o = { .bytes_max = 8u << 20, .resource = &resource, .n_resource = 1 };
	_cleanup_(otlp_encoder_freep) struct otlp_encoder *e = NULL;
	_cleanup_buffer_ struct buffer b = BUFFER(16u << 20);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 2u << 20);
	assert_int_equal(otlp_encoder_new(p, &o, &e), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(otlp_encoder_next(e, append, &b, NULL), -E2BIG);
	assert_int_equal(otlp_encoder_next(e, append, &b, NULL), 0);
}

static void one_sample_over_the_limit_is_skipped(void **state)
{
	_cleanup_(profile_freep) struct profile *p = make(3, true);
	struct otlp_options o = { .bytes_max = 100 };
	_cleanup_(otlp_encoder_freep) struct otlp_encoder *e = NULL;
	_cleanup_buffer_ struct buffer b = BUFFER(1u << 20);

	(void)state;
	assert_int_equal(otlp_encoder_new(p, &o, &e), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(otlp_encoder_next(e, append, &b, NULL), -E2BIG);
	assert_int_equal(otlp_encoder_next(e, append, &b, NULL), 0);
}

static void read_back_is_the_same(void **state)
{
	for (int proportional = 0; proportional < 2; proportional++) {
		_cleanup_(profile_freep) struct profile *p = make(200, proportional), *q = NULL, *again = NULL;
		_cleanup_buffer_ struct buffer b = BUFFER(1u << 20), c = BUFFER(1u << 20);
		struct profile_error error = { "" };
		int r;

		(void)state;
		assert_int_equal(otlp_write(p, &b), 0);
		assert_int_equal(profile_new(NULL, &q), 0);
		r = otlp_read(q, b.data, b.size, &error);
		if (r < 0)
			fail_msg("%d %s", r, error.text);
		assert_int_equal(profile_header(q)->n_sample_types, 2);
		assert_int_equal(profile_n_samples(q), profile_n_samples(p));
		assert_int_equal(profile_n_stacks(q), profile_n_stacks(p));
		assert_int_equal(profile_n_label_sets(q), profile_n_label_sets(p));
		assert_int_equal(profile_n_mappings(q), profile_n_mappings(p));
		assert_int_equal(profile_total(q, 0), profile_total(p, 0));
		assert_int_equal(profile_total(q, 1), profile_total(p, 1));
		assert_int_equal(profile_header(q)->time_ns, profile_header(p)->time_ns);
		assert_int_equal(profile_header(q)->duration_ns, profile_header(p)->duration_ns);
		assert_int_equal(profile_n_comments(q), 1);
		/* A second round changes nothing any more. */
		assert_int_equal(otlp_write(q, &c), 0);
		assert_int_equal(profile_new(NULL, &again), 0);
		assert_int_equal(otlp_read(again, c.data, c.size, &error), 0);
		assert_int_equal(profile_total(again, 1), profile_total(p, 1));
		assert_int_equal(profile_n_samples(again), profile_n_samples(p));
	}
}

static void cut_and_flipped_requests_are_no_danger(void **state)
{
	_cleanup_(profile_freep) struct profile *p = make(5, false);
	_cleanup_buffer_ struct buffer b = BUFFER(1u << 20);

	(void)state;
	assert_int_equal(otlp_write(p, &b), 0);
	for (size_t i = 0; i < b.size; i++) {
		_cleanup_(profile_freep) struct profile *q = NULL;
		uint8_t kept = (uint8_t)b.data[i];

		assert_int_equal(profile_new(NULL, &q), 0);
		(void)otlp_read(q, b.data, i, NULL);
		q = profile_free(q);
		b.data[i] = (char)(kept ^ (1u << (i % 8)));
		assert_int_equal(profile_new(NULL, &q), 0);
		(void)otlp_read(q, b.data, b.size, NULL);
		b.data[i] = (char)kept;
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_rules_hold),
	cmocka_unit_test(times_that_counts_do_not_say_are_sent),
	cmocka_unit_test(limits_split),
	cmocka_unit_test(one_sample_over_the_limit_is_skipped),
	cmocka_unit_test(a_resource_without_bounds_ends),
	cmocka_unit_test(read_back_is_the_same),
	cmocka_unit_test(cut_and_flipped_requests_are_no_danger),
};

UNIT_MAIN(tests)
