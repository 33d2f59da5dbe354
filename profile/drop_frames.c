#include "profile/drop_frames.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"

#define NAMES_MAX 1024
#define NAMES_BYTES_MAX ((size_t)64 << 10)

/* 1 where *ret has a name, which goes to the next '|' or the end; 0 for an empty one; -EINVAL: more than a plain name.
 */
static int take_name(const char **at, const char *end, char *ret, size_t *ret_size)
{
	size_t n = 0;

	while (*at < end && **at != '|') {
		char c = *(*at)++;

		if (c == '\\') {
			if (*at == end || !strchr(".+*?()|[]{}^$\\ ~", **at))
				return -EINVAL;
			c = *(*at)++;
		} else if (strchr(".+*?()[]{}^$", c)) {
			return -EINVAL;
		}
		ret[n++] = c;
	}
	*at += *at < end;
	*ret_size = n;
	return n > 0;
}

static int take_names(const char *text, size_t size, struct intern *names)
{
	_cleanup_free_ char *name = malloc(size + 1);
	const char *at = text, *end = text + size;
	int r = 0;

	if (!name)
		return -ENOMEM;
	while (at < end && r >= 0) {
		uint32_t id;
		size_t n;

		r = take_name(&at, end, name, &n);
		if (r > 0)
			r = intern_put(names, name, n, &id);
	}
	return r;
}

/* Without arguments: "operator new(unsigned long)" is "operator new". */
static size_t name_size_of(const char *name, size_t size)
{
	const char *arguments = memchr(name, '(', size);

	return arguments && arguments > name ? (size_t)(arguments - name) : size;
}

/* By the function that was called there, the outermost of those inlined into it. */
static bool is_dropped(const struct profile *p, uint32_t location, const struct intern *names)
{
	struct profile_location l = profile_location(p, location);
	const char *name;
	uint32_t id;
	size_t n;

	if (l.n_lines == 0 || l.lines[l.n_lines - 1].function == PROFILE_NONE)
		return false;
	name = profile_string(p, profile_function(p, l.lines[l.n_lines - 1].function)->name, &n);
	return intern_find(names, name, name_size_of(name, n), &id) >= 0;
}

int drop_frames_find(const struct profile *p, struct drop_frames *ret)
{
	_cleanup_(intern_freep) struct intern *names = NULL;
	const struct profile_header *h = profile_header_const(p);
	size_t n_drop, n_keep;
	const char *drop = profile_string(p, h->drop_frames, &n_drop);
	bool *found;
	int r;

	assert(ret);

	(void)profile_string(p, h->keep_frames, &n_keep);
	if (n_drop == 0 || n_keep > 0 || n_drop > NAMES_BYTES_MAX) {
		ret->is_dropped = NULL;
		return 0;
	}
	r = intern_new(NAMES_MAX, NAMES_BYTES_MAX, &names);
	if (r >= 0)
		r = take_names(drop, n_drop, names);
	if (r == -EINVAL || r == -ENOSPC) {
		ret->is_dropped = NULL;
		return 0;
	}
	if (r < 0)
		return r;
	found = calloc((size_t)profile_n_locations(p) + 1, sizeof(*found));
	if (!found)
		return -ENOMEM;
	for (uint32_t i = 0; i < profile_n_locations(p); i++)
		found[i] = is_dropped(p, i, names);
	ret->is_dropped = found;
	return 0;
}

void drop_frames_done(struct drop_frames *d)
{
	free(d->is_dropped);
}

size_t drop_frames_of_stack(const struct drop_frames *d, const uint32_t *locations, size_t n)
{
	bool has_other = false;

	if (!d->is_dropped)
		return 0;
	while (n-- > 0) {
		if (!d->is_dropped[locations[n]])
			has_other = true;
		else if (has_other)
			return n + 1;
	}
	return 0;
}
