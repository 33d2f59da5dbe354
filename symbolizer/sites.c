/* Probe sites of the allocators in one file: the functions by name in its symbol tables, and the USDT probes
 * otel_memory:alloc and free in .note.stapsdt (systemtap's sys/sdt.h has the format). */
#include <string.h>
#include "base/cleanup.h"
#include "base/fd.h"
#include "symbolizer/dispatch.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/instruction.h"

#define SYMTAB_BYTES_MAX (256u << 20)
#define STRTAB_BYTES_MAX (512u << 20)
#define NOTE_BYTES_MAX (4u << 20)
#define CODE_BYTES 64
#define FUNCTION_BYTES_MAX (64u << 10)

/* Under which names a function stands in which allocator. Aliases share an address and count once. */
static const struct known {
	const char *name;
	uint16_t function;
} functions[] = {
	{ "malloc", SITE_MALLOC },
	{ "calloc", SITE_CALLOC },
	{ "realloc", SITE_REALLOC },
	{ "reallocarray", SITE_REALLOCARRAY },
	{ "aligned_alloc", SITE_ALIGNED_ALLOC },
	{ "memalign", SITE_ALIGNED_ALLOC },
	{ "posix_memalign", SITE_POSIX_MEMALIGN },
	{ "valloc", SITE_MALLOC },
	{ "pvalloc", SITE_MALLOC },
	{ "free", SITE_FREE },
	{ "cfree", SITE_FREE },
	{ "_dl_debug_state", SITE_LOADER },
};

static const struct prefix {
	const char *text;
	uint16_t allocator;
} prefixes[] = {
	{ "_rjem_", ALLOCATOR_JEMALLOC }, /* Rust's jemalloc crates */
	{ "je_", ALLOCATOR_JEMALLOC },
	{ "mi_", ALLOCATOR_MIMALLOC },
	{ "tc_", ALLOCATOR_TCMALLOC },
	{ "", 0 },
};

/* Besides the C functions, where an allocator has its own operators new and delete (they do not call malloc). */
static const struct known operators[] = {
	{ "_Znwm", SITE_MALLOC },
	{ "_Znam", SITE_MALLOC },
	{ "_ZnwmRKSt9nothrow_t", SITE_MALLOC },
	{ "_ZnamRKSt9nothrow_t", SITE_MALLOC },
	{ "_ZdlPv", SITE_FREE },
	{ "_ZdaPv", SITE_FREE },
	{ "_ZdlPvm", SITE_FREE },
	{ "_ZdaPvm", SITE_FREE },
	{ "_ZdlPvRKSt9nothrow_t", SITE_FREE },
};

/* A symbol that only this allocator has tells whose plain names are in the file; the first row that is met wins (most
 * allocators bring aliases in glibc's name too). */
static const struct {
	const char *name;
	uint16_t allocator;
	uint16_t flags;
} marks[] = {
	{ "mallocx", ALLOCATOR_JEMALLOC, 0 }, { "MallocExtension_ReleaseFreeMemory", ALLOCATOR_TCMALLOC, 0 },
	{ "tc_malloc", ALLOCATOR_TCMALLOC, 0 }, { "mi_malloc", ALLOCATOR_MIMALLOC, 0 },
	{ "__libc_malloc_impl", ALLOCATOR_MUSL, 0 }, /* musl, linked statically */
	{ "__dls3", ALLOCATOR_MUSL, 0 }, { "gnu_get_libc_version", ALLOCATOR_LIBC, SITE_NULL_IS_MALLOC },
	{ "_int_malloc", ALLOCATOR_LIBC, SITE_NULL_IS_MALLOC }, /* glibc, linked statically */
};

struct sites {
	const struct elf_file *elf;
	struct site list[SITES_MAX];
	uint32_t n;
	uint16_t allocator, flags; /* of the plain names */
	size_t mark;               /* its row in marks */
};

