/* What a parent (emberd, emberctl) and ember-export say to each other over a SOCK_SEQPACKET pair: the configuration of
 * one destination, then one job at a time, each with an open window file, and a reply to each, with word of each part
 * on the way. The child needs no path, no privilege and no file system: what it reads and writes comes as descriptors,
 * so a secret stands in no command line. The parent believes nothing but the few numbers of a reply. */
#pragma once
#include <stdint.h>

#define EXPORT_VERSION 2u
#define EXPORT_CONFIG_BYTES_MAX 65536u
#define EXPORT_NAME_MAX 224u
#define EXPORT_ERROR_MAX 512u

/* Descriptors that come with the configuration, in this order, those present as a bit in struct export_hello. */
enum export_file { EXPORT_FILE_TOKEN, EXPORT_FILE_CA, EXPORT_FILE_CERT, EXPORT_FILE_KEY, EXPORT_FILES };

/* First message: this, then the configuration as JSON (export/config.h). */
struct export_hello {
	uint32_t version;
	uint32_t files; /* bits of enum export_file */
};

/* Every further message, with the window file and, for a destination that is a directory, the file to fill. */
struct export_job {
	uint64_t id;
	uint64_t parts_done;        /* requests of this window that an earlier try brought to an end: left out now */
	char name[EXPORT_NAME_MAX]; /* for log lines: NUL-terminated */
};

/* From the child, as soon as a part was brought to its end; sums of the job until now. The child begins no further
 * request of the job before the parent has said struct export_go_on: so whoever is killed when, the parts that nobody
 * noted are one at most. */
struct export_progress {
	uint64_t id, parts_done;
	uint64_t requests, bytes, samples, rejected;
};

struct export_go_on {
	uint64_t id; /* the job's */
};

enum export_outcome {
	EXPORT_SENT = 0,     /* taken by the destination, in part perhaps (rejected > 0) */
	EXPORT_RETRY = 1,    /* not taken; may be sent again after retry_after_ns or a backoff */
	EXPORT_REJECTED = 2, /* the window itself is bad: never to be sent again */
	EXPORT_REFUSED = 3,  /* not taken, must not be tried again by itself, but another configuration may help */
	EXPORT_DENIED = 4,   /* as EXPORT_REFUSED, for want of credentials */
	EXPORT_BLOCKED = 5,  /* as EXPORT_RETRY, but it stays so until a person changes something on either side */
	EXPORT_OUTCOMES
};

struct export_reply {
	uint64_t id;
	uint32_t outcome;             /* enum export_outcome */
	uint32_t status;              /* of HTTP, or of gRPC; 0: none came */
	uint64_t retry_after_ns;      /* what the destination asked for; 0: nothing */
	uint64_t requests, bytes;     /* made and sent (after compression) */
	uint64_t samples, rejected;   /* samples sent; profiles that the destination refused of what it took */
	uint64_t parts_done;          /* for the next try: windows are split the same way each time */
	uint64_t cpu_ns, rss_bytes;   /* of the child until now */
	char error[EXPORT_ERROR_MAX]; /* NUL-terminated; a sentence, "" where there is nothing to say */
};
