#include "store/trailer.h"

#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/fd.h"

/* Frame: magic, size of what follows, text, size of the text, closing word. */
#define SKIPPABLE_MAGIC 0x184D2A5Eu
#define CLOSING "EMBERtrl"
#define HEAD_BYTES 8
#define TAIL_BYTES 12

void trailer_done(struct trailer *t)
{
	free(t->covered);
	*t = TRAILER_INIT;
}

uint64_t trailer_hash(const void *data, size_t n)
{
	return XXH3_64bits(data, n);
}

int trailer_add_covered(struct trailer *t, const char *path, uint64_t size, uint64_t hash)
{
	struct trailer_covered *c;

	if (t->n_covered >= TRAILER_COVERED_MAX)
		return -E2BIG;
	if ((t->n_covered & (t->n_covered - 1)) == 0) {
		c = realloc(t->covered, MAX(t->n_covered * 2, (size_t)1) * sizeof(*c));
		if (!c)
			return -ENOMEM;
		t->covered = c;
	}
	c = &t->covered[t->n_covered++];
	*c = (struct trailer_covered){ .size = size, .hash = hash };
	(void)snprintf(c->path, sizeof(c->path), "%s", path);
	return 0;
}

int trailer_write(const struct trailer *t, struct buffer *out)
{
	_cleanup_buffer_ struct buffer text = BUFFER(TRAILER_BYTES_MAX);
	uint64_t nonce;
	uint32_t word;
	int r;

	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		return -errno;
	(void)buffer_printf(&text, "emberd 1\nid %016" PRIx64 "\n", nonce);
	if (t->host[0])
		(void)buffer_printf(&text, "host %s\n", t->host);
	(void)buffer_printf(&text, "samples %" PRIu64 "\nraw %" PRIu64 "\n", t->n_samples, t->raw_bytes);
	if (t->n_parts > 1)
		(void)buffer_printf(&text, "part %u %u\n", t->part, t->n_parts);
	for (size_t i = 0; i < t->n_covered; i++)
		(void)buffer_printf(&text, "covers %s %" PRIu64 " %016" PRIx64 "\n", t->covered[i].path,
		        t->covered[i].size, t->covered[i].hash);
	if (text.error)
		return text.error;
	word = htole32(SKIPPABLE_MAGIC);
	(void)buffer_append(out, &word, sizeof(word));
	word = htole32((uint32_t)text.size + TAIL_BYTES);
	(void)buffer_append(out, &word, sizeof(word));
	(void)buffer_append(out, text.data, text.size);
	word = htole32((uint32_t)text.size);
	(void)buffer_append(out, &word, sizeof(word));
	r = buffer_append(out, CLOSING, TAIL_BYTES - sizeof(word));
	return r;
}

static int parse_line(char *line, struct trailer *t)
{
	char path[STORE_PATH_MAX];
	uint32_t part, n_parts;
	uint64_t size, hash;
	int end = 0;

	if (strncmp(line, "host ", 5) == 0) {
		(void)snprintf(t->host, sizeof(t->host), "%s", line + 5);
		return 0;
	}
	if (sscanf(line, "samples %" SCNu64, &t->n_samples) == 1 || sscanf(line, "raw %" SCNu64, &t->raw_bytes) == 1)
		return 0;
	if (sscanf(line, "part %" SCNu32 " %" SCNu32, &part, &n_parts) == 2) {
		if (part < 1 || part > n_parts)
			return -EBADMSG;
		t->part = part;
		t->n_parts = n_parts;
		return 0;
	}
	_Static_assert(STORE_PATH_MAX == 336, "width below");
	if (sscanf(line, "covers %335s %" SCNu64 " %" SCNx64 "%n", path, &size, &hash, &end) == 3 && !line[end]) {
		if (!store_name_path_is_valid(path))
			return -EBADMSG;
		return trailer_add_covered(t, path, size, hash);
	}
	return strncmp(line, "covers", 6) == 0 ? -EBADMSG : 0; /* a later version may say more */
}

static int parse_text(char *text, struct trailer *t)
{
	char *line, *rest = text;
	int r;

	if (strncmp(text, "emberd ", 7) != 0)
		return -EBADMSG;
	(void)strsep(&rest, "\n");
	while ((line = strsep(&rest, "\n"))) {
		r = parse_line(line, t);
		if (r < 0)
			return r;
	}
	return 0;
}

int trailer_read(int fd, struct trailer *ret)
{
	_cleanup_trailer_ struct trailer t = TRAILER_INIT;
	_cleanup_free_ char *text = NULL;
	unsigned char tail[TAIL_BYTES], head[HEAD_BYTES];
	uint64_t start;
	uint32_t size, word;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < HEAD_BYTES + TAIL_BYTES)
		return -ENODATA;
	r = fd_pread_full(fd, tail, sizeof(tail), (uint64_t)st.st_size - TAIL_BYTES);
	if (r < 0)
		return r;
	if (memcmp(tail + 4, CLOSING, TAIL_BYTES - 4) != 0)
		return -ENODATA;
	memcpy(&size, tail, sizeof(size));
	size = le32toh(size);
	if (size > TRAILER_BYTES_MAX || size + HEAD_BYTES + TAIL_BYTES > (uint64_t)st.st_size)
		return -EBADMSG;
	start = (uint64_t)st.st_size - TAIL_BYTES - size;
	r = fd_pread_full(fd, head, sizeof(head), start - HEAD_BYTES);
	if (r < 0)
		return r;
	memcpy(&word, head, sizeof(word));
	if (le32toh(word) != SKIPPABLE_MAGIC)
		return -EBADMSG;
	text = malloc(size + 1);
	if (!text)
		return -ENOMEM;
	r = fd_pread_full(fd, text, size, start);
	if (r < 0)
		return r;
	text[size] = 0;
	r = parse_text(text, &t);
	if (r < 0)
		return r;
	*ret = t;
	t = TRAILER_INIT;
	return 0;
}