static bool add_site(struct sites *s, const struct site *site)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->list[i].entry == site->entry)
			return true;
	if (s->n == SITES_MAX)
		return false;
	s->list[s->n++] = *site;
	return true;
}

static unsigned arguments_of(uint16_t function)
{
	switch (function) {
	case SITE_MALLOC:
	case SITE_FREE:
		return 1;
	case SITE_CALLOC:
	case SITE_REALLOC:
	case SITE_ALIGNED_ALLOC:
		return 2;
	default:
		return 3;
	}
}

/* Jumps are looked for byte by byte: one that is none costs a little time at each call, one that is missed would have
 * the call counted twice. */
static bool jumps_away(const struct sites *s, const struct site *site)
{
	_cleanup_free_ uint8_t *code = NULL;

	if (elf_file_read(s->elf, site->entry, site->size_bytes, FUNCTION_BYTES_MAX, &code) < 0)
		return true;
	for (uint32_t at = 0; at + 5 <= site->size_bytes; at++) {
		int32_t distance;
		int64_t target;

		if (code[at] != 0xe9)
			continue;
		memcpy(&distance, code + at + 1, sizeof(distance));
		target = (int64_t)at + 5 + distance;
		if (target < 0 || target >= (int64_t)site->size_bytes)
			return true;
	}
	return false;
}

/* The loader's is met some ten times in a program's life: it may be stepped. */
static void find_probe(struct site *site, const uint8_t *code, size_t size)
{
	struct instruction_slide slide = { 0 };

	if (site->function == SITE_LOADER) {
		slide.is_emulated = true;
	} else {
		slide = instruction_slide(code, size, arguments_of(site->function));
		memcpy(site->operands, slide.registers, sizeof(site->operands));
	}
	site->probe = site->entry + slide.offset;
	for (size_t i = 0; i < ARRAY_SIZE(site->after); i++)
		site->after[i] = (uint16_t)((site->entry + (uint64_t)(int64_t)slide.after[i]) & 0xfff);
	site->flags =
	        (uint16_t)(SITE_AT_ENTRY | (slide.is_emulated ? SITE_EMULATED : 0) | (slide.is_moved ? SITE_MOVED : 0));
}

static void add_function(
        struct sites *s, const Elf64_Sym *symbol, const char *name, const struct known *k, const struct prefix *prefix)
{
	struct site site = { .function = k->function };
	_cleanup_free_ uint8_t *code = NULL;
	uint64_t room, size;

	site.allocator = prefix && prefix->allocator ? prefix->allocator : s->allocator;
	/* A C library's reallocarray goes on to its realloc: counted there. */
	if ((site.function == SITE_REALLOCARRAY && site.allocator == ALLOCATOR_LIBC) ||
	        elf_file_offset_of(s->elf, symbol->st_value, &site.entry, &room) < 0)
		return;
	size = MIN(room, (uint64_t)CODE_BYTES);
	if (elf_file_read(s->elf, site.entry, size, CODE_BYTES, &code) < 0)
		return;
	site.size_bytes = (uint32_t)MIN(MIN(symbol->st_size, room), (uint64_t)FUNCTION_BYTES_MAX);
	find_probe(&site, code, size);
	if (jumps_away(s, &site))
		site.flags |= SITE_JUMPS;
	if (!prefix || prefix->allocator == 0)
		site.flags |= s->flags;
	(void)snprintf(site.name, sizeof(site.name), "%s", name);
	(void)add_site(s, &site);
}

static const struct known *find_known(const struct known *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	return NULL;
}

/* A program that merely brings an operator new of its own calls malloc in it: only the allocators' own count. */
static bool has_own_operators(uint16_t allocator)
{
	return allocator == ALLOCATOR_TCMALLOC || allocator == ALLOCATOR_JEMALLOC || allocator == ALLOCATOR_MIMALLOC;
}

