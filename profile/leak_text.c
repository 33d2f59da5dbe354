#include "profile/leak_text.h"

#include <stdio.h>
#include <string.h>

#include "profile/frame.h"

#define FRAMES_SHOWN 4

void leak_stack_text(const struct profile *p, uint32_t stack, char *text, size_t room)
{
	size_t n, at = 0;
	const uint32_t *locations = profile_stack(p, stack, &n);
	unsigned shown = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n && shown < FRAMES_SHOWN; i++)
		for (uint32_t k = 0; k < frame_count(p, locations[i]) && shown < FRAMES_SHOWN; k++) {
			struct frame f;
			int written;

			frame_get(p, locations[i], k, &f);
			written = snprintf(text + at, room - at, "%s%s", shown ? " < " : "", f.name);
			if (written < 0 || (size_t)written >= room - at)
				return;
			at += (size_t)written;
			shown++;
		}
}

const char *leak_label_text(const struct profile *p, uint32_t set, const char *key, char buffer[LEAK_LABEL_TEXT_MAX])
{
	size_t n;
	const struct profile_label *labels = profile_label_set(p, set, &n);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(profile_string(p, labels[i].key, NULL), key) != 0)
			continue;
		if (labels[i].unit == PROFILE_NONE)
			return profile_string(p, (uint32_t)labels[i].value, NULL);
		(void)snprintf(buffer, LEAK_LABEL_TEXT_MAX, "%lld", (long long)labels[i].value);
		return buffer;
	}
	return "";
}
