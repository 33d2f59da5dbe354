#include "ctl/progress.h"

#include <inttypes.h>

#include "base/clock.h"

#define QUIET_NS (NS_PER_SEC / 2)
#define REDRAW_NS (NS_PER_SEC / 10)

struct progress progress_start(const char *text, const char *noun)
{
	return (struct progress){
		.text = text,
		.noun = noun,
		.started_ns = clock_now_ns(CLOCK_MONOTONIC),
		.is_terminal = isatty(STDERR_FILENO),
	};
}

void progress_update(struct progress *p, uint64_t done, uint64_t total)
{
	uint64_t now;

	if (!p->is_terminal)
		return;
	now = clock_now_ns(CLOCK_MONOTONIC);
	if (now - p->started_ns < QUIET_NS || now - p->shown_ns < REDRAW_NS)
		return;
	p->shown_ns = now;
	p->is_shown = true;
	if (total > 0)
		(void)fprintf(stderr, "\r\033[K%s %" PRIu64 " of %" PRIu64 " %s", p->text, done, total, p->noun);
	else
		(void)fprintf(stderr, "\r\033[K%s %" PRIu64 " %s", p->text, done, p->noun);
	(void)fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (!p->is_shown)
		return;
	p->is_shown = false;
	(void)fputs("\r\033[K", stderr);
	(void)fflush(stderr);
}