static void look_at_symbol(struct sites *s, const Elf64_Sym *symbol, const char *name)
{
	const struct known *k;

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t skip = strlen(prefixes[i].text);

		if (strncmp(name, prefixes[i].text, skip) != 0)
			continue;
		k = find_known(functions, ARRAY_SIZE(functions), name + skip);
		if (k)
			add_function(s, symbol, name, k, &prefixes[i]);
	}
	k = has_own_operators(s->allocator) ? find_known(operators, ARRAY_SIZE(operators), name) : NULL;
	if (k)
		add_function(s, symbol, name, k, NULL);
}

/* Flags of a plain name are not known before the whole table was seen for marks: so it is walked twice. */
static void look_for_mark(struct sites *s, const char *name)
{
	for (size_t i = 0; i < s->mark; i++)
		if (strcmp(name, marks[i].name) == 0) {
			s->mark = i;
			s->allocator = marks[i].allocator;
			s->flags = marks[i].flags;
		}
}

static void walk_symbols(struct sites *s, const Elf64_Sym *symbols, size_t n, const char *strings, size_t string_bytes)
{
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < n; i++) {
			unsigned type = ELF64_ST_TYPE(symbols[i].st_info);

			if (symbols[i].st_name >= string_bytes || symbols[i].st_shndx == SHN_UNDEF ||
			        (type != STT_FUNC && type != STT_GNU_IFUNC))
				continue;
			/* strings ends in a NUL of its own (elf_file_read) */
			if (pass == 0)
				look_for_mark(s, strings + symbols[i].st_name);
			else if (type == STT_FUNC)
				look_at_symbol(s, &symbols[i], strings + symbols[i].st_name);
		}
}

static int read_symbols(struct sites *s, const char *symtab, const char *strtab)
{
	const struct elf_section *symbols = elf_file_section(s->elf, symtab);
	const struct elf_section *strings = elf_file_section(s->elf, strtab);
	_cleanup_free_ uint8_t *symbol_bytes = NULL, *string_bytes = NULL;
	int r;

	if (!symbols || !strings)
		return -ENODATA;
	r = elf_file_read(s->elf, strings->offset, strings->size, STRTAB_BYTES_MAX, &string_bytes);
	if (r < 0)
		return r;
	r = elf_file_read(s->elf, symbols->offset, symbols->size, SYMTAB_BYTES_MAX, &symbol_bytes);
	if (r < 0)
		return r;
	walk_symbols(s, (const Elf64_Sym *)(const void *)symbol_bytes, symbols->size / sizeof(Elf64_Sym),
	        (const char *)string_bytes, strings->size);
	return 0;
}

/* ---- USDT ---- */

/* "8@%rdi": a whole register. Returns its DWARF number, -1 for any other kind of operand. */
static int operand_register(const char *operand, size_t n)
{
	static const struct {
		const char *name;
		int number;
	} registers[] = {
		{ "rax", 0 },
		{ "rdx", 1 },
		{ "rcx", 2 },
		{ "rbx", 3 },
		{ "rsi", 4 },
		{ "rdi", 5 },
		{ "rbp", 6 },
		{ "rsp", 7 },
		{ "r8", 8 },
		{ "r9", 9 },
		{ "r10", 10 },
		{ "r11", 11 },
		{ "r12", 12 },
		{ "r13", 13 },
		{ "r14", 14 },
		{ "r15", 15 },
	};
	const char *at = memchr(operand, '@', n);

	if (!at || (size_t)(at - operand) + 2 >= n || at[1] != '%')
		return -1;
	at += 2;
	n -= (size_t)(at - operand);
	for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
		if (strlen(registers[i].name) == n && strncmp(registers[i].name, at, n) == 0)
			return registers[i].number;
	return -1;
}

static bool parse_operands(const char *text, unsigned wanted, uint8_t *operands)
{
	unsigned found = 0;

	while (*text && found < wanted) {
		size_t n = strcspn(text, " ");
		int reg = operand_register(text, n);

		if (reg < 0)
			return false;
		operands[found++] = (uint8_t)reg;
		text += n + strspn(text + n, " ");
	}
	return found == wanted;
}

