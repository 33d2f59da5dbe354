#include "symbolizer/dwarf_line.h"

#include <assert.h>
#include "symbolizer/addresses.h"

struct row {
	uint64_t address;
	uint32_t file, line, column;
};

/* Where a run stands: the row before, and the first address that it could cover. */
struct run {
	const uint64_t *addresses;
	struct line_matches *matches;
	uint32_t n, next;
	struct row row, last;
	bool has_last, dropped; /* dropped: the linker removed this sequence */
};

static int file_add(struct line_file **files, uint32_t *n, uint32_t *room, struct line_file file)
{
	if (*n >= LINE_FILES_MAX)
		return -E2BIG;
	if (*n == *room) {
		uint32_t larger = *room ? *room * 2 : 32;
		struct line_file *bigger = reallocarray(*files, larger, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		*files = bigger;
		*room = larger;
	}
	(*files)[(*n)++] = file;
	return 0;
}

static int add_directory(struct line_table *t, struct line_file file)
{
	return file_add(&t->directories, &t->n_directories, &t->room_directories, file);
}

static int add_file(struct line_table *t, struct line_file file)
{
	return file_add(&t->files, &t->n_files, &t->room_files, file);
}

/* Directory 0 is the compilation's, file 0 is none. */
static int tables_read_v4(struct line_table *t, struct cursor *c)
{
	size_t n;
	int r;

	r = add_directory(t, (struct line_file){ 0 });
	if (r < 0)
		return r;
	for (;;) {
		const char *name = cursor_text(c, &n);

		if (c->failed)
			return -EBADMSG;
		if (n == 0)
			break;
		r = add_directory(t, (struct line_file){ name, (uint32_t)MIN(n, (size_t)LINE_PATH_MAX), 0 });
		if (r < 0)
			return r;
	}
	r = add_file(t, (struct line_file){ 0 });
	while (r >= 0) {
		struct line_file file = { .name = cursor_text(c, &n) };

		file.size = (uint32_t)MIN(n, (size_t)LINE_PATH_MAX);
		if (c->failed)
			return -EBADMSG;
		if (n == 0)
			break;
		file.directory = (uint32_t)MIN(cursor_uleb(c), (uint64_t)UINT32_MAX);
		(void)cursor_uleb(c); /* time */
		(void)cursor_uleb(c); /* size */
		r = add_file(t, file);
	}
	return r;
}

/* One table of version 5: directories or files. */
static int table_read_v5(struct line_table *t, struct cursor *c, int (*add)(struct line_table *, struct line_file))
{
	struct abbrev_attribute formats[32];
	unsigned n_formats = cursor_u8(c);
	uint64_t n;

	if (n_formats > ARRAY_SIZE(formats))
		return -E2BIG;
	for (unsigned i = 0; i < n_formats; i++) {
		uint64_t content = cursor_uleb(c), form = cursor_uleb(c);

		formats[i] = (struct abbrev_attribute){ .name = (uint16_t)MIN(content, (uint64_t)UINT16_MAX),
			.form = (uint16_t)MIN(form, (uint64_t)UINT16_MAX) };
	}
	n = cursor_uleb(c);
	if (c->failed || n > cursor_room(c)) /* an entry takes a byte at least */
		return -EBADMSG;
	if (n > LINE_FILES_MAX)
		return -E2BIG;
	for (uint64_t i = 0; i < n; i++) {
		struct line_file file = { 0 };
		int r;

		for (unsigned k = 0; k < n_formats; k++) {
			struct form_value v;
			size_t size;

			form_read(c, t->unit, &formats[k], &v);
			if (c->failed)
				return -EBADMSG;
			if (formats[k].name == DW_LNCT_path) {
				file.name = form_string(t->dwarf, t->unit, &v, &size);
				file.size = (uint32_t)MIN(size, (size_t)LINE_PATH_MAX);
			} else if (formats[k].name == DW_LNCT_directory_index) {
				file.directory = form_u32(&v);
			}
		}
		r = add(t, file);
		if (r < 0)
			return r;
	}
	return 0;
}

static int header_read(struct line_table *t, struct cursor *c)
{
	uint64_t length, header_length;

	t->offset_size = 4;
	length = cursor_u32(c);
	if (length == 0xffffffff) {
		t->offset_size = 8;
		length = cursor_u64(c);
	}
	if (c->failed || length > cursor_room(c))
		return -EBADMSG;
	c->end = c->p + length;
	t->version = (uint8_t)MIN(cursor_u16(c), 255);
	t->address_size = t->unit->address_size;
	if (t->version < 2 || t->version > 5)
		return -EBADMSG;
	if (t->version >= 5) {
		t->address_size = cursor_u8(c);
		cursor_skip(c, 1); /* segment selectors */
	}
	header_length = cursor_number(c, t->offset_size);
	if (c->failed || header_length > cursor_room(c))
		return -EBADMSG;
	t->program = (struct cursor){ .p = c->p + header_length, .end = c->end };
	c->end = t->program.p;
	t->min_instruction = cursor_u8(c);
	if (t->version >= 4)
		cursor_skip(c, 1); /* operations per instruction: 1 on our machines */
	cursor_skip(c, 1);         /* default_is_stmt */
	t->line_base = (int8_t)cursor_u8(c);
	t->line_range = cursor_u8(c);
	t->opcode_base = cursor_u8(c);
	t->opcode_lengths = c->p;
	if (t->opcode_base > 0)
		cursor_skip(c, t->opcode_base - 1u);
	if (c->failed || t->opcode_base == 0 || t->line_range == 0)
		return -EBADMSG;
	return 0;
}

int line_table_open(const struct dwarf_file *d, const struct dwarf_unit *unit, uint64_t offset, struct span comp_dir,
        struct line_table *t)
{
	struct cursor c = cursor_at(dwarf_span(d, DWARF_LINE), offset);
	int r;

	if (c.failed)
		return -ENODATA;
	t->dwarf = d;
	t->unit = unit;
	t->comp_dir = comp_dir;
	t->n_directories = t->n_files = 0;
	r = header_read(t, &c);
	if (r < 0)
		return r;
	if (t->version < 5)
		return tables_read_v4(t, &c);
	r = table_read_v5(t, &c, add_directory);
	return r < 0 ? r : table_read_v5(t, &c, add_file);
}

void line_table_done(struct line_table *t)
{
	free(t->directories);
	free(t->files);
	*t = (struct line_table){ 0 };
}

/* A new row, or the end of the sequence, tells how far the row before reaches. */
static void run_row(struct run *run, bool is_end)
{
	uint64_t address = run->row.address;

	if (!run->has_last || address < run->last.address) {
		run->dropped = !run->has_last && (address <= 1 || address >= UINT64_MAX - 1);
		run->next = addresses_from(run->addresses, run->n, address);
	} else if (!run->dropped) {
		while (run->next < run->n && run->addresses[run->next] < address) {
			struct line_match *m = &run->matches->matches[run->next];

			if (!m->found) {
				*m = (struct line_match){ run->last.file, run->last.line, run->last.column, true };
				run->matches->order[run->matches->n_found++] = run->next;
			}
			run->next++;
		}
	}
	run->last = run->row;
	run->has_last = !is_end;
	if (is_end)
		run->row = (struct row){ .file = 1, .line = 1 };
}

static void run_extended(struct line_table *t, struct cursor *c, struct run *run)
{
	uint64_t length = cursor_uleb(c);
	const uint8_t *end;

	if (length == 0 || length > cursor_room(c))
		return;
	end = c->p + length;
	switch (cursor_u8(c)) {
	case DW_LNE_end_sequence:
		run_row(run, true);
		break;
	case DW_LNE_set_address:
		if (length - 1 == 8 || length - 1 == 4)
			run->row.address = cursor_number(c, (unsigned)length - 1);
		break;
	case DW_LNE_define_file: {
		struct line_file file = { 0 };
		size_t size;

		file.name = cursor_text(c, &size);
		file.size = (uint32_t)MIN(size, (size_t)LINE_PATH_MAX);
		file.directory = (uint32_t)MIN(cursor_uleb(c), (uint64_t)UINT32_MAX);
		if (!c->failed)
			(void)add_file(t, file); /* one file too many stays without a name */
		break;
	}
	default:
		break;
	}
	c->p = end;
}

static void run_standard(struct line_table *t, struct cursor *c, struct run *run, uint8_t opcode)
{
	struct row *row = &run->row;

	switch (opcode) {
	case DW_LNS_copy:
		run_row(run, false);
		break;
	case DW_LNS_advance_pc:
		row->address += cursor_uleb(c) * t->min_instruction;
		break;
	case DW_LNS_advance_line:
		row->line += (uint32_t)cursor_sleb(c);
		break;
	case DW_LNS_set_file:
		row->file = (uint32_t)cursor_uleb(c);
		break;
	case DW_LNS_set_column:
		row->column = (uint32_t)cursor_uleb(c);
		break;
	case DW_LNS_const_add_pc:
		row->address += (uint64_t)((255 - t->opcode_base) / t->line_range) * t->min_instruction;
		break;
	case DW_LNS_fixed_advance_pc:
		row->address += cursor_u16(c);
		break;
	default: /* statement marks, prologue ends and what newer compilers may add */
		for (unsigned i = 0; i < t->opcode_lengths[opcode - 1]; i++)
			(void)cursor_uleb(c);
	}
}

void line_table_run(struct line_table *t, const uint64_t *addresses, uint32_t n, struct line_matches *matches)
{
	struct run run = { .addresses = addresses, .matches = matches, .n = n, .row = { .file = 1, .line = 1 } };
	struct cursor c = t->program;

	while (c.p < c.end && !c.failed) {
		uint8_t opcode = cursor_u8(&c);

		if (opcode >= t->opcode_base) {
			unsigned special = opcode - t->opcode_base;

			run.row.address += (uint64_t)(special / t->line_range) * t->min_instruction;
			run.row.line += (uint32_t)(t->line_base + (int)(special % t->line_range));
			run_row(&run, false);
		} else if (opcode == 0) {
			run_extended(t, &c, &run);
		} else {
			run_standard(t, &c, &run, opcode);
		}
	}
}

/* Appends the parts of s to path, which has n bytes, resolving "." and "..". */
static size_t path_append(char path[LINE_PATH_MAX], size_t n, const char *s, size_t size)
{
	const char *end = s + size;

	if (size > 0 && *s == '/') { /* absolute: what was before does not count */
		path[0] = '/';
		n = 1;
	}
	while (s < end) {
		const char *slash = memchr(s, '/', (size_t)(end - s));
		size_t part = slash ? (size_t)(slash - s) : (size_t)(end - s);
		bool has_parent =
		        n > 1 && !(n >= 2 && !memcmp(path + n - 2, "..", 2) && (n == 2 || path[n - 3] == '/'));

		if (part == 2 && !memcmp(s, "..", 2) && has_parent) {
			while (n > 0 && path[n - 1] != '/')
				n--;
			if (n > 1)
				n--;
		} else if (part > 0 && !(part == 1 && *s == '.')) {
			if (n + part + 1 >= LINE_PATH_MAX)
				return n;
			if (n > 0 && path[n - 1] != '/')
				path[n++] = '/';
			memcpy(path + n, s, part);
			n += part;
		}
		s += part + 1;
	}
	return n;
}

size_t line_table_path(const struct line_table *t, uint32_t index, char path[LINE_PATH_MAX])
{
	const struct line_file *file, *directory = NULL;
	size_t n = 0;

	if (index >= t->n_files || !t->files[index].name || t->files[index].size == 0)
		return 0;
	file = &t->files[index];
	if (file->directory < t->n_directories && (file->directory > 0 || t->comp_dir.size == 0))
		directory = &t->directories[file->directory]; /* number 0 is the compilation's own */
	n = path_append(path, n, (const char *)t->comp_dir.data, t->comp_dir.size);
	if (directory && directory->name)
		n = path_append(path, n, directory->name, directory->size);
	return path_append(path, n, file->name, file->size);
}
