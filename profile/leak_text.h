/* What is suspected of leaking, in words. */
#pragma once
#include <stddef.h>
#include "profile/leak.h"

#define LEAK_STACK_TEXT_MAX 1024
#define LEAK_LABEL_TEXT_MAX 24

/* Leaf first, a few frames: "grow_table < parse < main". Whole frames only; any bytes. */
void leak_stack_text(const struct profile *p, uint32_t stack, char *text, size_t room);
/* The label's text, a number in buffer; "" where there is none. */
const char *leak_label_text(const struct profile *p, uint32_t set, const char *key, char buffer[LEAK_LABEL_TEXT_MAX]);
