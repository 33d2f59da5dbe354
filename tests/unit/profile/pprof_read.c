#include "tests/unit/profile/sample_profile.h"
#include "profile/compress.h"
#include "profile/ledger.h"
#include "profile/pprof.h"
#include "profile/pprof_wire.h"

#define _cleanup_profile_ _cleanup_(profile_freep)

/* ---- messages by hand ---- */

static void varint(struct buffer *b, uint64_t v)
{
	uint8_t bytes[VARINT_BYTES_MAX];

	(void)buffer_append(b, bytes, (size_t)(varint_put(bytes, v) - bytes));
}

static void number(struct buffer *b, uint32_t field, uint64_t v)
{
	varint(b, field << 3 | WIRE_VARINT);
	varint(b, v);
}

static void bytes(struct buffer *b, uint32_t field, const void *data, size_t n)
{
	varint(b, field << 3 | WIRE_BYTES);
	varint(b, n);
	(void)buffer_append(b, data, n);
}

/* A message of numbers: pairs of field and value, 0 at the end. */
static void message(struct buffer *b, uint32_t field, const uint64_t *pairs)
{
	_cleanup_buffer_ struct buffer m = BUFFER(4096);

	for (; pairs && *pairs; pairs += 2)
		number(&m, (uint32_t)pairs[0], pairs[1]);
	bytes(b, field, m.data, m.size);
}

#define NUMBERS(...) ((const uint64_t[]){ __VA_ARGS__, 0 })

