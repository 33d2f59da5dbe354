#include "symbolizer/plt.h"

#include <assert.h>
#include "symbolizer/addresses.h"
#include "symbolizer/section.h"

#define ENTRY_BYTES 16u
#define HEADER_BYTES_AARCH64 32u
#define NAME_MAX_BYTES 1024u

struct entry { /* a PLT entry that holds an address */
	uint64_t slot;
	uint32_t address; /* index of the address */
};

struct entries {
	struct entry *list;
	uint32_t n;
};

/* "jmp *displacement(%rip)", after endbr64 and bnd prefixes. */
static bool slot_x86_64(struct span code, uint64_t offset, uint64_t vaddr, uint64_t *ret)
{
	for (uint64_t i = offset; i < offset + ENTRY_BYTES - 5 && i + 6 <= code.size; i++) {
		int32_t displacement;

		if (code.data[i] != 0xff || code.data[i + 1] != 0x25)
			continue;
		memcpy(&displacement, code.data + i + 2, sizeof(displacement));
		*ret = vaddr + i + 6 + (uint64_t)(int64_t)displacement;
		return true;
	}
	return false;
}

/* "adrp x16, page; ldr x17, [x16, #offset]". */
static bool slot_aarch64(struct span code, uint64_t offset, uint64_t vaddr, uint64_t *ret)
{
	for (uint64_t i = offset; i < offset + ENTRY_BYTES - 4 && i + 8 <= code.size; i += 4) {
		uint32_t adrp, ldr;
		int64_t page;

		memcpy(&adrp, code.data + i, 4);
		memcpy(&ldr, code.data + i + 4, 4);
		if ((adrp & 0x9f00001f) != 0x90000010 || (ldr & 0xffc003ff) != 0xf9400211)
			continue;
		page = (int64_t)(((uint64_t)(adrp >> 5 & 0x7ffff) << 2 | (adrp >> 29 & 3)) << 43) >> 31;
		*ret = ((vaddr + i) & ~0xfffull) + (uint64_t)page + (uint64_t)(ldr >> 10 & 0xfff) * 8;
		return true;
	}
	return false;
}

static int entries_collect(const struct elf_file *f, const struct elf_section *s, const uint64_t *addresses, uint32_t n,
        const uint32_t *names, struct entries *entries)
{
	_cleanup_(section_done) struct section code = { 0 };
	uint64_t header = f->machine == EM_AARCH64 ? HEADER_BYTES_AARCH64 : 0;
	uint32_t i = addresses_from(addresses, n, s->vaddr);
	int r;

	if (i == n || addresses[i] - s->vaddr >= s->size)
		return 0;
	r = section_map(f, s, &code);
	if (r < 0)
		return r;
	for (; i < n && addresses[i] - s->vaddr < s->size; i++) {
		uint64_t offset = addresses[i] - s->vaddr, step = ENTRY_BYTES, slot;

		if (names[i] != 0 || offset < header)
			continue;
		if (f->machine == EM_X86_64 && s->entsize == 8) /* .plt.got without endbr64 */
			step = 8;
		offset -= (offset - header) % step;
		if (f->machine == EM_X86_64 ? slot_x86_64(code.span, offset, s->vaddr, &slot)
		                            : slot_aarch64(code.span, offset, s->vaddr, &slot))
			entries->list[entries->n++] = (struct entry){ slot, i };
	}
	return 0;
}

static int compare_slots(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->slot < y->slot ? -1 : x->slot > y->slot;
}

static uint32_t plt_text(struct span symbols, struct span strings, uint64_t index, struct symbol_writer *w)
{
	char name[NAME_MAX_BYTES + sizeof("@plt")];
	struct cursor c;
	Elf64_Sym symbol;
	const char *s;
	size_t size;

	if (index == 0 || index >= symbols.size / sizeof(symbol))
		return 0;
	memcpy(&symbol, symbols.data + index * sizeof(symbol), sizeof(symbol));
	c = cursor_at(strings, symbol.st_name);
	s = cursor_text(&c, &size);
	if (!s || size == 0 || size > NAME_MAX_BYTES)
		return 0;
	memcpy(name, s, size);
	memcpy(name + size, "@plt", 4); /* NOLINT(bugprone-not-null-terminated-result): the size goes with it */
	return symbol_writer_text(w, name, size + 4);
}

/* Names the entries whose slot a relocation of this section fills. */
static int relocations_match(const struct elf_file *f, const struct elf_section *s, const struct entries *entries,
        struct symbol_writer *w, uint32_t *names)
{
	_cleanup_(section_done) struct section relocations = { 0 }, symbols = { 0 }, strings = { 0 };
	const struct elf_section *table;
	size_t n;
	int r;

	if (s->link >= f->n_sections || f->sections[s->link].link >= f->n_sections)
		return 0;
	table = &f->sections[s->link];
	r = section_map(f, s, &relocations);
	if (r >= 0)
		r = section_map(f, table, &symbols);
	if (r >= 0)
		r = section_map(f, &f->sections[table->link], &strings);
	if (r < 0)
		return r;
	n = MIN(relocations.span.size / sizeof(Elf64_Rela), (size_t)PLT_RELOCATIONS_MAX);
	for (size_t i = 0; i < n; i++) {
		uint32_t low = 0, high = entries->n;
		Elf64_Rela relocation;

		memcpy(&relocation, relocations.span.data + i * sizeof(relocation), sizeof(relocation));
		while (low < high) {
			uint32_t mid = low + (high - low) / 2;

			if (entries->list[mid].slot < relocation.r_offset)
				low = mid + 1;
			else
				high = mid;
		}
		for (; low < entries->n && entries->list[low].slot == relocation.r_offset; low++) {
			uint32_t *name = &names[entries->list[low].address];

			if (*name == 0)
				*name = plt_text(symbols.span, strings.span, ELF64_R_SYM(relocation.r_info), w);
		}
	}
	return 0;
}

int plt_names(const struct elf_file *f, const uint64_t *addresses, uint32_t n, struct symbol_writer *w, uint32_t *names)
{
	static const char *const sections[] = { ".plt", ".plt.sec", ".plt.got" };
	_cleanup_free_ struct entry *list = NULL;
	struct entries entries = { 0 };
	int r;

	assert(f);
	assert(names);

	if (f->machine != EM_X86_64 && f->machine != EM_AARCH64)
		return 0;
	entries.list = list = malloc(ARRAY_SIZE(sections) * (size_t)n * sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		const struct elf_section *s = elf_file_section(f, sections[i]);

		r = s ? entries_collect(f, s, addresses, n, names, &entries) : 0;
		if (r < 0)
			return r;
	}
	if (entries.n == 0)
		return 0;
	qsort(list, entries.n, sizeof(*list), compare_slots);
	for (uint32_t i = 0; i < f->n_sections; i++) {
		const struct elf_section *s = &f->sections[i];

		r = s->type == SHT_RELA && (s->flags & SHF_ALLOC) ? relocations_match(f, s, &entries, w, names) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}
