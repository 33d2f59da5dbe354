#include "symbolizer/symtab.h"

#include <assert.h>
#include "symbolizer/addresses.h"

#define TABLES_MAX 4u
/* Hostile symbols that overlap over and over end the search. */
#define WORK_PER_ADDRESS 256ull
#define WORK_AT_LEAST (1ull << 24)

struct candidate {
	uint64_t start;
	const char *name;
	uint32_t size, rank; /* of the name; 0: no candidate */
	bool has_extent;
};

struct table {
	struct section symbols, strings;
};

struct symtab {
	const struct elf_file *file;
	const uint64_t *addresses;
	uint32_t n, n_tables;
	struct candidate *covering; /* the innermost symbol with a size that holds the address */
	struct candidate
	        *nearest; /* the last symbol that starts at or before it; until settled: after the address before */
	struct table tables[TABLES_MAX];
	uint64_t work;
	bool settled;
};

int symtab_new(const struct elf_file *f, const uint64_t *addresses, uint32_t n, struct symtab **ret)
{
	_cleanup_(symtab_freep) struct symtab *t = NULL;

	assert(f);
	assert(n > 0);
	assert(ret);

	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct symtab){ .file = f, .addresses = addresses, .n = n, .work = WORK_AT_LEAST + n * WORK_PER_ADDRESS };
	t->covering = calloc(n, sizeof(*t->covering));
	t->nearest = calloc(n, sizeof(*t->nearest));
	if (!t->covering || !t->nearest)
		return -ENOMEM;
	*ret = TAKE_PTR(t);
	return 0;
}

struct symtab *symtab_free(struct symtab *t)
{
	if (!t)
		return NULL;
	for (uint32_t i = 0; i < t->n_tables; i++) {
		section_done(&t->tables[i].symbols);
		section_done(&t->tables[i].strings);
	}
	free(t->covering);
	free(t->nearest);
	free(t);
	return NULL;
}

/* How well a symbol names its address: a function before a label, then global, weak, local, then the fewest leading
 * underscores, so that malloc wins over __libc_malloc. */
static uint32_t symbol_rank(const Elf64_Sym *symbol, const char *name, size_t size)
{
	static const uint32_t bindings[] = { [STB_LOCAL] = 1, [STB_GLOBAL] = 3, [STB_WEAK] = 2 };
	unsigned type = ELF64_ST_TYPE(symbol->st_info), binding = ELF64_ST_BIND(symbol->st_info);
	uint32_t underscores = 0;

	while (underscores < size && underscores < 7 && name[underscores] == '_')
		underscores++;
	return 1 + (7 - underscores) + ((binding < ARRAY_SIZE(bindings) ? bindings[binding] : 3) << 3) +
	       (type == STT_NOTYPE ? 0u : 1u << 6);
}

static bool is_code(const struct table *table, const Elf64_Sym *symbol, const char **ret_name, uint32_t *ret_size)
{
	struct span strings = table->strings.span;
	unsigned type = ELF64_ST_TYPE(symbol->st_info);
	const char *name, *end;
	size_t left;

	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return false;
	if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS || symbol->st_value == 0 ||
	        symbol->st_name >= strings.size)
		return false;
	name = (const char *)strings.data + symbol->st_name;
	left = MIN(strings.size - symbol->st_name, (size_t)SYMTAB_NAME_MAX);
	end = memchr(name, 0, left);
	if (!end && left < SYMTAB_NAME_MAX)
		return false;
	if (end)
		left = (size_t)(end - name);
	if (left == 0 || (type == STT_NOTYPE && (*name == '$' || *name == '.'))) /* mapping symbols, local labels */
		return false;
	end = memchr(name + 1, '@', left - 1);
	*ret_name = name;
	*ret_size = (uint32_t)(end ? (size_t)(end - name) : left);
	return true;
}

static bool is_better(const struct candidate *a, const struct candidate *b)
{
	return b->rank == 0 || a->start > b->start || (a->start == b->start && a->rank > b->rank);
}

static int symbol_offer(struct symtab *t, const struct table *table, const Elf64_Sym *symbol)
{
	uint32_t first = addresses_from(t->addresses, t->n, symbol->st_value);
	uint64_t end = symbol->st_value + MIN(symbol->st_size, UINT64_MAX - symbol->st_value);
	struct candidate c = { .start = symbol->st_value, .has_extent = symbol->st_size > 0 };

	if (first == t->n || !is_code(table, symbol, &c.name, &c.size))
		return 0;
	c.rank = symbol_rank(symbol, c.name, c.size);
	if (is_better(&c, &t->nearest[first]))
		t->nearest[first] = c;
	for (uint32_t i = first; i < t->n && t->addresses[i] < end; i++) {
		if (t->work-- == 0)
			return -E2BIG;
		if (is_better(&c, &t->covering[i]))
			t->covering[i] = c;
	}
	return 0;
}

int symtab_add(struct symtab *t, const struct elf_file *f, uint32_t type)
{
	const struct elf_section *section = NULL;
	struct table *table;
	size_t n;
	int r;

	assert(t);
	assert(!t->settled);

	for (uint32_t i = 0; i < f->n_sections && !section; i++)
		if (f->sections[i].type == type && f->sections[i].size > 0)
			section = &f->sections[i];
	if (!section || section->link >= f->n_sections || t->n_tables == TABLES_MAX)
		return 0;
	table = &t->tables[t->n_tables++];
	r = section_map(f, section, &table->symbols);
	if (r < 0)
		return r;
	r = section_map(f, &f->sections[section->link], &table->strings);
	if (r < 0)
		return r;
	n = table->symbols.span.size / sizeof(Elf64_Sym);
	if (n > SYMTAB_SYMBOLS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < n; i++) {
		Elf64_Sym symbol;

		memcpy(&symbol, table->symbols.span.data + i * sizeof(symbol), sizeof(symbol));
		r = symbol_offer(t, table, &symbol);
		if (r < 0)
			return r;
	}
	return 1;
}

/* The executable section that holds the address; NULL for none. */
static const struct elf_section *section_of(const struct elf_file *f, uint64_t address)
{
	for (uint32_t i = 0; i < f->n_sections; i++) {
		const struct elf_section *s = &f->sections[i];

		if ((s->flags & SHF_EXECINSTR) && address >= s->vaddr && address - s->vaddr < s->size)
			return s;
	}
	return NULL;
}

const char *symtab_name(struct symtab *t, uint32_t i, size_t *ret_size)
{
	const struct elf_section *section;
	const struct candidate *c;

	assert(t);
	assert(i < t->n);

	if (!t->settled) {
		for (uint32_t k = 1; k < t->n; k++)
			if (t->nearest[k].rank == 0)
				t->nearest[k] = t->nearest[k - 1];
		t->settled = true;
	}
	c = &t->covering[i];
	if (c->rank == 0) {
		c = &t->nearest[i];
		section = c->rank != 0 && !c->has_extent ? section_of(t->file, t->addresses[i]) : NULL;
		if (!section || c->start < section->vaddr)
			return NULL;
	}
	*ret_size = c->size;
	return c->name;
}
