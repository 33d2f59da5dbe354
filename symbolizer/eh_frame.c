#include "symbolizer/eh_frame.h"

#include <assert.h>
#include <dwarf.h>

#define CIE_BYTES_MAX 4096u /* a CIE is run again for each FDE that finds another one in its place of the cache */
#define CACHE_SLOTS 256u

struct eh_frame_cache {
	struct {
		uint32_t offset; /* of the CIE, plus one; 0 for a free slot */
		int result;
		struct cfi_cie cie;
	} slots[CACHE_SLOTS];
};

/* A CIE or an FDE as it stands in the section, without its length. */
struct entry {
	uint32_t offset, id_offset, id;
	struct cursor c; /* after the id */
};

struct eh_frame *eh_frame_free(struct eh_frame *e)
{
	if (!e)
		return NULL;
	free(e->data);
	free(e->fdes);
	free(e->cache);
	free(e);
	return NULL;
}

/* 1: read, and *offset is behind it. 0: a terminator. -EBADMSG: the section cannot be followed from here. */
static int read_entry(const struct eh_frame *e, uint32_t *offset, struct entry *ret)
{
	struct cursor c = CURSOR(e->data + *offset, e->size - *offset);
	uint64_t length = cursor_u32(&c);

	if (c.failed)
		return -EBADMSG;
	if (length == 0) {
		*offset += 4;
		return 0;
	}
	if (length == UINT32_MAX)
		length = cursor_u64(&c);
	if (c.failed || length < 4 || length > cursor_room(&c))
		return -EBADMSG;
	ret->offset = *offset;
	ret->id_offset = (uint32_t)(c.p - e->data);
	c.end = c.p + length;
	ret->id = cursor_u32(&c);
	ret->c = c;
	*offset = (uint32_t)(c.end - e->data);
	return 1;
}

static int read_augmentation(struct cfi_cie *cie, struct cursor *c, const char *letters, uint64_t vaddr_delta)
{
	struct cursor data;
	uint64_t size = cursor_uleb(c);
	const uint8_t *at = cursor_bytes(c, size);
	uint8_t encoding;

	if (!at)
		return -EBADMSG;
	cie->has_augmentation_size = true;
	data = CURSOR(at, size);
	for (; *letters; letters++) {
		switch (*letters) {
		case 'R':
			cie->fde_encoding = cursor_u8(&data);
			break;
		case 'L':
			(void)cursor_u8(&data);
			break;
		case 'P':
			encoding = cursor_u8(&data);
			(void)cfi_read_pointer(&data, encoding & 0x0f, vaddr_delta);
			break;
		case 'S':
			cie->is_signal_frame = true;
			break;
		default:
			return -EBADMSG;
		}
	}
	return data.failed ? -EBADMSG : 0;
}

static int parse_cie(const struct eh_frame *e, struct cursor c, struct cfi_cie *ret)
{
	struct cfi_cie cie = { .machine = e->machine, .fde_encoding = DW_EH_PE_absptr };
	const char *letters;
	uint64_t ra;
	uint8_t version;
	int r;

	if (cursor_room(&c) > CIE_BYTES_MAX)
		return -EBADMSG;
	version = cursor_u8(&c);
	letters = cursor_string(&c);
	if (!letters || (version != 1 && version != 3 && version != 4))
		return -EBADMSG;
	if (version == 4 && cursor_u16(&c) != 8) /* an address of 8 bytes, a segment selector of none */
		return -EBADMSG;
	cie.code_alignment = cursor_uleb(&c);
	cie.data_alignment = cursor_sleb(&c);
	ra = version == 1 ? cursor_u8(&c) : cursor_uleb(&c);
	if (c.failed || ra != e->machine->ra || (*letters && *letters != 'z'))
		return -EBADMSG;
	if (*letters) {
		r = read_augmentation(&cie, &c, letters + 1, e->vaddr);
		if (r < 0)
			return r;
	}
	r = cfi_run_cie(&cie, c);
	if (r < 0)
		return r;
	*ret = cie;
	return 0;
}

static const struct cfi_cie *find_cie(struct eh_frame *e, uint32_t offset)
{
	uint32_t slot = (uint32_t)((offset * 2654435761u) >> 24) % CACHE_SLOTS, at = offset;
	struct entry entry;

	if (e->cache->slots[slot].offset != offset + 1) {
		e->cache->slots[slot].offset = offset + 1;
		e->cache->slots[slot].result = -EBADMSG;
		if (offset < e->size && read_entry(e, &at, &entry) == 1 && entry.id == 0)
			e->cache->slots[slot].result = parse_cie(e, entry.c, &e->cache->slots[slot].cie);
	}
	return e->cache->slots[slot].result < 0 ? NULL : &e->cache->slots[slot].cie;
}

