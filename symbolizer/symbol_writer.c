#include "symbolizer/symbol_writer.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>
#include "base/buffer.h"
#include "base/fd.h"
#include "symbolizer/demangle.h"

struct slot { /* of a table of texts, open addressing; offset 0: free */
	uint32_t hash, offset;
	uint32_t demangled; /* 0: not asked for yet */
};

struct symbol_writer {
	struct buffer text, frames;
	uint32_t *first_frame; /* n_queries + 1 */
	uint32_t n_queries, next, n_frames;
	struct slot *slots;
	uint32_t n_slots, n_texts;
	int error;
};

int symbol_writer_new(uint32_t n_queries, struct symbol_writer **ret)
{
	_cleanup_(symbol_writer_freep) struct symbol_writer *w = NULL;

	assert(n_queries <= SYMBOLIZER_QUERIES_MAX);
	assert(ret);

	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->text = BUFFER(SYMBOL_TEXT_BYTES_MAX);
	w->frames = BUFFER((size_t)SYMBOL_FRAMES_MAX * sizeof(struct symbols_frame));
	w->n_queries = n_queries;
	w->n_slots = 1024;
	w->slots = calloc(w->n_slots, sizeof(*w->slots));
	w->first_frame = calloc((size_t)n_queries + 1, sizeof(*w->first_frame));
	if (!w->slots || !w->first_frame || buffer_append(&w->text, "", 1) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(w);
	return 0;
}

struct symbol_writer *symbol_writer_free(struct symbol_writer *w)
{
	if (!w)
		return NULL;
	buffer_done(&w->text);
	buffer_done(&w->frames);
	free(w->slots);
	free(w->first_frame);
	free(w);
	return NULL;
}

static void fail(struct symbol_writer *w, int r)
{
	if (w->error == 0)
		w->error = r;
}

/* Bytes of the UTF-8 character at s, 0 where there is none that is well-formed and printable. */
static size_t utf8_length(const uint8_t *s, size_t left)
{
	size_t n;
	uint32_t c;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || n > left)
		return 0;
	c = s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < 0xa0 || (n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) ||
	        (c >= 0xd800 && c < 0xe000))
		return 0;
	return n;
}

static size_t clean(const char *from, size_t size, char to[SYMBOL_TEXT_MAX])
{
	size_t n = 0, step;

	for (size_t i = 0; i < size; i += MAX(step, (size_t)1)) {
		const uint8_t *s = (const uint8_t *)from + i;

		step = utf8_length(s, size - i);
		if (n + MAX(step, (size_t)1) > SYMBOL_TEXT_MAX - 4) {
			memcpy(to + n, "...", 3); /* NOLINT(bugprone-not-null-terminated-result) */
			return n + 3;
		}
		memcpy(to + n, step ? (const char *)s : "?", MAX(step, (size_t)1));
		n += MAX(step, (size_t)1);
	}
	return n;
}

static bool slots_grow(struct symbol_writer *w)
{
	uint32_t n = w->n_slots * 2;
	struct slot *bigger = calloc(n, sizeof(*bigger));

	if (!bigger)
		return false;
	for (uint32_t i = 0; i < w->n_slots; i++) {
		uint32_t k = w->slots[i].hash & (n - 1);

		if (w->slots[i].offset == 0)
			continue;
		while (bigger[k].offset != 0)
			k = (k + 1) & (n - 1);
		bigger[k] = w->slots[i];
	}
	free(w->slots);
	w->slots = bigger;
	w->n_slots = n;
	return true;
}

/* The slot that holds the text, or the free one where it belongs. */
static struct slot *slot_find(const struct symbol_writer *w, const char *text, size_t size, uint32_t hash)
{
	uint32_t k = hash & (w->n_slots - 1);

	for (; w->slots[k].offset != 0; k = (k + 1) & (w->n_slots - 1)) {
		const char *known = w->text.data + w->slots[k].offset;

		if (w->slots[k].hash == hash && !strncmp(known, text, size) && known[size] == '\0')
			break;
	}
	return &w->slots[k];
}

