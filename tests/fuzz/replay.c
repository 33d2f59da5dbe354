/* Runs a fuzzer over files and directories of inputs: its corpus as an ordinary test. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include <fcntl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path, size_t *count)
{
	_cleanup_free_ char *data = NULL, *exact = NULL;
	size_t n;
	int r = file_read_all(AT_FDCWD, path, 64u << 20, &data, &n);

	if (r < 0)
		return r;
	exact = malloc(n ? n : 1); /* without a byte behind it, so that a sanitizer sees the end */
	if (!exact)
		return -ENOMEM;
	memcpy(exact, data, n);
	(void)LLVMFuzzerTestOneInput((const uint8_t *)exact, n);
	++*count;
	return 0;
}

static int replay(const char *path, size_t *count)
{
	_cleanup_closedir_ DIR *directory = opendir(path);
	int r = 0;

	if (!directory)
		return replay_file(path, count);
	for (struct dirent *e; r >= 0 && (e = readdir(directory));) {
		_cleanup_free_ char *child = NULL;

		if (e->d_name[0] == '.')
			continue;
		if (asprintf(&child, "%s/%s", path, e->d_name) < 0) {
			child = NULL;
			return -ENOMEM;
		}
		r = replay_file(child, count);
	}
	return r;
}

int main(int argc, char **argv)
{
	size_t count = 0;

	for (int i = 1; i < argc; i++) {
		int r = replay(argv[i], &count);

		if (r < 0) {
			(void)fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
			return 1;
		}
	}
	(void)printf("%zu inputs\n", count);
	return count ? 0 : 1; /* an empty corpus is a mistake */
}
