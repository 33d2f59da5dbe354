#include "ctl/side.h"

#include "base/log.h"
#include "ctl/progress.h"
#include "ctl/source.h"
#include "profile/snapshot.h"

void side_done(struct side *s)
{
	if (s->whole)
		profile_free(s->whole);
	for (size_t i = 0; i < s->n_parts; i++)
		profile_free(s->parts[i]);
	*s = (struct side){ 0 };
}

int side_load_file(const struct input *in, const char *file, struct side *ret)
{
	_cleanup_(profile_freep) struct profile *p = NULL;
	uint32_t value_index;
	int r;

	r = input_load(in, &file, 1, &p);
	if (r < 0)
		return r;
	snapshot_average(p);
	r = input_value_index(in, p, &value_index);
	if (r < 0)
		return r;
	*ret = (struct side){ .whole = TAKE_PTR(p), .value_index = value_index };
	return 0;
}

static void drop_parts(struct side *s)
{
	while (s->n_parts > 0)
		profile_free(s->parts[--s->n_parts]);
}

static bool is_same_type(const struct side *s, const struct profile *part)
{
	const struct profile_header *h = profile_header_const(s->whole);
	const char *name = profile_string(s->whole, h->sample_types[s->value_index].type, NULL);
	uint32_t index;

	return profile_find_sample_type(part, name, &index) == 0 && index == s->value_index;
}

/* What is held of the range once more, in equal parts, without those that hold nothing. They are good for something
 * only where all together are the whole, to the unit (no hour or day lies in two), and fit in the memory of one query:
 * else there are none, which is no error. */
static void load_parts(struct source_query *q, const struct query_report *report, struct side *s)
{
	_cleanup_progress_ struct progress progress = progress_start("comparing", "parts");
	const int64_t from = MAX(q->selection.from_ns, report->first_ns), to = MIN(q->selection.to_ns, report->last_ns);
	const size_t n = (size_t)MIN(report->n_files, (uint64_t)SIDE_PARTS_MAX);
	uint64_t bytes_left = QUERY_BYTES_MAX_DEFAULT;
	int64_t total = 0;

	for (size_t i = 0; i < n; i++) {
		struct selection part = q->selection;
		struct query_report part_report;
		struct profile_error error;
		struct profile *p = NULL;

		progress_update(&progress, i, n);
		part.from_ns = i ? from + (to - from) / (int64_t)n * (int64_t)i : q->selection.from_ns;
		part.to_ns = i + 1 < n ? from + (to - from) / (int64_t)n * (int64_t)(i + 1) : q->selection.to_ns;
		if (part.to_ns <= part.from_ns ||
		        store_query(q->store, &part, &(struct query_options){ .bytes_max = bytes_left }, &p,
		                &part_report, &error) < 0)
			return drop_parts(s);
		bytes_left -= MIN(bytes_left - 1, profile_bytes(p));
		if (profile_n_samples(p) == 0) { /* nothing was gathered then */
			profile_free(p);
			continue;
		}
		s->parts[s->n_parts++] = p;
		if (!is_same_type(s, p))
			return drop_parts(s);
		total += profile_total(p, s->value_index);
	}
	if (s->n_parts < 2 || total != profile_total(s->whole, s->value_index))
		drop_parts(s);
}

int side_load_range(const struct input *in, const char *range, struct side *ret)
{
	_cleanup_source_query_ struct source_query q = { 0 };
	_cleanup_(side_done) struct side s = { 0 };
	struct query_report report;
	int r;

	r = source_open_range(&in->source, range, &q);
	if (r < 0)
		return r;
	r = source_run(&q, &s.whole, &report);
	if (r < 0)
		return r;
	snapshot_average(s.whole);
	r = input_value_index(in, s.whole, &s.value_index);
	if (r < 0)
		return r;
	if (report.n_files > 1)
		load_parts(&q, &report, &s);
	*ret = s;
	s = (struct side){ 0 };
	return 0;
}

struct diff_side side_for_diff(const struct side *s)
{
	if (s->n_parts == 0)
		return (struct diff_side){ (const struct profile *const *)&s->whole, 1, s->value_index };
	return (struct diff_side){ (const struct profile *const *)s->parts, s->n_parts, s->value_index };
}
