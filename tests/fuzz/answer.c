/* Any bytes as what a child answered: the readers stay inside, and so does whoever follows what they hand out. */
#include <string.h>
#include "symbolizer/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void follow_rows(const struct answer_rows *v)
{
	for (uint32_t i = 0; i < v->n_pages; i++)
		for (uint32_t k = 0; k < v->pages[i].n_rows; k++)
			(void)answer_rows_rule(v, (uint64_t)v->pages[i].page << UNWIND_PAGE_SHIFT |
			                                  v->rows[v->pages[i].first_row + k].offset_low);
}

static void follow_symbols(const struct answer_symbols *v)
{
	size_t total = 0;

	for (uint32_t i = 0; i < v->n_queries; i++)
		for (uint32_t k = v->first_frame[i]; k < v->first_frame[i + 1]; k++)
			total += strlen(v->strings + v->frames[k].name) + strlen(v->strings + v->frames[k].filename) +
			         strlen(v->strings + v->frames[k].system_name) +
			         strlen(v->strings + v->frames[k].module);
	if (total == SIZE_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct symbolizer_identity id;
	struct answer_symbols symbols;
	struct answer_rows rows;
	uint32_t n_queries = 0;

	(void)answer_identity(data, size, &id);
	if (answer_rows(data, size, &rows) == 0)
		follow_rows(&rows);
	if (size >= sizeof(struct symbols_header))
		memcpy(&n_queries, data + offsetof(struct symbols_header, n_queries), sizeof(n_queries));
	if (answer_symbols(data, size, n_queries, &symbols) == 0)
		follow_symbols(&symbols);
	return 0;
}
