/* Field numbers of OTLP profiles as far as they are written or read (opentelemetry-proto, profiles/v1development,
 * common/v1, resource/v1 and collector/profiles/v1development), and the names that travel. For otlp_write.c and
 * otlp_read.c. */
#pragma once

enum {
	REQUEST_RESOURCE_PROFILES = 1,
	REQUEST_DICTIONARY = 2,

	DICTIONARY_MAPPING = 1,
	DICTIONARY_LOCATION = 2,
	DICTIONARY_FUNCTION = 3,
	DICTIONARY_LINK = 4,
	DICTIONARY_STRING = 5,
	DICTIONARY_ATTRIBUTE = 6,
	DICTIONARY_STACK = 7,

	RESOURCE_PROFILES_RESOURCE = 1,
	RESOURCE_PROFILES_SCOPE_PROFILES = 2,
	RESOURCE_ATTRIBUTES = 1,
	SCOPE_PROFILES_SCOPE = 1,
	SCOPE_PROFILES_PROFILES = 2,
	SCOPE_NAME = 1,
	SCOPE_VERSION = 2,

	OTLP_PROFILE_SAMPLE_TYPE = 1,
	OTLP_PROFILE_SAMPLES = 2,
	OTLP_PROFILE_TIME = 3,
	OTLP_PROFILE_DURATION = 4,
	OTLP_PROFILE_PERIOD_TYPE = 5,
	OTLP_PROFILE_PERIOD = 6,
	OTLP_PROFILE_ID = 7,
	OTLP_PROFILE_PAYLOAD_FORMAT = 9,
	OTLP_PROFILE_PAYLOAD = 10,
	OTLP_PROFILE_ATTRIBUTES = 11,

	OTLP_SAMPLE_STACK = 1,
	OTLP_SAMPLE_ATTRIBUTES = 2,
	OTLP_SAMPLE_VALUES = 4,
	OTLP_SAMPLE_TIMESTAMPS = 5,

	OTLP_STACK_LOCATIONS = 1,

	OTLP_LOCATION_MAPPING = 1,
	OTLP_LOCATION_ADDRESS = 2,
	OTLP_LOCATION_LINES = 3,
	OTLP_LOCATION_ATTRIBUTES = 4,

	OTLP_LINE_FUNCTION = 1,
	OTLP_LINE_LINE = 2,
	OTLP_LINE_COLUMN = 3,

	OTLP_FUNCTION_NAME = 1,
	OTLP_FUNCTION_SYSTEM_NAME = 2,
	OTLP_FUNCTION_FILENAME = 3,
	OTLP_FUNCTION_START_LINE = 4,

	OTLP_MAPPING_START = 1,
	OTLP_MAPPING_LIMIT = 2,
	OTLP_MAPPING_OFFSET = 3,
	OTLP_MAPPING_FILENAME = 4,
	OTLP_MAPPING_ATTRIBUTES = 5,

	OTLP_VALUE_TYPE_TYPE = 1,
	OTLP_VALUE_TYPE_UNIT = 2,

	ATTRIBUTE_KEY = 1, /* KeyValueAndUnit */
	ATTRIBUTE_VALUE = 2,
	ATTRIBUTE_UNIT = 3,

	KEY_VALUE_KEY = 1, /* KeyValue */
	KEY_VALUE_VALUE = 2,
	KEY_VALUE_KEY_STRINDEX = 3,

	ANY_STRING = 1,
	ANY_BOOL = 2,
	ANY_INT = 3,
	ANY_DOUBLE = 4,
	ANY_ARRAY = 5,
	ANY_KVLIST = 6,
	ANY_BYTES = 7,
	ANY_STRING_STRINDEX = 8,
	ARRAY_VALUES = 1,
};

/* Our labels and the semantic conventions' names for them. */
static const struct otlp_label_name {
	const char *label, *attribute;
	int is_resource; /* said once for a resource, not with each sample */
} otlp_label_names[] = {
	{ "host", "host.name", 1 },
	{ "container_id", "container.id", 1 },
	{ "unit", "systemd.unit", 1 },
	{ "exe", "process.executable.path", 1 },
	{ "pid", "process.pid", 0 },
	{ "tid", "thread.id", 0 },
	{ "thread", "thread.name", 0 },
	{ "cgroup", "process.linux.cgroup", 0 },
};

#define OTLP_SERVICE_NAME "service.name"
#define OTLP_EXECUTABLE_NAME "process.executable.name"
#define OTLP_PROCESS_ID "process.pid"
#define OTLP_FRAME_TYPE "profile.frame.type"
#define OTLP_BUILD_ID_GNU "process.executable.build_id.gnu"
#define OTLP_BUILD_ID_GO "process.executable.build_id.go"
#define OTLP_BUILD_ID_HTLHASH "process.executable.build_id.htlhash"
#define OTLP_HTLHASH_DIGITS 32 /* GNU build IDs have 40 digits, or 16 */
#define OTLP_COMMENT "pprof.profile.comment"
#define OTLP_DROP_FRAMES "pprof.profile.drop_frames"
#define OTLP_KEEP_FRAMES "pprof.profile.keep_frames"
#define OTLP_DOC_URL "pprof.profile.doc_url"
#define OTLP_IS_FOLDED "pprof.location.is_folded"
#define OTLP_TIMESTAMP_LABEL "timestamp"

/* In the order of PROFILE_MAPPING_*. */
static const char *const otlp_mapping_flags[] = {
	"pprof.mapping.has_functions",
	"pprof.mapping.has_filenames",
	"pprof.mapping.has_line_numbers",
	"pprof.mapping.has_inline_frames",
};
