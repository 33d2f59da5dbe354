/* A directory of a test's own, as a setup of cmocka: the state is a struct place, which the test's teardown removes. */
#pragma once
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "tests/unit/unit.h"

struct place {
	char path[64];
	int fd;
};

static int make_place(void **state)
{
	struct place *p = malloc(sizeof(*p));

	assert_non_null(p);
	*p = (struct place){ .path = "/tmp/ember-unit-XXXXXX" };
	assert_non_null(mkdtemp(p->path));
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->fd >= 0);
	*state = p;
	return 0;
}
