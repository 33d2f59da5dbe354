#include "profile/flamegraph.h"

#include "base/utf8.h"
#include "profile/assets.h"
#include "profile/frame.h"
#include "tests/unit/profile/stacks.h"

static const struct flamegraph_options nanoseconds = { .value_index = 1, .group_by = FLAMEGRAPH_GROUP_DEFAULT };

typedef int (*draw_t)(const struct profile *p, const struct flamegraph_options *o, struct buffer *out);

/* NUL-terminated, for strstr(). */
static char *draw(draw_t form, const struct profile *p, const struct flamegraph_options *o)
{
	_cleanup_buffer_ struct buffer out = BUFFER(FLAMEGRAPH_BYTES_MAX);
	char *text;

	assert_int_equal(form(p, o, &out), 0);
	assert_null(memchr(out.data, '\0', out.size));
	text = buffer_take_string(&out);
	assert_non_null(text);
	return text;
}

static char *draw_stacks(draw_t form, const char *stacks, const struct flamegraph_options *o)
{
	_cleanup_(profile_freep) struct profile *p = stacks_profile(stacks);

	return draw(form, p, o);
}

static size_t count(const char *text, const char *word)
{
	size_t n = 0;

	for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
		n++;
	return n;
}

static void assert_has(const char *text, const char *word)
{
	if (!strstr(text, word))
		fail_msg("not there: %s", word);
}

static void assert_lacks(const char *text, const char *word)
{
	if (strstr(text, word))
		fail_msg("there: %s", word);
}

static void assert_clean(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n;) {
		uint32_t c;
		size_t length = utf8_decode(text + i, n - i, &c);

		assert_false(length == 1 && c == UTF8_REPLACEMENT);
		assert_false(c < 0x20 && c != '\n' && c != '\t');
		i += length;
	}
}

static void flamegraph_svg_says_value_percent_and_count(void **state)
{
	_cleanup_free_ char *svg = draw_stacks(flamegraph_svg, "main;a 3\nmain;b 1\n", &nanoseconds);

	(void)state;
	assert_has(svg, "width=\"1600\"");
	assert_has(svg, "<title>a\n30 ms, 75.00 % (30,000,000 nanoseconds in 3 samples)\nnative");
	assert_has(svg, "<title>b\n10 ms, 25.00 % (10,000,000 nanoseconds in 1 sample)");
	assert_has(svg, "<title>all\n40 ms, 100.00 %");
	assert_int_equal(count(svg, "<g class=\"f\">"), 4);
}

static void flamegraph_svg_colours_kinds_and_shows_them_in_the_legend(void **state)
{
	_cleanup_free_ char *svg = draw_stacks(
	        flamegraph_svg, "app@main;in_[i];jit_[j];sys_[k] 3\napp@[truncated: no rows];x 1\n", &nanoseconds);
	static const char *const kinds[] = { "native", "inlined", "kernel", "JIT", "truncated", "process" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char chip[64];

		(void)snprintf(chip, sizeof(chip), ">%s</text>", kinds[i]);
		assert_has(svg, chip);
	}
	assert_lacks(svg, ">Go</text>");
	for (int kind = 0; kind < FRAME_KINDS; kind++) {
		char class[32];

		(void)snprintf(class, sizeof(class), "<rect class=\"k%d", kind);
		assert_int_equal(
		        strstr(svg, class) != NULL, kind != FRAME_GO && kind != FRAME_SCRIPT && kind != FRAME_UNKNOWN);
	}
}

static void flamegraph_svg_leaves_out_what_nobody_can_see(void **state)
{
	/* 1580 px wide: one in 20,000 is 0.08 px, two are 0.16 */
	_cleanup_free_ char *svg =
	        draw_stacks(flamegraph_svg, "main;big 19997\nmain;tiny 1\nmain;small 2\n", &nanoseconds);
	_cleanup_free_ char *html =
	        draw_stacks(flamegraph_html, "main;big 19997\nmain;tiny 1\nmain;small 2\n", &nanoseconds);

	(void)state;
	assert_lacks(svg, "<title>tiny");
	assert_has(svg, "<title>small");
	assert_has(html, "[\"tiny\",");
}

static const char *const hostile_names[] = {
	"</script><script>alert(1)</script>",
	"]]><script>alert(2)</script>",
	"\"><img src=x onerror=alert(3)>",
	"<!--<script>",
	"&lt;b&gt;&#0;",
	"bell\x07 escape\x1b[31m line\nbreak",
	"bad\xff\xfe\xc0\xaf utf\xed\xa0\x80",
	"back\\slash\" quote' </title></svg>",
	"\xe2\x80\xae right to left \xe2\x80\xa8",
};

static struct profile *hostile_profile(void)
{
	struct profile *p = stacks_profile("main 1\n");
	struct profile_label label = { .unit = PROFILE_NONE };
	const int64_t values[2] = { 5, 5 * STACKS_NS };

