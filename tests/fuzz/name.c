/* Any text as a path of a store: refused, or a name that says the same when it is written and read again; and any text
 * as a host becomes a name that can be read. */
#include <stdlib.h>
#include <string.h>

#include "store/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void round_trip(const struct store_name *n)
{
	struct store_name again;
	char path[STORE_PATH_MAX];

	store_name_format(n, "cpu", path);
	must(store_name_path_is_valid(path));
	must(store_name_parse(strrchr(path, '/') + 1, &again) == 0);
	must(again.start_s == n->start_s && again.level == n->level && again.serial == n->serial);
	must(strcmp(again.host, n->host) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);
	struct store_name n = { .start_s = 1780272000, .serial = 1 };

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = 0;
	if (store_name_path_is_valid(text)) {
		const char *slash = strchr(text, '/');

		must(slash && strchr(slash + 1, '/') == strrchr(text, '/') && !strstr(text, "/."));
		must(strlen(text) < STORE_PATH_MAX && text[0] != '.' && text[0] != '/');
	}
	if (store_name_parse(text, &n) == 0)
		round_trip(&n);
	store_name_set_host(&n, text);
	n.level = size % STORE_LEVELS;
	n.serial = 1 + (uint32_t)(size % 3);
	round_trip(&n);
	return 0;
}
