#include "profile/snapshot.h"

#include <string.h>

#include "profile/ledger.h"

bool snapshot_is(const char *sample_type)
{
	return strncmp(sample_type, "inuse_", 6) == 0 || strncmp(sample_type, "resident", 8) == 0;
}

static int64_t divide(int64_t value, int64_t n)
{
	return value / n + (value % n >= n - n / 2) - (-(value % n) >= n - n / 2);
}

void snapshot_average(struct profile *p)
{
	const struct profile_header *h = profile_header_const(p);
	int64_t windows;

	if (ledger_get(p, LEDGER_WINDOWS, &windows) < 0 || windows <= 1)
		return;
	for (uint32_t t = 0; t < h->n_sample_types; t++) {
		if (!snapshot_is(profile_string(p, h->sample_types[t].type, NULL)))
			continue;
		for (uint32_t i = 0; i < profile_n_samples(p); i++)
			profile_values(p, i)[t] = divide(profile_values(p, i)[t], windows);
	}
	(void)ledger_set(p, LEDGER_WINDOWS, 1); /* so it is not done twice */
}
