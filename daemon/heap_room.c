#include "daemon/heap_room.h"

#define CALM_SECONDS 30
#define HALVINGS_MAX 20

bool heap_room_make(struct heap_room *room, struct heap_objects *objects, heap_objects_address_t each, void *userdata)
{
	if (!heap_objects_are_many(objects))
		return false;
	heap_objects_thin(objects, each, userdata);
	room->halvings = MIN(room->halvings + 1, (unsigned)HALVINGS_MAX);
	room->calm_seconds = 0;
	return true;
}

void heap_room_follow(struct heap_room *room, const struct heap_objects *objects)
{
	/* one time more would make half of many of them, at most */
	room->calm_seconds = heap_objects_are_few(objects) ? room->calm_seconds + 1 : 0;
	if (room->halvings == 0 || room->calm_seconds < CALM_SECONDS)
		return;
	room->halvings--;
	room->calm_seconds = 0;
}
