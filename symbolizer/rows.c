#include "symbolizer/rows.h"

#include <assert.h>
#include <string.h>
#include "base/fd.h"
#include "symbolizer/dispatch.h"
#include "symbolizer/eh_frame.h"
#include "symbolizer/elf_file.h"

#define RULE_SLOTS ((size_t)2 * ROWS_RULES_MAX)
#define PAGE_BYTES (1ull << UNWIND_PAGE_SHIFT)
#define PAGE_NUMBER_MAX UINT32_MAX

struct builder {
	struct rows *t;
	uint32_t room_pages, room_rules, room_rows;
	uint32_t *slots;     /* hash of rules: index plus one */
	uint64_t end;        /* pages below this offset are open or hold nothing */
	uint16_t rule;       /* what holds now */
	uint64_t fde_offset; /* file offset of the FDE that runs, and how far its rows count */
	uint64_t fde_size;
};

struct rows *rows_free(struct rows *t)
{
	if (!t)
		return NULL;
	free(t->pages);
	free(t->rules);
	free(t->rows);
	free(t);
	return NULL;
}

/* Room for one more. */
static int reserve(void **array, uint32_t n, uint32_t *room, size_t size, uint32_t max)
{
	uint32_t more;
	void *bigger;

	if (n < *room)
		return 0;
	if (n >= max)
		return -E2BIG;
	more = *room ? MIN(*room * 2, max) : MIN(1024u, max);
	bigger = realloc(*array, more * size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	*room = more;
	return 0;
}

static int put_rule(struct builder *b, const struct unwind_rule *rule, uint16_t *ret)
{
	uint64_t key;
	uint32_t slot;
	int r;

	memcpy(&key, rule, sizeof(key));
	slot = (uint32_t)((key * 0x9e3779b97f4a7c15ull) >> 40) % RULE_SLOTS;
	for (; b->slots[slot]; slot = (slot + 1) % RULE_SLOTS)
		if (memcmp(&b->t->rules[b->slots[slot] - 1], rule, sizeof(*rule)) == 0) {
			*ret = (uint16_t)(b->slots[slot] - 1);
			return 0;
		}
	r = reserve((void **)&b->t->rules, b->t->n_rules, &b->room_rules, sizeof(*rule), ROWS_RULES_MAX);
	if (r < 0)
		return r;
	*ret = (uint16_t)b->t->n_rules;
	b->t->rules[b->t->n_rules++] = *rule;
	b->slots[slot] = b->t->n_rules;
	return 0;
}

static int add_row(struct builder *b, uint64_t offset, uint16_t rule)
{
	int r = reserve((void **)&b->t->rows, b->t->n_rows, &b->room_rows, sizeof(struct unwind_row), ROWS_MAX);

	if (r < 0)
		return r;
	b->t->rows[b->t->n_rows++] = (struct unwind_row){ .offset_low = (uint16_t)offset, .rule = rule };
	b->t->pages[b->t->n_pages - 1].n_rows++;
	return 0;
}

static int open_page(struct builder *b, uint64_t offset, uint16_t rule)
{
	uint64_t page = offset >> UNWIND_PAGE_SHIFT;
	int r;

	if (page > PAGE_NUMBER_MAX)
		return -E2BIG;
	r = reserve((void **)&b->t->pages, b->t->n_pages, &b->room_pages, sizeof(struct rows_page), ROWS_PAGES_MAX);
	if (r < 0)
		return r;
	b->t->pages[b->t->n_pages++] = (struct rows_page){ .page = (uint32_t)page, .first_row = b->t->n_rows };
	b->end = (page + 1) << UNWIND_PAGE_SHIFT;
	return add_row(b, 0, rule);
}

/* From offset on, rule holds. Offsets rise from call to call. */
static int put_row(struct builder *b, uint64_t offset, uint16_t rule)
{
	uint64_t page_start = offset & ~(PAGE_BYTES - 1);
	int r;

	if (rule == b->rule)
		return 0;
	while (b->rule && b->end < page_start) {
		r = open_page(b, b->end, b->rule);
		if (r < 0)
			return r;
	}
	if (offset >= b->end) {
		bool at_start = offset == page_start;

		if (!at_start || rule) {
			r = open_page(b, page_start, at_start ? rule : b->rule);
			if (r < 0)
				return r;
		} else {
			b->end = page_start;
		}
		b->rule = at_start ? rule : b->rule;
	}
	if (rule != b->rule) {
		r = add_row(b, offset, rule);
		if (r < 0)
			return r;
	}
	b->rule = rule;
	return 0;
}

static int on_row(void *userdata, uint64_t offset, const struct unwind_rule *rule)
{
	struct builder *b = userdata;
	uint16_t id;
	int r;

	if (offset >= b->fde_size)
		return 0;
	r = put_rule(b, rule, &id);
	if (r == -E2BIG) /* more kinds of rules than anyone writes: the rest is unknown */
		id = 0;
	else if (r < 0)
		return r;
	return put_row(b, b->fde_offset + offset, id);
}

/* Where an FDE's code lies in the file, and how much of it. */
static bool place_fde(
        const struct elf_file *f, const struct eh_frame_fde *fde, uint64_t *ret_offset, uint64_t *ret_size)
{
	for (uint32_t i = 0; i < f->n_segments; i++) {
		const struct elf_segment *s = &f->segments[i];

		if (s->type != PT_LOAD || !(s->flags & PF_X))
			continue;
		if (fde->start < s->vaddr || fde->start - s->vaddr >= s->filesz)
			continue;
		*ret_offset = s->offset + (fde->start - s->vaddr);
		*ret_size = MIN(fde->size, s->filesz - (fde->start - s->vaddr));
		return true;
	}
	return false;
}

struct placed {
	uint64_t offset, size;
	uint32_t fde, padding;
};

static int compare_placed(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->fde < y->fde ? -1 : x->fde > y->fde;
}

/* FDEs by file offset. Addresses and offsets run alike but for odd files, so there is mostly nothing to sort. */
static int place_fdes(const struct elf_file *f, const struct eh_frame *e, struct placed **ret, uint32_t *ret_n)
{
	_cleanup_free_ struct placed *placed = malloc(e->n_fdes * sizeof(*placed));
	bool sorted = true;
	uint32_t n = 0;

	if (!placed)
		return -ENOMEM;
	for (uint32_t i = 0; i < e->n_fdes; i++) {
		if (!place_fde(f, &e->fdes[i], &placed[n].offset, &placed[n].size))
			continue;
		placed[n].fde = i;
		sorted = sorted && (n == 0 || placed[n].offset >= placed[n - 1].offset);
		n++;
	}
	if (!sorted)
		qsort(placed, n, sizeof(*placed), compare_placed);
	if (n == 0)
		return -ENODATA;
	*ret = TAKE_PTR(placed);
	*ret_n = n;
	return 0;
}

/* An FDE counts to its end or to the next one's start, as in the run time's own look-up by binary search. Over a hole
 * this small its last row goes on: most are padding that never runs; glibc's clone, clone3 and vfork are where parents
 * wait, with the row before the hole still true for them. */
#define HOLE_BYTES 32

static int build(struct builder *b, const struct elf_file *f, struct eh_frame *e)
{
	_cleanup_free_ struct placed *placed = NULL;
	uint32_t n;
	int r = place_fdes(f, e, &placed, &n);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < n; i++) {
		bool has_next = i + 1 < n;
		uint64_t end = placed[i].offset + placed[i].size;

		if (has_next)
			end = MIN(end, placed[i + 1].offset);
		if (end == placed[i].offset)
			continue;
		b->fde_offset = placed[i].offset;
		b->fde_size = end - placed[i].offset;
		r = eh_frame_run(e, &e->fdes[placed[i].fde], on_row, b);
		if (r == -EBADMSG)
			b->t->skipped_fdes++;
		else if (r < 0)
			return r;
		if (!has_next || placed[i + 1].offset - end >= HOLE_BYTES) {
			r = put_row(b, end, 0);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int rows_make(int elf_fd, struct rows **ret)
{
	_cleanup_(elf_file_freep) struct elf_file *f = NULL;
	_cleanup_(eh_frame_freep) struct eh_frame *e = NULL;
	_cleanup_(rows_freep) struct rows *t = NULL;
	_cleanup_free_ uint32_t *slots = NULL;
	struct builder b;
	uint16_t unknown;
	int r;

	assert(ret);
	r = elf_file_open(elf_fd, &f);
	if (r < 0)
		return r;
	r = eh_frame_read(f, &e);
	if (r < 0)
		return r;
	t = calloc(1, sizeof(*t));
	slots = calloc(RULE_SLOTS, sizeof(*slots));
	if (!t || !slots)
		return -ENOMEM;
	b = (struct builder){ .t = t, .slots = slots };
	r = put_rule(&b, &(struct unwind_rule){ .cfa = CFA_UNKNOWN }, &unknown);
	if (r < 0)
		return r;
	r = build(&b, f, e);
	if (r < 0)
		return r;
	t->skipped_fdes += e->skipped;
	*ret = TAKE_PTR(t);
	return 0;
}

int rows_answer(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes)
{
	_cleanup_(rows_freep) struct rows *t = NULL;
	struct rows_header header;
	uint64_t at = 0;
	int r = rows_make(in->fd, &t);

	if (r < 0)
		return r;
	header = (struct rows_header){
		.magic = ROWS_MAGIC,
		.n_pages = t->n_pages,
		.n_rules = t->n_rules,
		.n_rows = t->n_rows,
		.skipped_fdes = t->skipped_fdes,
	};
	const struct {
		const void *data;
		size_t size;
	} parts[] = {
		{ &header, sizeof(header) },
		{ t->pages, (size_t)t->n_pages * sizeof(*t->pages) },
		{ t->rules, (size_t)t->n_rules * sizeof(*t->rules) },
		{ t->rows, (size_t)t->n_rows * sizeof(*t->rows) },
	};
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		r = fd_pwrite_full(answer_fd, parts[i].data, parts[i].size, at);
		if (r < 0)
			return r;
		at += parts[i].size;
	}
	*ret_bytes = at;
	return 0;
}
