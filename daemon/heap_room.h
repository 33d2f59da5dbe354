/* Room for what is in use: where a program holds more sampled objects than are followed, half of them are followed
 * further, each for two, and all is sampled half as finely from then on; as finely as before again when there are few.
 * So no object is lost for want of a place, and what is in use stays unbiased.
 *
 * No I/O, no logging. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "daemon/heap_objects.h"

struct heap_room {
	unsigned halvings;     /* samples are taken so much more coarsely: 2^halvings times */
	unsigned calm_seconds; /* of few objects */
};

/* After each sample: whether there is too little of it; then each gets the addresses of those let go. */
bool heap_room_make(struct heap_room *room, struct heap_objects *objects, heap_objects_address_t each, void *userdata);
/* Once a second: may take halvings back. */
void heap_room_follow(struct heap_room *room, const struct heap_objects *objects);
