#include "symbolizer/debug_link.h"

#include <assert.h>
#include <string.h>
#include <zlib.h>
#include "base/fd.h"
#include "symbolizer/build_id.h"
#include "symbolizer/cursor.h"

#define CRC_CHUNK 65536u
#define CRC_BYTES_MAX (2ull << 30)

int debug_link_read(const struct elf_file *f, struct debug_link *ret)
{
	const struct elf_section *s = elf_file_section(f, ".gnu_debuglink");
	_cleanup_free_ uint8_t *data = NULL;
	struct debug_link link = { 0 };
	struct cursor c;
	const char *name;
	size_t n;

	assert(ret);
	if (!s)
		return -ENODATA;
	if (elf_file_read(f, s->offset, s->size, sizeof(link.name) + 8, &data) < 0)
		return -EBADMSG;
	c = CURSOR(data, s->size);
	name = cursor_string(&c);
	if (!name || !*name || strchr(name, '/') || name[0] == '.')
		return -EBADMSG;
	n = strlen(name);
	if (n >= sizeof(link.name))
		return -EBADMSG;
	(void)cursor_bytes(&c, (4 - (size_t)(c.p - data) % 4) % 4);
	link.crc = cursor_u32(&c);
	if (c.failed)
		return -EBADMSG;
	memcpy(link.name, name, n + 1);
	*ret = link;
	return 0;
}

static bool crc_is(const struct elf_file *f, uint32_t wanted)
{
	_cleanup_free_ uint8_t *chunk = malloc(CRC_CHUNK);
	uLong crc = crc32(0, NULL, 0);

	if (!chunk || f->size > CRC_BYTES_MAX)
		return false;
	for (uint64_t at = 0; at < f->size;) {
		size_t n = MIN(f->size - at, (uint64_t)CRC_CHUNK);

		if (fd_pread_full(f->fd, chunk, n, at) < 0)
			return false;
		crc = crc32(crc, chunk, (uInt)n);
		at += n;
	}
	return crc == wanted;
}

bool debug_link_leads_to(const struct elf_file *whole, const struct elf_file *file)
{
	uint8_t ours[BUILD_ID_BYTES_MAX], its[BUILD_ID_BYTES_MAX];
	int n = build_id_read(whole, ours), m = build_id_read(file, its);
	struct debug_link link;

	if (n > 0 && m > 0)
		return n == m && memcmp(ours, its, (size_t)n) == 0;
	return debug_link_read(whole, &link) == 0 && crc_is(file, link.crc);
}
