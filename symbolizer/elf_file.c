#include "symbolizer/elf_file.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>
#include "base/fd.h"

#define SECTION_NAMES_MAX (1u << 20)

struct elf_file *elf_file_free(struct elf_file *f)
{
	if (!f)
		return NULL;
	free(f->segments);
	free(f->sections);
	free(f->section_names);
	free(f);
	return NULL;
}

static bool inside(uint64_t offset, uint64_t size, uint64_t limit)
{
	return offset <= limit && size <= limit - offset;
}

int elf_file_read(const struct elf_file *f, uint64_t offset, uint64_t size, uint64_t max, uint8_t **ret)
{
	_cleanup_free_ uint8_t *data = NULL;
	int r;

	assert(ret);
	if (size > max)
		return -E2BIG;
	if (!inside(offset, size, f->size))
		return -EBADMSG;
	data = malloc(size + 1);
	if (!data)
		return -ENOMEM;
	r = fd_pread_full(f->fd, data, size, offset);
	if (r < 0)
		return r == -EIO ? -EBADMSG : r;
	data[size] = 0;
	*ret = TAKE_PTR(data);
	return 0;
}

static int read_header(int fd, uint64_t size, Elf64_Ehdr *ret)
{
	Elf64_Ehdr h;
	int r;

	if (size < EI_NIDENT)
		return -EBADMSG;
	memset(&h, 0, sizeof(h));
	r = fd_pread_full(fd, &h, MIN(size, (uint64_t)sizeof(h)), 0);
	if (r < 0)
		return r == -EIO ? -EBADMSG : r;
	if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0)
		return -EBADMSG;
	if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOTSUP;
	if (size < sizeof(h))
		return -EBADMSG;
	if (h.e_type != ET_EXEC && h.e_type != ET_DYN)
		return -ENOTSUP;
	*ret = h;
	return 0;
}

static int read_segments(struct elf_file *f, const Elf64_Ehdr *h)
{
	_cleanup_free_ uint8_t *raw = NULL;
	int r;

	if (h->e_phnum == 0)
		return 0; /* a separate debug file may have none that matters */
	if (h->e_phentsize != sizeof(Elf64_Phdr))
		return -EBADMSG;
	if (h->e_phnum > ELF_FILE_SEGMENTS_MAX)
		return -E2BIG;
	r = elf_file_read(f, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr), UINT32_MAX, &raw);
	if (r < 0)
		return r;
	f->segments = calloc(h->e_phnum, sizeof(*f->segments));
	if (!f->segments)
		return -ENOMEM;
	for (uint32_t i = 0; i < h->e_phnum; i++) {
		Elf64_Phdr p;

		memcpy(&p, raw + i * sizeof(p), sizeof(p));
		if (p.p_offset > f->size || p.p_vaddr > UINT64_MAX - p.p_filesz)
			continue;
		f->segments[f->n_segments++] = (struct elf_segment){
			.type = p.p_type,
			.flags = p.p_flags,
			.offset = p.p_offset,
			.vaddr = p.p_vaddr,
			.filesz = MIN(p.p_filesz, f->size - p.p_offset),
			.memsz = p.p_memsz,
		};
	}
	return 0;
}

/* e_shnum and e_shstrndx are in section 0 where they do not fit. */
static int read_section_headers(
        struct elf_file *f, const Elf64_Ehdr *h, uint8_t **ret, uint32_t *ret_n, uint32_t *ret_names)
{
	_cleanup_free_ uint8_t *raw = NULL;
	uint64_t n = h->e_shnum;
	uint32_t names = h->e_shstrndx;
	Elf64_Shdr first;
	int r;

	if (h->e_shoff == 0 || h->e_shentsize != sizeof(Elf64_Shdr) || !inside(h->e_shoff, sizeof(first), f->size))
		return -ENODATA;
	r = fd_pread_full(f->fd, &first, sizeof(first), h->e_shoff);
	if (r < 0)
		return r;
	if (n == 0)
		n = first.sh_size;
	if (names == SHN_XINDEX)
		names = first.sh_link;
	if (n == 0 || n > ELF_FILE_SECTIONS_MAX || names >= n)
		return -ENODATA;
	r = elf_file_read(f, h->e_shoff, n * sizeof(Elf64_Shdr), UINT32_MAX, &raw);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(raw);
	*ret_n = (uint32_t)n;
	*ret_names = names;
	return 0;
}

