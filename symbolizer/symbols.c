/* SYMBOLS: names, inlined calls and lines of file offsets. The sources in order: DWARF of the file, DWARF of its
 * separate debug file, the symbol tables of both, PLT relocations. */
#include "symbolizer/dispatch.h"

#include <assert.h>
#include <string.h>
#include "symbolizer/debug_link.h"
#include "symbolizer/dwarf_lookup.h"
#include "symbolizer/plt.h"
#include "symbolizer/symbol_writer.h"
#include "symbolizer/symtab.h"

struct symbols {
	struct elf_file *file, *debug_file; /* debug_file NULL: none, or not this file's */
	uint64_t *addresses;                /* sorted; fewer than the queries: some lie in no segment, some are equal */
	uint32_t *address_of;               /* one a query: index of its address, UINT32_MAX for none */
	uint32_t n_addresses;
	struct symbol_writer *writer;
	struct dwarf_places *places; /* NULL: no DWARF */
	struct symtab *symtab;
	uint32_t *plt_names;
};

static void symbols_done(struct symbols *s)
{
	elf_file_free(s->file);
	elf_file_free(s->debug_file);
	free(s->addresses);
	free(s->address_of);
	symbol_writer_free(s->writer);
	dwarf_places_free(s->places);
	symtab_free(s->symtab);
	free(s->plt_names);
}

/* The first of the candidates that is a file and belongs to this one. */
static int debug_file_open(struct symbols *s, const int *fds, size_t n)
{
	for (size_t i = 0; i < n && !s->debug_file; i++) {
		_cleanup_(elf_file_freep) struct elf_file *f = NULL;
		int r = elf_file_open(fds[i], &f);

		if (r == -ENOMEM)
			return r;
		if (r == 0 && debug_link_leads_to(s->file, f))
			s->debug_file = TAKE_PTR(f);
	}
	return 0;
}

static int compare_addresses(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int addresses_make(struct symbols *s, const uint64_t *queries, uint32_t n)
{
	_cleanup_free_ uint64_t *vaddrs = malloc(n * sizeof(*vaddrs));
	uint32_t distinct = 0;

	s->addresses = malloc(n * sizeof(*s->addresses));
	s->address_of = malloc(n * sizeof(*s->address_of));
	if (!vaddrs || !s->addresses || !s->address_of)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		if (elf_file_vaddr_of(s->file, queries[i], &vaddrs[i]) < 0)
			vaddrs[i] = UINT64_MAX;
		else
			s->addresses[s->n_addresses++] = vaddrs[i];
	qsort(s->addresses, s->n_addresses, sizeof(*s->addresses), compare_addresses);
	for (uint32_t i = 0; i < s->n_addresses; i++)
		if (i == 0 || s->addresses[i] != s->addresses[i - 1])
			s->addresses[distinct++] = s->addresses[i];
	s->n_addresses = distinct;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t *found = bsearch(&vaddrs[i], s->addresses, distinct, sizeof(*found), compare_addresses);

		s->address_of[i] = found && vaddrs[i] != UINT64_MAX ? (uint32_t)(found - s->addresses) : UINT32_MAX;
	}
	return distinct > 0 ? 0 : -ENODATA;
}

/* Whether the file's DWARF was read. */
static bool dwarf_read(struct symbols *s, const struct elf_file *f)
{
	_cleanup_(dwarf_file_freep) struct dwarf_file *dwarf = NULL;

	if (dwarf_file_open(f, &dwarf) < 0)
		return false;
	return dwarf_lookup(dwarf, s->addresses, s->n_addresses, s->writer, &s->places) >= 0;
}

/* Where DWARF is damaged or needs more memory than there is, symbol tables are left, with a writer that has not failed.
 */
static int dwarf_try(struct symbols *s, uint32_t n_queries)
{
	bool done = dwarf_read(s, s->file);

	if (!done && s->debug_file && symbol_writer_error(s->writer) == 0)
		(void)dwarf_read(s, s->debug_file);
	if (symbol_writer_error(s->writer) == 0)
		return 0;
	s->places = dwarf_places_free(s->places);
	s->writer = symbol_writer_free(s->writer);
	return symbol_writer_new(n_queries, &s->writer);
}