/* 0 also for an FDE without code. */
static int add_fde(struct eh_frame *e, uint32_t *room, const struct entry *entry)
{
	struct cursor c = entry->c;
	struct eh_frame_fde fde = { 0 };
	const struct cfi_cie *cie;

	if (entry->id > entry->id_offset)
		return -EBADMSG;
	fde.cie = entry->id_offset - entry->id;
	cie = find_cie(e, fde.cie);
	if (!cie)
		return -EBADMSG;
	fde.start = cfi_read_pointer(&c, cie->fde_encoding, e->vaddr + (uint64_t)(c.p - e->data));
	fde.size = cfi_read_pointer(&c, cie->fde_encoding & 0x0f, 0);
	if (c.failed)
		return -EBADMSG;
	if (fde.size == 0)
		return 0;
	fde.body = (uint32_t)(c.p - e->data);
	fde.body_size = (uint32_t)cursor_room(&c);
	if (e->n_fdes == *room) {
		uint32_t n = *room ? *room * 2 : 1024;
		struct eh_frame_fde *bigger;

		if (e->n_fdes == EH_FRAME_FDES_MAX)
			return -E2BIG;
		bigger = realloc(e->fdes, n * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		e->fdes = bigger;
		*room = n;
	}
	e->fdes[e->n_fdes++] = fde;
	return 0;
}

static int read_fdes(struct eh_frame *e)
{
	uint32_t room = 0;

	for (uint32_t offset = 0; offset < e->size;) {
		struct entry entry;
		int r = read_entry(e, &offset, &entry);

		if (r == 0 && e->ends_at_terminator)
			break;
		if (r == 0)
			continue;
		if (r < 0) {
			e->skipped++;
			break;
		}
		if (entry.id == 0)
			continue;
		r = add_fde(e, &room, &entry);
		if (r == -EBADMSG)
			e->skipped++;
		else if (r < 0)
			return r;
	}
	if (e->n_fdes == 0)
		return e->skipped ? -EBADMSG : -ENODATA;
	return 0;
}

static int compare_fdes(const void *a, const void *b)
{
	const struct eh_frame_fde *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->body < y->body ? -1 : x->body > y->body;
}

static void sort_fdes(struct eh_frame *e)
{
	for (uint32_t i = 1; i < e->n_fdes; i++)
		if (compare_fdes(&e->fdes[i - 1], &e->fdes[i]) > 0) {
			qsort(e->fdes, e->n_fdes, sizeof(*e->fdes), compare_fdes);
			return;
		}
}

struct place {
	uint64_t offset, size, vaddr;
	bool ends_at_terminator;
};

static int find_by_segment(const struct elf_file *f, struct place *ret)
{
	for (uint32_t i = 0; i < f->n_segments; i++) {
		const struct elf_segment *s = &f->segments[i];
		uint8_t header[4 + 10];
		struct cursor c = CURSOR(header, sizeof(header));
		uint64_t vaddr, offset, room;

		if (s->type != PT_GNU_EH_FRAME || s->filesz < sizeof(header))
			continue;
		if (pread(f->fd, header, sizeof(header), (off_t)s->offset) != (ssize_t)sizeof(header) || header[0] != 1)
			continue;
		c.p += 4; /* version, and three encodings of which the first tells of the pointer */
		vaddr = cfi_read_pointer(&c, header[1], s->vaddr + 4);
		if (c.failed || elf_file_offset_of(f, vaddr, &offset, &room) < 0)
			continue;
		*ret = (struct place){ .offset = offset, .size = room, .vaddr = vaddr, .ends_at_terminator = true };
		return 0;
	}
	return -ENODATA;
}

static int find_place(const struct elf_file *f, struct place *ret)
{
	const struct elf_section *s = elf_file_section(f, ".eh_frame");
	uint64_t offset;

	/* Headers that do not agree with what is loaded are stale or false. */
	if (s && elf_file_offset_of(f, s->vaddr, &offset, NULL) == 0 && offset == s->offset) {
		*ret = (struct place){ .offset = s->offset, .size = s->size, .vaddr = s->vaddr };
		return 0;
	}
	return find_by_segment(f, ret);
}

int eh_frame_read(const struct elf_file *f, struct eh_frame **ret)
{
	_cleanup_(eh_frame_freep) struct eh_frame *e = NULL;
	struct place place;
	int r;

	assert(ret);
	r = find_place(f, &place);
	if (r < 0)
		return r;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->machine = cfi_machine(f->machine);
	if (!e->machine)
		return -ENOTSUP;
	e->cache = calloc(1, sizeof(*e->cache));
	if (!e->cache)
		return -ENOMEM;
	r = elf_file_read(f, place.offset, place.size, EH_FRAME_BYTES_MAX, &e->data);
	if (r < 0)
		return r;
	e->vaddr = place.vaddr;
	e->size = (uint32_t)place.size;
	e->ends_at_terminator = place.ends_at_terminator;
	r = read_fdes(e);
	if (r < 0)
		return r;
	sort_fdes(e);
	*ret = TAKE_PTR(e);
	return 0;
}

int eh_frame_run(struct eh_frame *e, const struct eh_frame_fde *fde, cfi_row_t row, void *userdata)
{
	const struct cfi_cie *cie = find_cie(e, fde->cie);
	struct cursor c = CURSOR(e->data + fde->body, fde->body_size);

	if (!cie)
		return -EBADMSG;
	if (cie->has_augmentation_size)
		(void)cursor_bytes(&c, cursor_uleb(&c));
	if (c.failed)
		return -EBADMSG;
	return cfi_run_fde(
	        &(struct cfi_fde){
	                .cie = cie,
	                .start = fde->start,
	                .size = fde->size,
	                .instructions = c,
	                .instructions_vaddr = e->vaddr + (uint64_t)(c.p - e->data),
	        },
	        row, userdata);
}