static struct elf_section section_from(
        const struct elf_file *f, const Elf64_Shdr *s, const char *names, uint64_t names_size)
{
	bool has_data = s->sh_type != SHT_NOBITS && s->sh_type != SHT_NULL && inside(s->sh_offset, s->sh_size, f->size);

	return (struct elf_section){
		.name = s->sh_name < names_size ? names + s->sh_name : "",
		.type = has_data ? s->sh_type : SHT_NULL,
		.link = s->sh_link,
		.info = s->sh_info,
		.flags = s->sh_flags,
		.offset = has_data ? s->sh_offset : 0,
		.vaddr = s->sh_addr,
		.size = has_data ? s->sh_size : 0,
		.entsize = s->sh_entsize,
	};
}

static int read_sections(struct elf_file *f, const Elf64_Ehdr *h)
{
	_cleanup_free_ uint8_t *raw = NULL, *names = NULL;
	_cleanup_free_ struct elf_section *sections = NULL;
	uint32_t n, names_index;
	Elf64_Shdr s;
	int r;

	r = read_section_headers(f, h, &raw, &n, &names_index);
	if (r < 0)
		return r;
	memcpy(&s, raw + (size_t)names_index * sizeof(s), sizeof(s));
	if (s.sh_type == SHT_NOBITS)
		return -ENODATA;
	r = elf_file_read(f, s.sh_offset, s.sh_size, SECTION_NAMES_MAX, &names);
	if (r < 0)
		return r;
	sections = calloc(n, sizeof(*sections));
	if (!sections)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		Elf64_Shdr one;

		memcpy(&one, raw + i * sizeof(one), sizeof(one));
		sections[i] = section_from(f, &one, (const char *)names, s.sh_size);
	}
	f->sections = TAKE_PTR(sections);
	f->section_names = (char *)TAKE_PTR(names);
	f->n_sections = n;
	return 0;
}

int elf_file_open(int fd, struct elf_file **ret)
{
	_cleanup_(elf_file_freep) struct elf_file *f = NULL;
	Elf64_Ehdr h;
	struct stat st;
	int r;

	assert(ret);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < 0)
		return -EBADMSG;
	r = read_header(fd, (uint64_t)st.st_size, &h);
	if (r < 0)
		return r;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	*f = (struct elf_file){
		.fd = fd,
		.machine = h.e_machine,
		.type = h.e_type,
		.size = (uint64_t)st.st_size,
		.entry = h.e_entry,
	};
	r = read_segments(f, &h);
	if (r < 0)
		return r;
	r = read_sections(f, &h);
	if (r == -ENOMEM)
		return r;
	*ret = TAKE_PTR(f);
	return 0;
}

const struct elf_section *elf_file_section(const struct elf_file *f, const char *name)
{
	for (uint32_t i = 0; i < f->n_sections; i++)
		if (f->sections[i].size > 0 && strcmp(f->sections[i].name, name) == 0)
			return &f->sections[i];
	return NULL;
}

int elf_file_offset_of(const struct elf_file *f, uint64_t vaddr, uint64_t *ret_offset, uint64_t *ret_room)
{
	for (uint32_t i = 0; i < f->n_segments; i++) {
		const struct elf_segment *s = &f->segments[i];

		if (s->type != PT_LOAD || vaddr < s->vaddr || vaddr - s->vaddr >= s->filesz)
			continue;
		*ret_offset = s->offset + (vaddr - s->vaddr);
		if (ret_room)
			*ret_room = s->filesz - (vaddr - s->vaddr);
		return 0;
	}
	return -ENOENT;
}

int elf_file_vaddr_of(const struct elf_file *f, uint64_t offset, uint64_t *ret_vaddr)
{
	const struct elf_segment *found = NULL;

	/* Where two segments hold the same bytes of the file, code is meant. */
	for (uint32_t i = 0; i < f->n_segments; i++) {
		const struct elf_segment *s = &f->segments[i];

		if (s->type != PT_LOAD || offset < s->offset || offset - s->offset >= s->filesz)
			continue;
		if (!found || (!(found->flags & PF_X) && (s->flags & PF_X)))
			found = s;
	}
	if (!found)
		return -ENOENT;
	*ret_vaddr = found->vaddr + (offset - found->offset);
	return 0;
}