static int symtab_read(struct symbols *s)
{
	int r, full = 0;

	r = symtab_new(s->file, s->addresses, s->n_addresses, &s->symtab);
	if (r < 0)
		return r;
	r = symtab_add(s->symtab, s->file, SHT_SYMTAB);
	if (r == -ENOMEM)
		return r;
	full = r > 0;
	if (!full && s->debug_file) {
		r = symtab_add(s->symtab, s->debug_file, SHT_SYMTAB);
		if (r == -ENOMEM)
			return r;
		full = r > 0;
	}
	if (!full) {
		r = symtab_add(s->symtab, s->file, SHT_DYNSYM);
		if (r == -ENOMEM)
			return r;
	}
	s->plt_names = calloc(s->n_addresses, sizeof(*s->plt_names));
	if (!s->plt_names)
		return -ENOMEM;
	r = plt_names(s->file, s->addresses, s->n_addresses, s->writer, s->plt_names);
	return r == -ENOMEM ? r : 0;
}

/* Names a function that is not inlined: by its linkage name, by the symbol table where that has a mangled name (Rust's
 * line tables hold none) or where DWARF knows nothing, else by its plain name. */
static bool name_function(struct symbols *s, uint32_t address, struct symbols_frame *frame)
{
	uint32_t system_name = s->plt_names[address], name;
	const char *symbol;
	size_t size;

	if (frame->system_name != 0)
		return true;
	symbol = symtab_name(s->symtab, address, &size);
	if (system_name == 0 && symbol)
		system_name = symbol_writer_text(s->writer, symbol, size);
	name = symbol_writer_demangled(s->writer, system_name);
	if (frame->name == 0 || name != system_name) {
		frame->system_name = system_name;
		frame->name = name;
	} else {
		frame->system_name = frame->name;
	}
	return frame->name != 0;
}

static void frames_write(struct symbols *s, uint32_t address, bool with_inlines)
{
	const struct dwarf_place none = { .node = DWARF_NONE };
	const struct dwarf_place *place = s->places ? &s->places->places[address] : &none;
	struct symbols_frame frame = { .filename = place->file, .line = place->line, .column = place->column };

	for (uint32_t i = place->node; i != DWARF_NONE; i = s->places->nodes[i].parent) {
		const struct dwarf_node *node = &s->places->nodes[i];

		frame.name = node->name;
		frame.system_name = node->system_name;
		frame.start_line = node->start_line;
		if (node->parent == DWARF_NONE)
			break;
		/* An inlined call whose name is not known leaves its caller at the right line. */
		frame.flags = SYMBOLS_FRAME_INLINED;
		if (frame.system_name == 0)
			frame.system_name = frame.name;
		if (with_inlines && frame.name != 0)
			symbol_writer_frame(s->writer, &frame);
		frame = (struct symbols_frame){
			.filename = node->call_file, .line = node->call_line, .column = node->call_column
		};
	}
	if (name_function(s, address, &frame))
		symbol_writer_frame(s->writer, &frame);
}

int symbols_answer(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes)
{
	_cleanup_(symbols_done) struct symbols s = { 0 };
	int r;

	assert(in->queries);

	r = elf_file_open(in->fd, &s.file);
	if (r < 0)
		return r;
	r = debug_file_open(&s, in->debug_fds, in->n_debug_fds);
	if (r < 0)
		return r;
	r = addresses_make(&s, in->queries, in->n_queries);
	if (r < 0)
		return r;
	r = symbol_writer_new(in->n_queries, &s.writer);
	if (r < 0)
		return r;
	r = dwarf_try(&s, in->n_queries);
	if (r < 0)
		return r;
	r = symtab_read(&s);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < in->n_queries; i++) {
		if (s.address_of[i] != UINT32_MAX)
			frames_write(&s, s.address_of[i], !(in->flags & SYMBOLIZER_NO_INLINES));
		symbol_writer_next(s.writer);
	}
	return symbol_writer_finish(s.writer, answer_fd, ret_bytes);
}
