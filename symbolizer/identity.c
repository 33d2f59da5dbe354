#include "symbolizer/identity.h"

#include <assert.h>
#include <string.h>
#include "base/fd.h"
#include "symbolizer/build_id.h"
#include "symbolizer/debug_link.h"
#include "symbolizer/dispatch.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/sha256.h"

#define DYNSTR_BYTES_MAX (8u << 20)
#define COMMENT_BYTES_MAX (64u << 10)
#define HASHED_BYTES 4096

/* ---- htlhash ---------------------------------------------------------------------------------------------------- */

/* SHA-256 over the first 4096 bytes, the last 4096 bytes (the two may overlap) and the length as 64 bits, big-endian;
 * of that the first 16 bytes. */
static int hash_contents(const struct elf_file *f, uint8_t ret[16])
{
	uint8_t data[HASHED_BYTES], length[8], sum[SHA256_BYTES];
	uint64_t n = MIN(f->size, (uint64_t)sizeof(data));
	struct sha256 h;
	int r;

	sha256_start(&h);
	r = fd_pread_full(f->fd, data, n, 0);
	if (r < 0)
		return r;
	sha256_add(&h, data, n);
	r = fd_pread_full(f->fd, data, n, f->size - n);
	if (r < 0)
		return r;
	sha256_add(&h, data, n);
	for (unsigned i = 0; i < 8; i++)
		length[i] = (uint8_t)(f->size >> (56 - 8 * i));
	sha256_add(&h, length, sizeof(length));
	sha256_end(&h, sum);
	memcpy(ret, sum, 16);
	return 0;
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

static void take_segments(const struct elf_file *f, struct symbolizer_identity *id)
{
	for (uint32_t i = 0; i < f->n_segments; i++) {
		const struct elf_segment *s = &f->segments[i];

		if (s->type != PT_LOAD || !(s->flags & PF_X) || s->filesz == 0)
			continue;
		if (id->n_segments == SYMBOLIZER_SEGMENTS_MAX)
			return;
		id->segments[id->n_segments++] = (struct symbolizer_segment){
			.offset = s->offset,
			.vaddr = s->vaddr,
			.filesz = s->filesz,
		};
	}
}

static void take_debug_link(const struct elf_file *f, struct symbolizer_identity *id)
{
	struct debug_link link;

	if (debug_link_read(f, &link) < 0)
		return;
	memcpy(id->debug_link, link.name, sizeof(id->debug_link));
	id->debug_link_crc = link.crc;
}

static bool section_contains(const struct elf_file *f, const char *name, uint32_t max, const char *text)
{
	const struct elf_section *s = elf_file_section(f, name);
	_cleanup_free_ uint8_t *data = NULL;

	if (!s || elf_file_read(f, s->offset, s->size, max, &data) < 0)
		return false;
	return memmem(data, s->size, text, strlen(text)) != NULL;
}

static bool has_eh_frame(const struct elf_file *f)
{
	if (elf_file_section(f, ".eh_frame"))
		return true;
	for (uint32_t i = 0; i < f->n_segments; i++)
		if (f->segments[i].type == PT_GNU_EH_FRAME && f->segments[i].filesz)
			return true;
	return false;
}

static uint32_t find_flags(const struct elf_file *f)
{
	uint32_t flags = 0;

	if (has_eh_frame(f))
		flags |= IDENTITY_HAS_EH_FRAME;
	if (elf_file_section(f, ".debug_info") || elf_file_section(f, ".zdebug_info"))
		flags |= IDENTITY_HAS_DEBUG_INFO;
	if (elf_file_section(f, ".symtab"))
		flags |= IDENTITY_HAS_SYMTAB;
	if (elf_file_section(f, ".gopclntab") || elf_file_section(f, ".go.buildinfo") ||
	        elf_file_section(f, ".note.go.buildid"))
		flags |= IDENTITY_IS_GO;
	if (section_contains(f, ".comment", COMMENT_BYTES_MAX, "rustc version"))
		flags |= IDENTITY_IS_RUST;
	if (section_contains(f, ".dynstr", DYNSTR_BYTES_MAX, "libstdc++.so") ||
	        section_contains(f, ".dynstr", DYNSTR_BYTES_MAX, "libc++.so"))
		flags |= IDENTITY_IS_CXX;
	if (f->type == ET_DYN)
		flags |= IDENTITY_IS_PIE_OR_SO;
	return flags;
}

int identity_read(int elf_fd, struct symbolizer_identity *ret)
{
	_cleanup_(elf_file_freep) struct elf_file *f = NULL;
	struct symbolizer_identity id = { 0 };
	int r;

	assert(ret);
	r = elf_file_open(elf_fd, &f);
	if (r < 0)
		return r;
	r = hash_contents(f, id.htlhash);
	if (r < 0)
		return r == -EIO ? -EBADMSG : r;
	r = build_id_read(f, id.build_id);
	if (r < 0)
		return r;
	id.build_id_size = (uint32_t)r;
	take_segments(f, &id);
	take_debug_link(f, &id);
	id.flags = find_flags(f);
	*ret = id;
	return 0;
}

int identity_answer(const struct dispatch_input *in, int answer_fd, uint64_t *ret_bytes)
{
	struct symbolizer_identity id;
	int r = identity_read(in->fd, &id);

	if (r < 0)
		return r;
	r = fd_pwrite_full(answer_fd, &id, sizeof(id), 0);
	if (r < 0)
		return r;
	*ret_bytes = sizeof(id);
	return 0;
}