uint32_t symbol_writer_text(struct symbol_writer *w, const char *text, size_t size)
{
	char cleaned[SYMBOL_TEXT_MAX];
	struct slot *slot;
	uint32_t hash;

	assert(w);

	if (!text || size == 0 || w->error)
		return 0;
	size = clean(text, size, cleaned);
	hash = (uint32_t)XXH3_64bits(cleaned, size);
	slot = slot_find(w, cleaned, size, hash);
	if (slot->offset != 0)
		return slot->offset;
	if (w->n_texts * 4 >= w->n_slots * 3) {
		if (!slots_grow(w)) {
			fail(w, -ENOMEM);
			return 0;
		}
		slot = slot_find(w, cleaned, size, hash);
	}
	*slot = (struct slot){ .hash = hash, .offset = (uint32_t)w->text.size };
	cleaned[size] = '\0';
	if (buffer_append(&w->text, cleaned, size + 1) < 0) {
		slot->offset = 0;
		fail(w, w->text.error);
		return 0;
	}
	w->n_texts++;
	return slot->offset;
}

uint32_t symbol_writer_demangled(struct symbol_writer *w, uint32_t system_name)
{
	char demangled[SYMBOL_TEXT_MAX], mangled[SYMBOL_TEXT_MAX];
	uint32_t hash, offset = system_name;
	struct slot *slot;
	size_t size;

	assert(w);

	if (system_name == 0 || w->error)
		return system_name;
	size = strlen(w->text.data + system_name);
	assert(size < sizeof(mangled));
	memcpy(mangled, w->text.data + system_name, size + 1);
	hash = (uint32_t)XXH3_64bits(mangled, size);
	slot = slot_find(w, mangled, size, hash);
	if (slot->offset != 0 && slot->demangled != 0)
		return slot->demangled;
	size = demangle(mangled, demangled, sizeof(demangled));
	if (size > 0)
		offset = symbol_writer_text(w, demangled, size);
	if (w->error)
		return system_name;
	slot = slot_find(w, mangled, strlen(mangled), hash); /* the table may have grown */
	slot->demangled = offset;
	return offset;
}

void symbol_writer_frame(struct symbol_writer *w, const struct symbols_frame *frame)
{
	assert(w);

	if (w->error)
		return;
	if (buffer_append(&w->frames, frame, sizeof(*frame)) < 0)
		fail(w, w->frames.error);
	else
		w->n_frames++;
}

void symbol_writer_next(struct symbol_writer *w)
{
	assert(w);
	assert(w->next < w->n_queries);

	w->first_frame[++w->next] = w->n_frames;
}

int symbol_writer_error(const struct symbol_writer *w)
{
	assert(w);

	return w->error;
}

int symbol_writer_finish(struct symbol_writer *w, int answer_fd, uint64_t *ret_bytes)
{
	struct symbols_header header = { .magic = SYMBOLS_MAGIC,
		.n_queries = w->n_queries,
		.n_frames = w->n_frames,
		.string_bytes = (uint32_t)w->text.size };
	size_t offsets_size = ((size_t)w->n_queries + 1) * sizeof(*w->first_frame);
	int r;

	if (w->error)
		return w->error;
	if (w->n_frames == 0)
		return -ENODATA;
	while (w->next < w->n_queries)
		symbol_writer_next(w);
	if (sizeof(header) + offsets_size + w->frames.size + w->text.size > SYMBOLIZER_ANSWER_BYTES_MAX)
		return -E2BIG;
	r = fd_write_full(answer_fd, &header, sizeof(header));
	if (r >= 0)
		r = fd_write_full(answer_fd, w->first_frame, offsets_size);
	if (r >= 0)
		r = fd_write_full(answer_fd, w->frames.data, w->frames.size);
	if (r >= 0)
		r = fd_write_full(answer_fd, w->text.data, w->text.size);
	if (r < 0)
		return r;
	*ret_bytes = sizeof(header) + offsets_size + w->frames.size + w->text.size;
	return 0;
}
