/* Log lines on stderr with sd-daemon(3) priority prefixes under systemd, plain ones on a terminal. One line by whoever
 * decides what a failure means; libraries (base, profile, symbolizer, store) never log above debug. */
#pragma once
#include <syslog.h>
#include "base/cleanup.h"

/* LOG_ERR..LOG_DEBUG; default LOG_INFO. */
void log_set_max_level(int level);
int log_max_level(void);

/* Prefix before each line of this process ("ember-export: "); borrowed for ever, NULL for none. */
void log_set_prefix(const char *prefix);

/* Logs "text: strerror(-r)" where r < 0, "text" where r == 0, and returns r. Control bytes in the text are escaped, so
 * a hostile process name cannot forge a line. */
_printf_(3, 4) int log_full(int level, int r, const char *format, ...);

#define log_err(r, ...) log_full(LOG_ERR, (r), __VA_ARGS__)
#define log_warning(r, ...) log_full(LOG_WARNING, (r), __VA_ARGS__)
#define log_notice(...) ((void)log_full(LOG_NOTICE, 0, __VA_ARGS__))
#define log_info(...) ((void)log_full(LOG_INFO, 0, __VA_ARGS__))
#define log_debug(...) ((void)(log_max_level() >= LOG_DEBUG ? log_full(LOG_DEBUG, 0, __VA_ARGS__) : 0))
