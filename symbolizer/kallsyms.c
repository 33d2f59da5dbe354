/* KALLSYMS: names of kernel addresses. The text is not sorted and says no sizes: a symbol reaches to the next one, of
 * whatever kind, but not further than functions are long. */
#include "symbolizer/dispatch.h"

#include <assert.h>
#include <string.h>
#include "base/buffer.h"
#include "symbolizer/addresses.h"
#include "symbolizer/symbol_writer.h"
#include "symbolizer/text_lines.h"

#define KALLSYMS_BYTES_MAX (256ull << 20)
#define KALLSYMS_NAME_MAX 1024u
#define KALLSYMS_REACH_MAX (256ull << 10)
#define KALLSYMS_NAMES_BYTES_MAX (256u << 20)

struct kernel_symbol { /* the last one that starts at or before an address and behind the address before */
	uint64_t start;
	uint32_t name, module, end; /* offsets in names */
	uint32_t rank;              /* 0: none */
	bool is_code;
};

/* names: two NUL-terminated strings a candidate. A better one takes the place of the last, others
 * are appended: the text is nearly sorted. */
struct kernel_symbols {
	struct kernel_symbol *list; /* one an address */
	struct buffer names;
	const uint64_t *addresses;
	uint32_t n;
	bool any_address; /* not all of them hidden as 0 */
};

static void kernel_symbols_done(struct kernel_symbols *k)
{
	free(k->list);
	buffer_done(&k->names);
}

static bool is_end_marker(const char *name)
{
	return !strcmp(name, "_etext") || !strcmp(name, "_einittext") || !strcmp(name, "_sinittext") ||
	       !strcmp(name, "__end_rodata");
}

/* Global before weak before local, then the fewest leading underscores. */
static uint32_t symbol_rank(char type, const char *name)
{
	size_t underscores = strspn(name, "_");

	return 8 - (uint32_t)MIN(underscores, (size_t)7) + (type == 'T' ? 32 : type == 'W' ? 16 : 8);
}

static int symbol_offer(struct kernel_symbols *k, uint64_t start, char type, const char *name, const char *module)
{
	uint32_t i = addresses_from(k->addresses, k->n, start), rank = symbol_rank(type, name);
	struct kernel_symbol *s;

	if (i == k->n)
		return 0;
	s = &k->list[i];
	if (s->rank != 0 && (start < s->start || (start == s->start && rank <= s->rank)))
		return 0;
	if (s->rank != 0 && s->end == k->names.size)
		k->names.size = s->name;
	*s = (struct kernel_symbol){ .start = start, .rank = rank, .name = (uint32_t)k->names.size };
	s->is_code = strchr("tTwW", type) && !is_end_marker(name);
	buffer_append(&k->names, name, strlen(name) + 1);
	s->module = (uint32_t)k->names.size;
	buffer_append(&k->names, module, strlen(module) + 1);
	s->end = (uint32_t)k->names.size;
	return k->names.error;
}

/* "ffffffff81000000 T name[\t[module]]" */
static int line_parse(char *line, uint64_t *ret_start, char *ret_type, char **ret_name, const char **ret_module)
{
	const char *p = line;
	char *name, *module;
	size_t size;

	if (text_parse_hex(&p, ret_start) < 0 || p[0] != ' ' || p[1] == '\0' || p[2] != ' ')
		return -EBADMSG;
	*ret_type = p[1];
	name = line + (p - line) + 3;
	size = strcspn(name, " \t");
	if (size == 0 || size > KALLSYMS_NAME_MAX)
		return -EBADMSG;
	module = name + size;
	*ret_module = "";
	if (*module != '\0') {
		*module++ = '\0';
		module += strspn(module, " \t");
		size = strcspn(module, "]");
		if (module[0] == '[' && module[size] == ']') {
			module[size] = '\0';
			*ret_module = module + 1;
		}
	}
	*ret_name = name;
	return 0;
}

static int symbols_read(struct kernel_symbols *k, int fd)
{
	_cleanup_free_ struct text_lines *lines = malloc(sizeof(*lines));
	char *line, *name, type;
	const char *module;
	uint64_t start;
	size_t size;
	int r;

	if (!lines)
		return -ENOMEM;
	text_lines_init(lines, fd, KALLSYMS_BYTES_MAX);
	while ((r = text_lines_next(lines, &line, &size)) > 0) {
		if (line_parse(line, &start, &type, &name, &module) < 0 || start == 0)
			continue;
		k->any_address = true;
		if (strchr("aAnNU?", type)) /* absolute values and what is not there: no places */
			continue;
		r = symbol_offer(k, start, type, name, module);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	return k->any_address ? 0 : -ENODATA;
}

static void frame_write(const struct kernel_symbols *k, const struct kernel_symbol *s, struct symbol_writer *w)
{
	const char *name = k->names.data + s->name, *module = k->names.data + s->module;
	struct symbols_frame frame = { .system_name = symbol_writer_text(w, name, strlen(name)),
		.module = symbol_writer_text(w, module, strlen(module)) };

	frame.name = symbol_writer_demangled(w, frame.system_name);
	if (frame.name != 0)
		symbol_writer_frame(w, &frame);
}

int kallsyms_answer(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes)
{
	_cleanup_(kernel_symbols_done) struct kernel_symbols k = {
		.addresses = in->queries, .n = in->n_queries, .names = BUFFER(KALLSYMS_NAMES_BYTES_MAX)
	};
	_cleanup_(symbol_writer_freep) struct symbol_writer *w = NULL;
	const struct kernel_symbol *last = NULL;
	int r;

	assert(in->queries);

	r = symbol_writer_new(in->n_queries, &w);
	if (r < 0)
		return r;
	k.list = calloc(in->n_queries, sizeof(*k.list));
	if (!k.list)
		return -ENOMEM;
	r = symbols_read(&k, in->fd);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < in->n_queries; i++) {
		if (k.list[i].rank != 0)
			last = &k.list[i];
		if (last && last->is_code && in->queries[i] - last->start < KALLSYMS_REACH_MAX)
			frame_write(&k, last, w);
		symbol_writer_next(w);
	}
	return symbol_writer_finish(w, answer_fd, ret_bytes);
}
