#include "symbolizer/section.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#define PAGE_BYTES 4096ull

static void *map_anonymous(size_t size)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return m == MAP_FAILED ? NULL : m;
}

static int inflate_zlib(struct span from, uint8_t *to, size_t size)
{
	z_stream z = {
		.next_in = (Bytef *)from.data, .avail_in = (uInt)from.size, .next_out = to, .avail_out = (uInt)size
	};
	int r;

	if (from.size > UINT32_MAX || size > UINT32_MAX)
		return -E2BIG;
	if (inflateInit(&z) != Z_OK)
		return -ENOMEM;
	r = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return r == Z_STREAM_END && z.avail_out == 0 ? 0 : -EBADMSG;
}

static int inflate_zstd(struct span from, uint8_t *to, size_t size)
{
	size_t n = ZSTD_decompress(to, size, from.data, from.size);

	return !ZSTD_isError(n) && n == size ? 0 : -EBADMSG;
}

/* Puts the inflated contents in the place of the compressed ones. */
static int section_inflate(struct section *s)
{
	_cleanup_(section_done) struct section inflated = { 0 };
	Elf64_Chdr header;
	struct span from;
	int r;

	if (s->span.size < sizeof(header))
		return -EBADMSG;
	memcpy(&header, s->span.data, sizeof(header));
	if (header.ch_size == 0)
		return -EBADMSG;
	if (header.ch_size > SECTION_INFLATED_MAX)
		return -E2BIG;
	from = (struct span){ s->span.data + sizeof(header), s->span.size - sizeof(header) };
	inflated.mapping = map_anonymous(header.ch_size);
	if (!inflated.mapping)
		return -ENOMEM;
	inflated.mapping_size = header.ch_size;
	inflated.span = (struct span){ inflated.mapping, header.ch_size };
	if (header.ch_type == 1) /* ELFCOMPRESS_ZLIB */
		r = inflate_zlib(from, inflated.mapping, header.ch_size);
	else if (header.ch_type == 2) /* ELFCOMPRESS_ZSTD, newer than some elf.h */
		r = inflate_zstd(from, inflated.mapping, header.ch_size);
	else
		r = -EBADMSG;
	if (r < 0)
		return r;
	section_done(s);
	*s = inflated;
	inflated = (struct section){ 0 }; /* NOLINT(clang-analyzer-deadcode.DeadStores): cleaned up */
	return 0;
}

static int section_read(const struct elf_file *f, const struct elf_section *header, struct section *s)
{
	uint64_t start = header->offset & ~(PAGE_BYTES - 1), slack = header->offset - start;
	int r;

	if (header->size < SECTION_MAPPED_MIN) {
		r = elf_file_read(f, header->offset, header->size, SECTION_MAPPED_MIN, &s->copy);
		if (r < 0)
			return r;
		s->span = (struct span){ s->copy, header->size };
		return 0;
	}
	s->mapping = mmap(NULL, header->size + slack, PROT_READ, MAP_PRIVATE, f->fd, (off_t)start);
	if (s->mapping == MAP_FAILED) {
		s->mapping = NULL;
		return -errno;
	}
	s->mapping_size = header->size + slack;
	s->is_file = true;
	s->span = (struct span){ (uint8_t *)s->mapping + slack, header->size };
	return 0;
}

int section_map(const struct elf_file *f, const struct elf_section *header, struct section *ret)
{
	_cleanup_(section_done) struct section s = { 0 };
	int r = 0;

	assert(f);
	assert(ret);

	if (header && header->size > 0 && header->type != SHT_NOBITS) {
		r = section_read(f, header, &s);
		if (r >= 0 && (header->flags & SHF_COMPRESSED))
			r = section_inflate(&s);
		if (r < 0)
			return r;
	}
	*ret = s;
	s = (struct section){ 0 };
	return 0;
}

int section_load(const struct elf_file *f, const char *name, struct section *ret)
{
	return section_map(f, elf_file_section(f, name), ret);
}

void section_done(struct section *s)
{
	free(s->copy);
	if (s->mapping)
		munmap(s->mapping, s->mapping_size);
	*s = (struct section){ 0 };
}

void section_forget(const struct section *s, uint64_t offset, uint64_t size)
{
	uintptr_t start = (uintptr_t)s->span.data + offset;
	uintptr_t end = start + size;

	if (!s->is_file) /* inflated pages would come back empty */
		return;
	start = (start + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	end &= ~(PAGE_BYTES - 1);
	if (start < end)
		(void)madvise((void *)start, end - start, MADV_DONTNEED); /* NOLINT(performance-no-int-to-ptr) */
}