static void strings(struct buffer *b)
{
	static const char *const texts[] = { "", "samples", "count", "main", "comm", "app", "tid", "emberd.lost=5" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		bytes(b, PPROF_STRING_TABLE, texts[i], strlen(texts[i]));
}

/* A good small file, unpacked, in the order of the field numbers: location 7 and function 9 have odd ids. */
static struct buffer small(void)
{
	struct buffer b = BUFFER(1 << 20), l = BUFFER(4096);

	message(&b, PPROF_SAMPLE_TYPE, NUMBERS(1, 1, 2, 2));
	message(&b, PPROF_SAMPLE, NUMBERS(SAMPLE_LOCATION_ID, 7, SAMPLE_LOCATION_ID, 7, SAMPLE_VALUE, 3));
	message(&b, PPROF_MAPPING, NUMBERS(MAPPING_ID, 1, MAPPING_LIMIT, 4096));
	number(&l, LOCATION_ID, 7);
	number(&l, LOCATION_MAPPING_ID, 1);
	message(&l, LOCATION_LINE, NUMBERS(LINE_FUNCTION_ID, 9, LINE_LINE, 12));
	bytes(&b, PPROF_LOCATION, l.data, l.size);
	message(&b, PPROF_FUNCTION, NUMBERS(FUNCTION_ID, 9, FUNCTION_NAME, 3));
	strings(&b);
	number(&b, PPROF_COMMENT, 7);
	buffer_done(&l);
	return b;
}

static void assert_error(const struct buffer *b, int expected, const char *text)
{
	_cleanup_profile_ struct profile *p = NULL;
	struct profile_error error = { "" };
	int r = pprof_read(NULL, b->data, b->size, &p, &error);

	if (r != expected || !strstr(error.text, text))
		fail_msg("%d \"%s\" where %d \"%s\" is expected", r, error.text, expected, text);
	assert_null(p);
}

/* ---- good files ---- */

static void unpacked_numbers_and_odd_ids_are_read(void **state)
{
	_cleanup_profile_ struct profile *p = NULL;
	_cleanup_buffer_ struct buffer b = small();
	int64_t lost;
	size_t n;

	(void)state;
	assert_int_equal(pprof_read(NULL, b.data, b.size, &p, NULL), 0);
	assert_int_equal(profile_total(p, 0), 3);
	assert_int_equal(profile_stack(p, 0, &n)[1], 0);
	assert_int_equal(n, 2);
	assert_int_equal(ledger_get(p, LEDGER_LOST, &lost), 0);
	assert_int_equal(lost, 5);
}

static void packed_and_unknown_fields_are_read(void **state)
{
	_cleanup_profile_ struct profile *p = NULL;
	_cleanup_buffer_ struct buffer b = small(), s = BUFFER(4096);

	(void)state;
	bytes(&s, SAMPLE_LOCATION_ID, "\x07\x07\x07", 3);
	bytes(&s, SAMPLE_LOCATION_ID, "", 0); /* packed, of length 0 */
	bytes(&s, SAMPLE_VALUE, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
	number(&s, 77, 1);
	bytes(&b, PPROF_SAMPLE, s.data, s.size);
	bytes(&b, 99, "whatever", 8);
	(void)buffer_append(&b,
	        "\xa1\x06"
	        "12345678"
	        "\xa5\x06"
	        "1234",
	        16); /* fixed64 and fixed32 fields 100 */
	assert_int_equal(pprof_read(NULL, b.data, b.size, &p, NULL), 0);
	assert_int_equal(profile_n_samples(p), 2);
	assert_int_equal(profile_total(p, 0), 2); /* 3 - 1 */
}

static void reading_twice_adds_up(void **state)
{
	static const enum compression kinds[] = { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };
	_cleanup_profile_ struct profile *p = sample_profile(), *q = NULL;
	_cleanup_buffer_ struct buffer b = BUFFER(1 << 20);
	int64_t lost;

	(void)state;
	assert_int_equal(pprof_write(p, &b), 0);
	assert_int_equal(profile_new(NULL, &q), 0);
	for (size_t i = 0; i < 3; i++) {
		_cleanup_buffer_ struct buffer c = BUFFER(1 << 20);

		assert_int_equal(compress_bytes(kinds[i], 0, b.data, b.size, &c), 0);
		assert_int_equal(pprof_read_into(q, NULL, c.data, c.size, NULL), 0);
	}
	assert_int_equal(profile_n_samples(q), 4);
	assert_int_equal(profile_n_locations(q), 5);
	assert_int_equal(profile_total(q, 0), 78);
	assert_int_equal(profile_total(q, 1), 780000000);
	assert_int_equal(profile_n_comments(q), 2);
	assert_int_equal(ledger_get(q, "lost", &lost), 0);
	assert_int_equal(lost, 6);
	assert_true(profile_header(q)->duration_ns == 180ll * 1000000000);
	assert_true(profile_header(q)->time_ns == 1790000000ll * 1000000000);
}

static bool only_tid_101(void *userdata, const struct profile *p, const struct profile_label *labels, size_t n)
{
	++*(int *)userdata;
	for (size_t i = 0; i < n; i++)
		if (strcmp(profile_string(p, labels[i].key, NULL), "tid") == 0)
			return labels[i].value == 101;
	return false;
}

static void labels_are_dropped_and_chosen_on_the_way(void **state)
{
	static const char *const drop[] = { "tid", NULL };
	_cleanup_profile_ struct profile *p = sample_profile(), *all = NULL, *some = NULL;
	_cleanup_buffer_ struct buffer b = BUFFER(1 << 20);
	struct pprof_read_options options = { .drop_labels = drop };
	int asked = 0;

	(void)state;
	assert_int_equal(pprof_write(p, &b), 0);
	assert_int_equal(profile_new(NULL, &all), 0);
	assert_int_equal(pprof_read_into(all, &options, b.data, b.size, NULL), 0);
	assert_int_equal(profile_n_samples(all), 3); /* two threads had one stack */
	assert_int_equal(profile_total(all, 0), 26);
	for (uint32_t i = 0; i < profile_n_label_sets(all); i++) {
		size_t n;

		(void)profile_label_set(all, i, &n);
		assert_int_equal(n, 1); /* comm alone */
	}

	options.want = only_tid_101;
	options.userdata = &asked;
	assert_int_equal(profile_new(NULL, &some), 0);
	assert_int_equal(pprof_read_into(some, &options, b.data, b.size, NULL), 0);
	assert_int_equal(profile_n_samples(some), 2);
	assert_int_equal(profile_total(some, 0), 10);
	assert_int_equal(asked, 3);
}

static void no_stacks_leaves_totals_by_label_set(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile(), *q = NULL;
	_cleanup_buffer_ struct buffer b = BUFFER(1 << 20);
	const struct pprof_read_options options = { .flags = PPROF_READ_NO_STACKS };

	(void)state;
	assert_int_equal(pprof_write(p, &b), 0);
	assert_int_equal(profile_new(NULL, &q), 0);
	assert_int_equal(pprof_read_into(q, &options, b.data, b.size, NULL), 0);
	assert_int_equal(profile_n_samples(q), 3);
	assert_int_equal(profile_n_locations(q), 0);
	assert_int_equal(profile_total(q, 1), 260000000);
}

static void sample_types_may_come_in_another_order(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile(), *swapped = sample_profile(), *q = NULL;
	_cleanup_buffer_ struct buffer a = BUFFER(1 << 20), b = BUFFER(1 << 20), c = small();
	struct profile_header *h = profile_header(swapped);
	struct profile_value_type t = h->sample_types[0];
	struct profile_error error;

	(void)state;
	h->sample_types[0] = h->sample_types[1];
	h->sample_types[1] = t;
	assert_int_equal(pprof_write(p, &a), 0);
	assert_int_equal(pprof_write(swapped, &b), 0);
	assert_int_equal(profile_new(NULL, &q), 0);
	assert_int_equal(pprof_read_into(q, NULL, a.data, a.size, NULL), 0);
	assert_int_equal(pprof_read_into(q, NULL, b.data, b.size, NULL), 0);
	assert_int_equal(profile_total(q, 0), 26 + 260000000);
	assert_int_equal(profile_total(q, 1), 26 + 260000000);
	assert_int_equal(pprof_read_into(q, NULL, c.data, c.size, &error), -EINVAL);
	assert_int_equal(profile_total(q, 0), 26 + 260000000);
}

/* ---- bad files ---- */

static void broken_references_are_named(void **state)
{
	static const struct {
		uint32_t field;
		uint64_t numbers[9];
		const char *text;
	} cases[] = {
		{ PPROF_SAMPLE, { SAMPLE_LOCATION_ID, 99, SAMPLE_VALUE, 1 }, "sample 2: location 99 does not exist" },
		{ PPROF_SAMPLE, { SAMPLE_LOCATION_ID, UINT64_MAX, SAMPLE_VALUE, 1 }, "does not exist" },
		{ PPROF_SAMPLE, { SAMPLE_LOCATION_ID, 0, SAMPLE_VALUE, 1 }, "location 0 does not exist" },
		{ PPROF_SAMPLE, { SAMPLE_LOCATION_ID, 7 }, "sample 2: 0 values for 1 sample types" },
		{ PPROF_SAMPLE, { SAMPLE_VALUE, 7, SAMPLE_VALUE, 7 }, "more than 1 values" },
		{ PPROF_MAPPING, { MAPPING_ID, 1 }, "mapping 2: id 1 is taken" },
		{ PPROF_MAPPING, { MAPPING_LIMIT, 1 }, "mapping 2: its id is 0" },
		{ PPROF_MAPPING, { MAPPING_ID, 2, MAPPING_FILENAME, 8 }, "mapping 2: string 8 does not exist" },
		{ PPROF_FUNCTION, { FUNCTION_ID, 9 }, "function 2: id 9 is taken" },
		{ PPROF_FUNCTION, { FUNCTION_ID, 2, FUNCTION_NAME, UINT64_MAX }, "string -1 does not exist" },
		{ PPROF_LOCATION, { LOCATION_ID, 7 }, "location 2: id 7 is taken" },
		{ PPROF_LOCATION, { LOCATION_ID, 8, LOCATION_MAPPING_ID, 3 }, "location 2: mapping 3 does not exist" },
		{ PPROF_LOCATION, { LOCATION_ID, 8, LOCATION_LINE, 3 }, "location 2: malformed field" },
		{ PPROF_SAMPLE_TYPE, { VALUE_TYPE_TYPE, 1 << 20 }, "sample type 2: string 1048576 does not exist" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buffer_ struct buffer b = small();

		message(&b, cases[i].field, cases[i].numbers);
		assert_error(&b, -EBADMSG, cases[i].text);
	}
}

static void broken_messages_are_refused(void **state)
{
	_cleanup_buffer_ struct buffer empty = BUFFER(1), typed = small(), packed = small(), text = BUFFER(64),
	                               label = small(), nothing = BUFFER(64), group = small(), comment = small();

	(void)state;
	assert_error(&empty, -EBADMSG, "empty");
	number(&typed, PPROF_SAMPLE, 1);
	assert_error(&typed, -EBADMSG, "field 2 has wire type 0");
	bytes(&packed, PPROF_SAMPLE, "\x0a\x01\x80", 3);
	assert_error(&packed, -EBADMSG, "sample 2: malformed field");
	message(&nothing, PPROF_SAMPLE_TYPE, NULL);
	assert_error(&nothing, -EBADMSG, "no string table");
	bytes(&text, PPROF_STRING_TABLE, "x", 1);
	assert_error(&text, -EBADMSG, "first string is not empty");
	bytes(&label, PPROF_SAMPLE, "\x10\x01\x1a\x02\x08\x63", 6);
	assert_error(&label, -EBADMSG, "sample 2: string 99 does not exist");
	(void)buffer_append(&group, "\x0b\x0c", 2);
	assert_error(&group, -EBADMSG, "malformed or cut short at byte");
	number(&comment, PPROF_COMMENT, 50);
	assert_error(&comment, -EBADMSG, "string 50 does not exist");
}

static void limits_are_refused(void **state)
{
	_cleanup_buffer_ struct buffer deep = small(), ids = BUFFER(4096), lines = small(), l = BUFFER(1 << 16),
	                               types = small(), labels = small(), s = BUFFER(4096), comments = small();

	(void)state;
	for (int i = 0; i <= PROFILE_STACK_DEPTH_MAX; i++)
		varint(&ids, 7);
	bytes(&s, SAMPLE_LOCATION_ID, ids.data, ids.size);
	bytes(&deep, PPROF_SAMPLE, s.data, s.size);
	assert_error(&deep, -E2BIG, "sample 2: deeper than 1024 locations");

	number(&l, LOCATION_ID, 1);
	for (int i = 0; i <= PROFILE_LINES_MAX; i++)
		message(&l, LOCATION_LINE, NUMBERS(LINE_FUNCTION_ID, 9));
	bytes(&lines, PPROF_LOCATION, l.data, l.size);
	assert_error(&lines, -E2BIG, "location 2: more than 256 lines");

	for (int i = 0; i < PROFILE_SAMPLE_TYPES_MAX; i++)
		message(&types, PPROF_SAMPLE_TYPE, NUMBERS(VALUE_TYPE_TYPE, 1));
	assert_error(&types, -E2BIG, "sample type 9: more than 8");

	s.size = 0;
	number(&s, SAMPLE_VALUE, 1);
	for (uint64_t i = 0; i <= PROFILE_LABELS_MAX; i++)
		message(&s, SAMPLE_LABEL, NUMBERS(LABEL_KEY, 4, LABEL_NUM, i));
	bytes(&labels, PPROF_SAMPLE, s.data, s.size);
	assert_error(&labels, -E2BIG, "sample 2: more than 64 labels");

	for (int i = 0; i <= PROFILE_COMMENTS_MAX; i++)
		number(&comments, PPROF_COMMENT, 3);
	assert_error(&comments, -E2BIG, "more than 1024 comments");
}

static void every_cut_is_refused_or_read(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile();
	_cleanup_buffer_ struct buffer b = BUFFER(1 << 20);

	(void)state;
	assert_int_equal(pprof_write(p, &b), 0);
	for (size_t n = 0; n < b.size; n++) {
		_cleanup_profile_ struct profile *q = NULL;
		_cleanup_free_ char *exact = malloc(n + 1); /* so that a sanitizer sees the end */
		int r;

		memcpy(exact, b.data, n);
		exact = realloc(exact, n ? n : 1);
		r = pprof_read(NULL, exact, n, &q, NULL);
		assert_true(r == 0 || r == -EBADMSG);
	}
}

static void every_flipped_bit_is_survived(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile();
	_cleanup_buffer_ struct buffer b = BUFFER(1 << 20);

	(void)state;
	assert_int_equal(pprof_write(p, &b), 0);
	for (size_t bit = 0; bit < b.size * 8; bit++) {
		_cleanup_profile_ struct profile *q = NULL;

		b.data[bit / 8] ^= (char)(1 << bit % 8);
		(void)pprof_read(NULL, b.data, b.size, &q, NULL);
		b.data[bit / 8] ^= (char)(1 << bit % 8);
	}
}

static void failure_leaves_the_destination_as_it_was(void **state)
{
	_cleanup_profile_ struct profile *p = sample_profile();
	_cleanup_buffer_ struct buffer b = BUFFER(1 << 20);
	struct profile_mark before, after;
	struct profile_header header;

	(void)state;
	assert_int_equal(pprof_write(p, &b), 0);
	message(&b, PPROF_LOCATION, NUMBERS(LOCATION_ID, 1000, LOCATION_ADDRESS, 4711));
	message(&b, PPROF_SAMPLE, NUMBERS(SAMPLE_LOCATION_ID, 1000, SAMPLE_VALUE, 1, SAMPLE_VALUE, 1));
	message(&b, PPROF_SAMPLE, NUMBERS(SAMPLE_LOCATION_ID, 999));
	before = profile_mark(p);
	header = *profile_header(p);
	assert_int_equal(pprof_read_into(p, NULL, b.data, b.size, NULL), -EBADMSG);
	after = profile_mark(p);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_memory_equal(&header, profile_header(p), sizeof(header));
	assert_int_equal(profile_total(p, 0), 26);
	put_sample(p, (uint32_t[]){ 2, 1, 0 }, 3, "app", 101, 1, 0);
	assert_int_equal(profile_n_samples(p), 4);
}

static void memory_is_bounded(void **state)
{
	const struct profile_limits limits = { .bytes_max = 1 << 20 };
	_cleanup_profile_ struct profile *p = NULL;
	_cleanup_buffer_ struct buffer many = BUFFER(64 << 20), bomb = BUFFER(64 << 20);
	_cleanup_free_ char *zeros = calloc(1, 64 << 20);
	struct profile_error error;

	(void)state;
	/* Strings of two bytes each: the offsets alone go over the limit. */
	for (int i = 0; i < 1000000; i++)
		(void)buffer_append(&many, "\x32\x00", 2);
	assert_int_equal(pprof_read(&limits, many.data, many.size, &p, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "limit of memory"));

	assert_int_equal(compress_bytes(COMPRESSION_ZSTD, 0, zeros, 64 << 20, &bomb), 0);
	assert_true(bomb.size < 100000);
	assert_int_equal(pprof_read(&limits, bomb.data, bomb.size, &p, &error), -E2BIG);
	assert_non_null(strstr(error.text, "decompressed"));
	bomb.size = 0;
	assert_int_equal(compress_bytes(COMPRESSION_GZIP, 0, zeros, 64 << 20, &bomb), 0);
	assert_int_equal(pprof_read(&limits, bomb.data, bomb.size, &p, &error), -E2BIG);
	assert_null(p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(unpacked_numbers_and_odd_ids_are_read),
	cmocka_unit_test(packed_and_unknown_fields_are_read),
	cmocka_unit_test(reading_twice_adds_up),
	cmocka_unit_test(labels_are_dropped_and_chosen_on_the_way),
	cmocka_unit_test(no_stacks_leaves_totals_by_label_set),
	cmocka_unit_test(sample_types_may_come_in_another_order),
	cmocka_unit_test(broken_references_are_named),
	cmocka_unit_test(broken_messages_are_refused),
	cmocka_unit_test(limits_are_refused),
	cmocka_unit_test(every_cut_is_refused_or_read),
	cmocka_unit_test(every_flipped_bit_is_survived),
	cmocka_unit_test(failure_leaves_the_destination_as_it_was),
	cmocka_unit_test(memory_is_bounded),
};

UNIT_MAIN(tests)
