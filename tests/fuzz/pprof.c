/* Any bytes as a profile: raw, under gzip or zstd, pprof or text. What is read must survive writing and reading again.
 */
#include <assert.h>
#include <string.h>

#include "profile/file.h"
#include "profile/merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool no_number_labels(void *userdata, const struct profile *p, const struct profile_label *labels, size_t n)
{
	(void)userdata;
	(void)p;
	for (size_t i = 0; i < n; i++)
		if (labels[i].unit != PROFILE_NONE)
			return false;
	return true;
}

static void read_apart(const uint8_t *data, size_t size, const struct pprof_read_options *options)
{
	const struct profile_limits limits = { .bytes_max = 16 << 20 };
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct profile_error error;

	assert(profile_new(&limits, &p) >= 0);
	if (file_read_bytes(p, options, data, size, &error) < 0)
		assert(memchr(error.text, 0, sizeof(error.text)));
	assert(profile_bytes(p) <= limits.bytes_max);
}

static void write_and_read_back(const struct profile *p)
{
	_cleanup_(profile_freep) struct profile *back = NULL, *merged = NULL;
	_cleanup_buffer_ struct buffer b = BUFFER(64 << 20);
	struct profile_error error;
	const uint32_t n = profile_header_const(p)->n_sample_types;

	if (pprof_write(p, &b) < 0)
		return;
	assert(pprof_read(NULL, b.data, b.size, &back, &error) >= 0);
	assert(profile_n_samples(back) <= profile_n_samples(p));
	for (uint32_t i = 0; i < n; i++)
		assert(profile_total(back, i) == profile_total(p, i) || profile_n_samples(back) < profile_n_samples(p));
	assert(profile_new(NULL, &merged) >= 0);
	assert(profile_merge(merged, p, NULL, &error) >= 0);
	assert(profile_n_samples(merged) == profile_n_samples(p));
	for (uint32_t i = 0; i < n; i++)
		assert(profile_total(merged, i) == profile_total(p, i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const drop[] = { "tid", "comm", NULL };
	const struct profile_limits limits = { .bytes_max = 16 << 20 };
	_cleanup_(profile_freep) struct profile *p = NULL;
	struct profile_error error;
	int r;

	read_apart(data, size, &(struct pprof_read_options){ .flags = PPROF_READ_NO_STACKS });
	read_apart(data, size, &(struct pprof_read_options){ .drop_labels = drop, .want = no_number_labels });
	assert(profile_new(&limits, &p) >= 0);
	r = file_read_bytes(p, NULL, data, size, &error);
	if (r < 0) {
		assert(profile_n_samples(p) == 0 && profile_n_strings(p) == 1);
		return 0;
	}
	(void)file_read_bytes(p, NULL, data, size, &error); /* merged with itself */
	write_and_read_back(p);
	return 0;
}
