/* Leaks while they happen: the newest windows of `memory` and `heap` in the store, judged as `emberctl leaks` judges
 * them (profile/leak.h), and each suspect told in the log once. */
#pragma once
#include <jansson.h>

struct store;

#define LEAK_WATCH_WINDOWS_MAX 40u /* of each type: what reading them may cost is bounded */
#define LEAK_WATCH_SHOWN_MAX 16u
#define LEAK_WATCH_TOLD_MAX 1024u

/* In the keeper's child. An array of those that are growing, greatest first; NULL without memory. */
json_t *leak_watch_look(struct store *s);
/* In emberd. told: an object whose keys are what was logged before; those of leaks that are new are added. */
void leak_watch_log(json_t *told, const json_t *leaks);
