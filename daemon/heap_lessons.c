#include "daemon/heap_lessons.h"

#include "base/cleanup.h"

static struct heap_learned *find(struct heap_lessons *l, uint64_t program)
{
	for (size_t i = 0; i < HEAP_LESSONS_MAX; i++)
		if (l->learned[i].program == program)
			return &l->learned[i];
	return NULL;
}

static struct heap_learned *oldest(struct heap_lessons *l)
{
	struct heap_learned *o = &l->learned[0];

	for (size_t i = 1; i < HEAP_LESSONS_MAX; i++)
		if (l->learned[i].used < o->used)
			o = &l->learned[i];
	return o;
}

void heap_lessons_keep(struct heap_lessons *l, uint64_t program, const struct heap_lesson *lesson)
{
	struct heap_learned *p;

	if (program == 0)
		return;
	p = find(l, program);
	if (!p)
		p = oldest(l);
	*p = (struct heap_learned){ .program = program, .used = ++l->uses, .lesson = *lesson };
}

struct heap_lesson heap_lessons_recall(struct heap_lessons *l, uint64_t program)
{
	struct heap_learned *p = program ? find(l, program) : NULL;

	if (!p)
		return (struct heap_lesson){ 0 };
	p->used = ++l->uses;
	return p->lesson;
}