	for (size_t i = 0; i < ARRAY_SIZE(hostile_names); i++) {
		struct profile_function f = { 0 };
		struct profile_line line = { .line = 1 };
		struct profile_mapping m = { .limit = 1 + i };
		struct profile_location l = { .lines = &line, .n_lines = 1 };
		uint32_t location, stack, labels, name;

		assert_int_equal(profile_add_cstring(p, hostile_names[i], &name), 0);
		f.name = f.filename = f.system_name = m.filename = name;
		assert_int_equal(profile_add_mapping(p, &m, &l.mapping), 0);
		assert_int_equal(profile_add_function(p, &f, &line.function), 0);
		assert_int_equal(profile_add_location(p, &l, &location), 0);
		assert_int_equal(profile_add_stack(p, &location, 1, &stack), 0);
		assert_int_equal(profile_add_cstring(p, "comm", &label.key), 0);
		label.value = name;
		assert_int_equal(profile_add_label_set(p, &label, 1, &labels), 0);
		assert_int_equal(profile_add_sample(p, stack, labels, values, NULL), 0);
		profile_header(p)->sample_types[1].type = name;
	}
	return p;
}

static char *many_leaves(unsigned n)
{
	_cleanup_buffer_ struct buffer text = BUFFER(1 << 20);

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(buffer_printf(&text, "main;leaf_%u 1\n", i), 0);
	assert_int_equal(buffer_printf(&text, "main;wide %u\n", n), 0);
	return buffer_take_string(&text);
}

static void flamegraph_svg_draws_the_widest_boxes_and_counts_the_others(void **state)
{
	_cleanup_free_ char *stacks = many_leaves(7000);
	_cleanup_(profile_freep) struct profile *p = stacks_profile(stacks);
	_cleanup_buffer_ struct buffer out = BUFFER(FLAMEGRAPH_BYTES_MAX);
	_cleanup_free_ char *svg = draw(flamegraph_svg, p, &nanoseconds), *diff = NULL;
	const char *pictures[2];

	(void)state;
	assert_int_equal(flamegraph_diff_svg(p, p, &nanoseconds, &out), 0);
	diff = buffer_take_string(&out);
	assert_non_null(diff);
	pictures[0] = svg;
	pictures[1] = diff;
	for (size_t i = 0; i < ARRAY_SIZE(pictures); i++) {
		assert_int_equal(count(pictures[i], "<g class=\"f\">"), 6000);
		assert_has(pictures[i], ">wide<");
		/* of all, [no comm] or main, wide and 7,000 leaves */
		assert_has(pictures[i], "narrow boxes left out (7.2 % is not drawn");
		assert_true(strlen(pictures[i]) < 4u << 20);
	}
}

static void flamegraph_keeps_hostile_names_text(void **state)
{
	_cleanup_(profile_freep) struct profile *p = hostile_profile();
	struct flamegraph_options o = nanoseconds;
	_cleanup_free_ char *svg = NULL, *html = NULL, *plain_html = NULL;

	(void)state;
	o.title = hostile_names[0];
	svg = draw(flamegraph_svg, p, &o);
	html = draw(flamegraph_html, p, &o);
	plain_html = draw_stacks(flamegraph_html, "main 1\n", &nanoseconds);
	assert_clean(svg);
	assert_clean(html);
	assert_int_equal(count(svg, "<script"), 1);
	assert_int_equal(count(svg, "</script"), 1);
	assert_int_equal(count(svg, "]]>"), 1);
	assert_int_equal(count(html, "<script"), count(plain_html, "<script"));
	assert_int_equal(count(html, "</script"), count(plain_html, "</script"));
	assert_lacks(svg, "<img");
	assert_lacks(html, "<img");
	assert_lacks(html, "<!--");
	assert_has(svg, "&lt;/script&gt;&lt;script&gt;alert(1)");
	assert_has(html, "\\u003c/script\\u003e\\u003cscript\\u003ealert(1)");
}

static void flamegraph_html_allows_its_own_script_only(void **state)
{
	_cleanup_free_ char *html = draw_stacks(flamegraph_html, "main 1\n", &nanoseconds);

	(void)state;
	assert_has(html, "default-src 'none'");
	assert_has(html, asset_html_js_sha256);
	assert_lacks(html, "unsafe-inline");
	assert_lacks(html, "http://");
	assert_lacks(html, "https://");
}

static void flamegraph_cuts_a_name_of_a_megabyte(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_new();
	_cleanup_free_ char *name = malloc((1 << 20) + 16), *svg = NULL, *html = NULL;

	(void)state;
	memset(name, 'x', 1 << 20);
	memcpy(name + (1 << 20), "_end 3", 7);
	stacks_add(p, name);
	memset(name, 0x80, 1 << 20); /* malformed from end to end */
	stacks_add(p, name);
	svg = draw(flamegraph_svg, p, &nanoseconds);
	html = draw(flamegraph_html, p, &nanoseconds);
	assert_true(strlen(svg) < 100000);
	assert_true(strlen(html) < 100000);
	assert_has(svg, "xx\xe2\x80\xa6xx");
}

