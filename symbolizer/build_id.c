#include "symbolizer/build_id.h"

#include <assert.h>
#include "symbolizer/cursor.h"

#define NOTES_BYTES_MAX (64u << 10)

static int notes_find(const struct elf_file *f, uint64_t offset, uint64_t size, uint8_t ret[BUILD_ID_BYTES_MAX])
{
	_cleanup_free_ uint8_t *notes = NULL;
	struct cursor c;
	int r;

	if (size < 12)
		return 0;
	r = elf_file_read(f, offset, size, NOTES_BYTES_MAX, &notes);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	c = CURSOR(notes, size);
	while (cursor_room(&c) >= 12) {
		uint32_t name_size = cursor_u32(&c), value_size = cursor_u32(&c), type = cursor_u32(&c);
		const uint8_t *name = cursor_bytes(&c, ((uint64_t)name_size + 3) & ~3ull);
		const uint8_t *value = cursor_bytes(&c, value_size);

		if (!name || !value)
			break;
		cursor_skip(&c, (4 - value_size % 4) % 4);
		if (type != NT_GNU_BUILD_ID || name_size != 4 || memcmp(name, "GNU", 4) != 0)
			continue;
		if (value_size == 0 || value_size > BUILD_ID_BYTES_MAX)
			continue;
		memcpy(ret, value, value_size);
		return (int)value_size;
	}
	return 0;
}

int build_id_read(const struct elf_file *f, uint8_t ret[BUILD_ID_BYTES_MAX])
{
	int r = 0;

	assert(f);
	assert(ret);

	for (uint32_t i = 0; i < f->n_segments && r == 0; i++)
		if (f->segments[i].type == PT_NOTE)
			r = notes_find(f, f->segments[i].offset, f->segments[i].filesz, ret);
	for (uint32_t i = 0; i < f->n_sections && r == 0; i++)
		if (f->sections[i].type == SHT_NOTE)
			r = notes_find(f, f->sections[i].offset, f->sections[i].size, ret);
	return r;
}
