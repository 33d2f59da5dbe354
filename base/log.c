#include "base/log.h"

#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_BYTES_MAX 2048

static int max_level = LOG_INFO;
static const char *line_prefix;

void log_set_max_level(int level)
{
	max_level = level;
}

int log_max_level(void)
{
	return max_level;
}

void log_set_prefix(const char *prefix)
{
	line_prefix = prefix;
}

static void escape_control(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

int log_full(int level, int r, const char *format, ...)
{
	char text[LINE_BYTES_MAX], line[LINE_BYTES_MAX + 256], error[128];
	int saved = errno, n;
	va_list ap;

	if (level > max_level)
		return r;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	escape_control(text);

	/* JOURNAL_STREAM says that systemd reads our stderr and understands "<3>". */
	n = snprintf(line, 8, "<%d>", level & 7);
	if (!getenv("JOURNAL_STREAM"))
		n = 0;
	n += snprintf(line + n, sizeof(line) - (size_t)n, "%s%s", line_prefix ? line_prefix : "", text);
	if (r < 0)
		n += snprintf(line + n, sizeof(line) - (size_t)n, ": %s", strerror_r(-r, error, sizeof(error)));
	line[n] = '\n';
	(void)!write(STDERR_FILENO, line, (size_t)n + 1);
	errno = saved;
	return r;
}