static void flamegraph_of_nothing_says_so(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_new();
	_cleanup_free_ char *svg = draw(flamegraph_svg, p, &nanoseconds),
	                    *html = draw(flamegraph_html, p, &nanoseconds);

	(void)state;
	assert_has(svg, "The profile holds no samples");
	assert_has(html, "\"depth\":[]");
}

static void flamegraph_says_what_was_lost(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_profile("main 1\n");
	_cleanup_free_ char *svg = NULL;

	(void)state;
	assert_int_equal(profile_add_comment(p, "emberd.lost=1234"), 0);
	assert_int_equal(profile_add_comment(p, "emberd.truncated=1"), 0);
	assert_int_equal(profile_add_comment(p, "emberd.heap.error_permille_max=85"), 0);
	svg = draw(flamegraph_svg, p, &nanoseconds);
	assert_has(svg, "1,234 samples lost \xc2\xb7 1 stack truncated \xc2\xb7 estimates, give or take 8.5%");
}

static void flamegraph_values_beyond_a_double_stay_exact(void **state)
{
	_cleanup_free_ char *html = draw_stacks(flamegraph_html, "main 900719925475\n", &nanoseconds);

	(void)state;
	/* times 10 ms: above 2^53, so a string and not a rounded number */
	assert_has(html, "\"value\":[\"9007199254750000000\"");
	assert_has(html, "\"count\":[900719925475,");
}

static void flamegraph_diff_says_both_sides_and_the_verdict(void **state)
{
	_cleanup_(profile_freep) struct profile *before = stacks_profile("main;same 500\nmain;old 100\n");
	_cleanup_(profile_freep) struct profile *after = stacks_profile("main;same 500\nmain;new 100\n");
	const struct flamegraph_options o = { .value_index = 1, .value_index_before = 1, .normalize = true };
	_cleanup_buffer_ struct buffer out = BUFFER(FLAMEGRAPH_BYTES_MAX), page = BUFFER(FLAMEGRAPH_BYTES_MAX);

	(void)state;
	assert_int_equal(flamegraph_diff_svg(before, after, &o, &out), 0);
	assert_int_equal(buffer_append(&out, "", 1), 0);
	assert_has(out.data, "<title>new\nbefore 0 ns, 0.00 % (0 nanoseconds in 0 samples)\nafter 1 s, 16.67 %");
	assert_has(out.data, "change +16.67 points, new\nthis function grew by more than chance");
	assert_has(out.data, "change -16.67 points, gone\nthis function shrank by more than chance");
	assert_has(out.data, "change +0.00 points, +0.0 %\nthe change of this function may be chance");
	/* 0 is all gone, 12 all new, 6 as before */
	assert_has(out.data, "<rect class=\"d12\"");
	assert_has(out.data, "<rect class=\"d0\"");
	assert_has(out.data, "<rect class=\"d6\"");
	assert_int_equal(flamegraph_diff_html(before, after, &o, &page), 0);
	assert_int_equal(buffer_append(&page, "", 1), 0);
	assert_has(page.data, "\"isDiff\":true");
	assert_has(page.data, "this function grew by more than chance");
}

static void flamegraph_refuses_a_value_that_is_not_there(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_profile("main 1\n");
	const struct flamegraph_options o = { .value_index = 2 };
	_cleanup_buffer_ struct buffer out = BUFFER(FLAMEGRAPH_BYTES_MAX);

	(void)state;
	assert_int_equal(flamegraph_svg(p, &o, &out), -EINVAL);
	assert_int_equal(flamegraph_html(p, &o, &out), -EINVAL);
	assert_int_equal(out.size, 0);
}

static void flamegraph_stops_at_the_buffers_maximum(void **state)
{
	_cleanup_(profile_freep) struct profile *p = stacks_profile("main 1\n");
	_cleanup_buffer_ struct buffer out = BUFFER(2000);

	(void)state;
	assert_int_equal(flamegraph_svg(p, &nanoseconds, &out), -ENOSPC);
	assert_int_equal(out.size, 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(flamegraph_svg_says_value_percent_and_count),
	cmocka_unit_test(flamegraph_svg_colours_kinds_and_shows_them_in_the_legend),
	cmocka_unit_test(flamegraph_svg_leaves_out_what_nobody_can_see),
	cmocka_unit_test(flamegraph_svg_draws_the_widest_boxes_and_counts_the_others),
	cmocka_unit_test(flamegraph_keeps_hostile_names_text),
	cmocka_unit_test(flamegraph_html_allows_its_own_script_only),
	cmocka_unit_test(flamegraph_cuts_a_name_of_a_megabyte),
	cmocka_unit_test(flamegraph_of_nothing_says_so),
	cmocka_unit_test(flamegraph_says_what_was_lost),
	cmocka_unit_test(flamegraph_values_beyond_a_double_stay_exact),
	cmocka_unit_test(flamegraph_diff_says_both_sides_and_the_verdict),
	cmocka_unit_test(flamegraph_refuses_a_value_that_is_not_there),
	cmocka_unit_test(flamegraph_stops_at_the_buffers_maximum),
};

UNIT_MAIN(tests)
