#include <string.h>

#include "daemon/symbol_table.h"

static void read_all(const struct symbol_table *t, const uint64_t *queries, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct symbols_frame *f;

		for (int k = symbol_table_find(t, queries[i], &f); k > 0; k--)
			if (strlen(symbol_table_string(t, f[k - 1].name)) +
			                strlen(symbol_table_string(t, f[k - 1].filename)) >
			        1u << 30)
				abort();
	}
}

/* An answer of a symbolizer that lies: refused, or a table that is safe to read and to merge. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t queries[] = { 1, 2, 3, 5, 8, 13, 21, 34 };
	_cleanup_(symbol_table_freep) struct symbol_table *t = NULL, *both = NULL;
	uint32_t n = size > 0 ? data[0] % (uint32_t)(ARRAY_SIZE(queries) + 1) : 0;

	if (size == 0 || symbol_table_from_answer(queries, n, data + 1, size - 1, &t) < 0)
		return 0;
	read_all(t, queries, n);
	if (symbol_table_merge(t, t, &both) == 0)
		read_all(both, queries, n);
	return 0;
}
