/* A selection of a store, as options: --type, --from, --to, --match, --source. */
#pragma once
#include <argp.h>
#include <stdbool.h>
#include "profile/profile.h"
#include "store/query.h"

struct source {
	const char *type, *from, *to, *match, *store; /* as given; NULL: not given */
};

/* Child of the command's argp; its input is a struct source. */
extern const struct argp source_argp;
/* Whether any of the options was given. */
bool source_is_given(const struct source *o);

/* A source that is open, and what is asked of it. */
struct source_query {
	struct store *store;
	struct matchers *matchers;
	struct selection selection;
};
void source_query_done(struct source_query *q);
#define _cleanup_source_query_ _cleanup_(source_query_done)

/* Opens the store (this host's, where --source is not given) and reads the options; default_from: "-1h" or what the
 * command has it. Logs one line on failure. Bad options were refused when they were read. */
int source_open(const struct source *o, const char *default_from, struct source_query *ret);
/* The same with "FROM..TO" in place of --from and --to. */
int source_open_range(const struct source *o, const char *range, struct source_query *ret);

/* The answer, with one line on standard error for each thing that a reader of it should know. Logs on failure; -ENODATA
 * where nothing is held of what was asked. */
int source_load(const struct source *o, struct profile **ret);
int source_load_range(const struct source *o, const char *range, struct profile **ret);
int source_run(struct source_query *q, struct profile **ret, struct query_report *report);
/* What is not in the answer, a line on standard error for each thing. */
void source_say_left_out(const struct query_report *report);
/* One line on standard error for each of the first, and how many more. */
void source_say_corrupt(const struct corrupt *list);
