#include "profile/picture.h"

#include <math.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/units.h"
#include "base/utf8.h"
#include "profile/caveat.h"

#define TEXT_MAX 4096

/* What XML 1.0 allows, without the control characters that are of no use in a name. */
static bool is_text(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	/* Marks of direction could make a name look like another; the last two of each plane are no characters. */
	if ((c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
		return false;
	return (c & 0xfffe) != 0xfffe;
}

/* Where the last characters of s start, going back four bytes a character at most. */
static size_t back_by(const char *s, size_t n, size_t characters)
{
	size_t least = n > 4 * characters ? n - 4 * characters : 0;

	while (n > least && characters > 0)
		if (((unsigned char)s[--n] & 0xc0) != 0x80)
			characters--;
	return n;
}

typedef void (*put_t)(struct buffer *out, uint32_t c);

static size_t put_some(struct buffer *out, const char *s, size_t n, size_t max, put_t put)
{
	size_t i = 0;

	for (size_t characters = 0; i < n && characters < max; characters++) {
		uint32_t c;

		i += utf8_decode(s + i, n - i, &c);
		put(out, is_text(c) ? c : UTF8_REPLACEMENT);
	}
	return i;
}

/* All of s, or its first and last max / 2 characters. */
static void put_text(struct buffer *out, const char *s, size_t n, size_t max, put_t put)
{
	size_t at, end;

	if (max == 0 || n <= max) {
		(void)put_some(out, s, n, SIZE_MAX, put);
		return;
	}
	at = put_some(out, s, n, max / 2, put);
	end = back_by(s, n, max - max / 2);
	if (end > at)
		put(out, 0x2026);
	else
		end = at;
	(void)put_some(out, s + end, n - end, SIZE_MAX, put);
}

static void put_xml(struct buffer *out, uint32_t c)
{
	static const char *const names[128] = {
		['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"
	};
	char bytes[4];

	if (c < 128 && names[c])
		(void)buffer_append_string(out, names[c]);
	else
		(void)buffer_append(out, bytes, utf8_encode(c, bytes));
}

static void put_plain(struct buffer *out, uint32_t c)
{
	char bytes[4];

	(void)buffer_append(out, bytes, utf8_encode(c, bytes));
}

int picture_clean(struct buffer *out, const char *s, size_t n, size_t max)
{
	put_text(out, s, n, max, put_plain);
	return out->error;
}

int picture_escape(struct buffer *out, const char *s, size_t n, size_t max)
{
	put_text(out, s, n, max, put_xml);
	return out->error;
}

/* "<", ">" and "&" as numbers: no name can end the script element or open a comment in it. */
static void put_json(struct buffer *out, uint32_t c)
{
	char bytes[4];

	if (c == '"' || c == '\\')
		(void)buffer_printf(out, "\\%c", (int)c);
	else if (c == '<' || c == '>' || c == '&')
		(void)buffer_printf(out, "\\u%04x", c);
	else
		(void)buffer_append(out, bytes, utf8_encode(c, bytes));
}

int picture_json(struct buffer *out, const char *s, size_t n, size_t max)
{
	(void)buffer_append(out, "\"", 1);
	put_text(out, s, n, max, put_json);
	return buffer_append(out, "\"", 1);
}

int picture_number(struct buffer *out, int64_t value)
{
	char text[UNITS_TEXT_MAX];

	return buffer_append_string(out, units_format_count(text, value));
}

int picture_count(const struct picture *pic, struct buffer *out, int64_t n)
{
	(void)picture_number(out, n);
	return buffer_printf(out, " %.*s", tree_noun_bytes(pic->count_noun, n), pic->count_noun);
}

static uint32_t mix(uint32_t a, uint32_t b, double part)
{
	uint32_t mixed = 0;

	for (int shift = 0; shift < 24; shift += 8) {
		double x = (double)(a >> shift & 0xff), y = (double)(b >> shift & 0xff);

		mixed |= (uint32_t)lrint(x + (y - x) * part) << shift;
	}
	return mixed;
}

uint32_t picture_colour(enum frame_kind kind, unsigned shade)
{
	static const uint32_t base[FRAME_KINDS] = {
		[FRAME_NATIVE] = 0xf29f4b,
		[FRAME_INLINED] = 0xf3d55b,
		[FRAME_KERNEL] = 0xc489dd,
		[FRAME_JIT] = 0x6cc27c,
		[FRAME_GO] = 0x5cc3d8,
		[FRAME_SCRIPT] = 0x86a5ee,
		[FRAME_UNKNOWN] = 0xbdbdbd,
		[FRAME_TRUNCATED] = 0x8f8f8f,
		[FRAME_GROUP] = 0xcfd8e3,
	};

	return mix(base[kind], 0xffffff, 0.11 * shade);
}

uint32_t picture_diff_colour(int step)
{
	return mix(0xe8e4db, step > 0 ? 0xe8503a : 0x4a86e0, abs(step) / (double)PICTURE_DIFF_STEPS);
}

double picture_weight(const struct picture *pic, uint32_t node)
{
	const struct tree_node *n = tree_node(pic->tree, node);
	double weight = 0;

	for (unsigned side = 0; side < TREE_SIDES; side++)
		weight += (double)n->total[side].value * pic->scale[side];
	return weight;
}

unsigned picture_shade(const struct tree_frame *f)
{
	return (unsigned)(XXH3_64bits(f->name, f->name_size) >> 20) % PICTURE_SHADES;
}

int picture_diff_step(const struct picture *pic, uint32_t node)
{
	const struct tree_node *n = tree_node(pic->tree, node);
	double before = (double)n->total[0].value * pic->scale[0], after = (double)n->total[1].value * pic->scale[1];
	double change;
	int step;

	if (before + after <= 0)
		return 0;
	change = (after - before) / (after + before);
	/* The square root shows small changes, too: +10 % is visible, twice as much is plain. */
	step = (int)lrint(copysign(sqrt(fabs(change)), change) * PICTURE_DIFF_STEPS);
	if (picture_is_chance(pic, node))
		return step > 0 ? 1 : step < 0 ? -1 : 0;
	if (step < -PICTURE_DIFF_STEPS)
		return -PICTURE_DIFF_STEPS;
	return step > PICTURE_DIFF_STEPS ? PICTURE_DIFF_STEPS : step;
}

/* Scales so that the root is 1 wide. A plain picture has one side. */
static void set_scale(struct picture *pic, bool is_diff, bool normalize)
{
	const struct tree_node *root = tree_node(pic->tree, 0);
	double totals[TREE_SIDES] = { (double)root->total[0].value, (double)root->total[1].value };

	for (unsigned side = 0; side < TREE_SIDES; side++) {
		double whole = totals[side];

		if (is_diff)
			whole = normalize && totals[0] > 0 && totals[1] > 0 ? 2 * totals[side] : totals[0] + totals[1];
		pic->scale[side] = whole > 0 ? 1 / whole : 0;
	}
}

static int wider_first(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x > *y ? -1 : *x < *y;
}

/* The width below which boxes are left out so that both limits hold, and how many of just that width may be drawn. */
static int find_least(const struct picture *pic, const struct picture_limits *limits, double *ret, uint32_t *ret_equal)
{
	const uint32_t n = tree_n_nodes(pic->tree);
	_cleanup_free_ double *widths = NULL;
	uint32_t n_wider = 0;

	*ret = limits->least;
	*ret_equal = UINT32_MAX;
	if (limits->boxes_max == 0 || n <= limits->boxes_max)
		return 0;
	widths = malloc((size_t)n * sizeof(*widths));
	if (!widths)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		widths[i] = picture_weight(pic, i);
	qsort(widths, n, sizeof(*widths), wider_first);
	if (widths[limits->boxes_max] < limits->least)
		return 0;
	while (widths[n_wider] > widths[limits->boxes_max])
		n_wider++;
	*ret = widths[limits->boxes_max];
	*ret_equal = limits->boxes_max - n_wider;
	return 0;
}

static void count_left_out(struct picture *pic)
{
	for (uint32_t i = 1; i < tree_n_nodes(pic->tree); i++) {
		if (pic->x[i] >= 0 || picture_weight(pic, i) <= 0)
			continue;
		pic->n_left_out++;
		if (pic->x[tree_node(pic->tree, i)->parent] >= 0)
			pic->left_out += picture_weight(pic, i);
	}
}

/* Children lie side by side from their parent's left end, in their order. */
static int lay_out(struct picture *pic, const struct picture_limits *limits)
{
	uint32_t n = tree_n_nodes(pic->tree);
	uint32_t n_equal;
	double least;
	int r = find_least(pic, limits, &least, &n_equal);

	if (r < 0)
		return r;
	pic->x = malloc((size_t)n * sizeof(*pic->x));
	if (!pic->x)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		pic->x[i] = -1;
	if (picture_weight(pic, 0) <= 0)
		return 0;
	pic->x[0] = 0;
	pic->rows = 1;
	/* Parents have lower indices, so they are placed before their children. */
	for (uint32_t i = 0; i < n; i++) {
		double x = pic->x[i];

		if (x < 0)
			continue;
		for (uint32_t c = tree_node(pic->tree, i)->first_child; c != TREE_NONE;
		        c = tree_node(pic->tree, c)->next_sibling) {
			double weight = picture_weight(pic, c);

			if (weight < least || weight <= 0 || (weight <= least && n_equal == 0)) {
				x += weight > 0 ? weight : 0;
				continue;
			}
			n_equal -= weight <= least && n_equal != UINT32_MAX;
			pic->x[c] = x;
			x += weight;
			pic->kinds |= 1u << tree_frame(pic->tree, tree_node(pic->tree, c)->frame)->kind;
			pic->rows = MAX(pic->rows, tree_node(pic->tree, c)->depth + 1);
		}
	}
	count_left_out(pic);
	return 0;
}

uint32_t picture_next(const struct picture *pic, uint32_t node)
{
	const struct tree_node *n = tree_node(pic->tree, node);

	if (pic->x[node] >= 0 && n->first_child != TREE_NONE)
		return n->first_child;
	while (node != TREE_NONE && tree_node(pic->tree, node)->next_sibling == TREE_NONE)
		node = tree_node(pic->tree, node)->parent;
	return node == TREE_NONE ? TREE_NONE : tree_node(pic->tree, node)->next_sibling;
}

static void put_time(struct buffer *b, int64_t time_ns)
{
	time_t seconds = (time_t)(time_ns / (int64_t)NS_PER_SEC);
	struct tm tm;
	char text[64];

	if (time_ns > 0 && gmtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		(void)buffer_printf(b, " \xc2\xb7 %s", text);
}

static void put_caveats(struct buffer *b, const struct profile *p)
{
	char text[CAVEAT_TEXT_MAX];

	for (size_t at = 0; caveat_next(p, &at, text);)
		(void)buffer_printf(b, " \xc2\xb7 %s", text);
}

static void put_total(struct buffer *b, const struct picture *pic, unsigned side)
{
	const struct tree_value *v = &tree_node(pic->tree, 0)->total[side];
	char text[UNITS_TEXT_MAX];

	if (strcmp(pic->unit, "count") == 0) {
		(void)picture_number(b, v->value);
		return;
	}
	(void)buffer_printf(b, "%s in ", units_format_value(text, v->value, pic->unit));
	(void)picture_count(pic, b, v->count);
}

static void put_left_out(struct buffer *b, const struct picture *pic)
{
	if (pic->n_left_out == 0)
		return;
	(void)buffer_append_string(b, " \xc2\xb7 ");
	(void)picture_number(b, pic->n_left_out);
	(void)buffer_printf(b, " narrow boxes left out (%.2g %% is not drawn to its full depth)", 100 * pic->left_out);
}

static int make_subtitle(struct picture *pic, const struct profile *before, const struct profile *p, bool is_normalized)
{
	_cleanup_buffer_ struct buffer b = BUFFER(TEXT_MAX);
	const struct profile_header *h = profile_header_const(p);
	char text[UNITS_TEXT_MAX];

	(void)buffer_printf(&b, "%.200s (%.100s) \xc2\xb7 ", pic->type, pic->unit);
	if (before) {
		(void)buffer_append_string(&b, "before ");
		put_total(&b, pic, 0);
		(void)buffer_append_string(&b, ", after ");
		put_total(&b, pic, 1);
		if (is_normalized)
			(void)buffer_append_string(&b, " \xc2\xb7 shares compared");
	} else {
		put_total(&b, pic, 0);
		put_time(&b, h->time_ns);
		if (h->duration_ns > 0)
			(void)buffer_printf(&b, " \xc2\xb7 %s long", units_format_time(text, (uint64_t)h->duration_ns));
		put_caveats(&b, p);
	}
	put_left_out(&b, pic);
	pic->subtitle = buffer_take_string(&b);
	return pic->subtitle ? 0 : -ENOMEM;
}

static int make_texts(
        struct picture *pic, const struct profile *before, const struct profile *p, const struct flamegraph_options *o)
{
	const struct profile_value_type *type = &profile_header_const(p)->sample_types[o->value_index];

	pic->type = profile_string(p, type->type, NULL);
	pic->unit = profile_string(p, type->unit, NULL);
	pic->count_noun = tree_count_noun(p, o->value_index);
	if (o->title)
		pic->title = strdup(o->title);
	else if (asprintf(&pic->title, before ? "Differential flame graph: %.200s" : "Flame graph: %.200s", pic->type) <
	         0)
		pic->title = NULL;
	if (!pic->title)
		return -ENOMEM;
	return make_subtitle(pic, before, p, o->normalize);
}

static int add_profiles(
        struct picture *pic, const struct profile *before, const struct profile *p, const struct flamegraph_options *o)
{
	struct tree_options t = { .value_index = o->value_index, .hide = o->hide, .group_by = o->group_by };
	int r;

	r = tree_new(&pic->tree);
	if (r < 0)
		return r;
	r = tree_add(pic->tree, before ? 1 : 0, p, &t);
	if (r < 0 || !before)
		return r;
	t.value_index = o->value_index_before;
	return tree_add(pic->tree, 0, before, &t);
}

int picture_make(const struct profile *before, const struct profile *p, const struct flamegraph_options *o,
        const struct picture_limits *limits, struct picture *ret)
{
	_cleanup_(picture_done) struct picture pic = { .width = o->width ? o->width : FLAMEGRAPH_WIDTH };
	int r;

	r = add_profiles(&pic, before, p, o);
	if (r < 0)
		return r;
	tree_finish(pic.tree);
	set_scale(&pic, before != NULL, o->normalize);
	r = lay_out(&pic, limits);
	if (r < 0)
		return r;
	r = make_texts(&pic, before, p, o);
	if (r < 0)
		return r;
	if (before) {
		r = picture_compare(&pic, before, p, o);
		if (r < 0)
			return r;
	}
	*ret = pic;
	pic = (struct picture){ 0 };
	return 0;
}

void picture_done(struct picture *pic)
{
	if (pic->tree)
		tree_free(pic->tree);
	if (pic->diff)
		diff_free(pic->diff);
	free(pic->title);
	free(pic->subtitle);
	free(pic->x);
	*pic = (struct picture){ 0 };
}
