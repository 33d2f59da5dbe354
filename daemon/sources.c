#include "daemon/sources.h"

const struct source *const sources[] = {
	&cpu_source,
	&heap_source,
	&memory_source,
	NULL,
};
