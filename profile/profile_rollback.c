#include "profile/profile_data.h"

struct profile_mark profile_mark(const struct profile *p)
{
	return (struct profile_mark){
		.strings = profile_n_strings(p),
		.mappings = profile_n_mappings(p),
		.functions = profile_n_functions(p),
		.locations = profile_n_locations(p),
		.stacks = profile_n_stacks(p),
		.label_sets = profile_n_label_sets(p),
		.samples = profile_n_samples(p),
	};
}

void profile_rollback(struct profile *p, const struct profile_mark *mark)
{
	const uint32_t n_strings = mark->strings, n_stacks = mark->stacks, n_sets = mark->label_sets;

	table_forget(&p->string_table, n_strings);
	table_forget(&p->mapping_table, mark->mappings);
	table_forget(&p->function_table, mark->functions);
	table_forget(&p->location_table, mark->locations);
	table_forget(&p->stack_table, n_stacks);
	table_forget(&p->label_table, n_sets);
	table_forget(&p->sample_table, mark->samples);

	if (n_strings < profile_n_strings(p))
		p->string_bytes.size = POOL_AT(p->strings, struct span)[n_strings].first;
	p->strings.size = n_strings * sizeof(struct span);
	p->mappings.size = mark->mappings * sizeof(struct profile_mapping);
	p->functions.size = mark->functions * sizeof(struct profile_function);
	if (mark->locations < profile_n_locations(p))
		p->lines.size = POOL_AT(p->locations, struct location)[mark->locations].first_line *
		                sizeof(struct profile_line);
	p->locations.size = mark->locations * sizeof(struct location);
	if (n_stacks < profile_n_stacks(p))
		p->stack_locations.size = POOL_AT(p->stacks, struct span)[n_stacks].first * sizeof(uint32_t);
	p->stacks.size = n_stacks * sizeof(struct span);
	if (n_sets < profile_n_label_sets(p))
		p->labels.size = POOL_AT(p->label_sets, struct span)[n_sets].first * sizeof(struct profile_label);
	p->label_sets.size = n_sets * sizeof(struct span);
	p->samples.size = mark->samples * sizeof(struct profile_sample);
	p->values.size = (size_t)mark->samples * p->stride * sizeof(int64_t);
	if (!mark->samples)
		p->stride = 0;
}