static void add_usdt(struct sites *s, const uint8_t *descriptor, size_t size, uint64_t base)
{
	uint64_t pc, note_base, semaphore, room;
	struct site site = { .allocator = ALLOCATOR_USDT, .flags = SITE_EMULATED };
	const char *provider = (const char *)descriptor + 24, *name, *operands;
	const char *end = (const char *)descriptor + size;

	if (size < 24 + 3 || descriptor[size - 1] != 0)
		return;
	memcpy(&pc, descriptor, 8);
	memcpy(&note_base, descriptor + 8, 8);
	memcpy(&semaphore, descriptor + 16, 8);
	name = provider + strlen(provider) + 1;
	operands = name < end ? name + strlen(name) + 1 : end;
	if (operands >= end || strcmp(provider, "otel_memory") != 0)
		return;
	if (base)
		pc += base - note_base; /* the file was prelinked after the notes were written */
	if (strcmp(name, "alloc") == 0)
		site.function = SITE_USDT_ALLOC;
	else if (strcmp(name, "free") == 0)
		site.function = SITE_USDT_FREE;
	else
		return;
	if (!parse_operands(operands, site.function == SITE_USDT_ALLOC ? 3 : 1, site.operands) ||
	        elf_file_offset_of(s->elf, pc, &site.entry, &room) < 0)
		return;
	site.probe = site.entry;
	if (semaphore && elf_file_offset_of(s->elf, semaphore, &site.counter_offset, &room) < 0)
		return;
	(void)snprintf(site.name, sizeof(site.name), "otel_memory:%.16s", name);
	(void)add_site(s, &site);
}

static void read_usdt(struct sites *s)
{
	const struct elf_section *notes = elf_file_section(s->elf, ".note.stapsdt");
	const struct elf_section *base = elf_file_section(s->elf, ".stapsdt.base");
	_cleanup_free_ uint8_t *bytes = NULL;
	uint64_t at = 0;

	if (!notes || elf_file_read(s->elf, notes->offset, notes->size, NOTE_BYTES_MAX, &bytes) < 0)
		return;
	while (notes->size - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr h;
		uint64_t name_bytes, descriptor_bytes;

		memcpy(&h, bytes + at, sizeof(h));
		at += sizeof(h);
		name_bytes = ((uint64_t)h.n_namesz + 3) & ~3ull;
		descriptor_bytes = ((uint64_t)h.n_descsz + 3) & ~3ull;
		if (name_bytes > notes->size - at || descriptor_bytes > notes->size - at - name_bytes)
			return;
		if (h.n_type == 3 && h.n_namesz == 8 && memcmp(bytes + at, "stapsdt", 8) == 0)
			add_usdt(s, bytes + at + name_bytes, h.n_descsz, base ? base->vaddr : 0);
		at += name_bytes + descriptor_bytes;
	}
}

int sites_answer(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes)
{
	_cleanup_(elf_file_freep) struct elf_file *elf = NULL;
	_cleanup_free_ struct sites *s = NULL;
	struct sites_header header = { .magic = SITES_MAGIC };
	int r;

	r = elf_file_open(in->fd, &elf);
	if (r < 0)
		return r;
	if (elf->machine != EM_X86_64)
		return -ENOTSUP;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->elf = elf;
	s->mark = ARRAY_SIZE(marks);
	s->allocator = ALLOCATOR_LIBC;
	r = read_symbols(s, ".symtab", ".strtab");
	if (r < 0 || s->n == 0)
		(void)read_symbols(s, ".dynsym", ".dynstr");
	read_usdt(s);
	if (s->n == 0)
		return -ENODATA;
	header.n_sites = s->n;
	*ret_bytes = sizeof(header) + s->n * sizeof(s->list[0]);
	r = fd_write_full(answer_fd, &header, sizeof(header));
	return r < 0 ? r : fd_write_full(answer_fd, s->list, s->n * sizeof(s->list[0]));
}
