/* OTLP profiles (v1development as of opentelemetry-proto 1.10 and 1.11): the model written as one or more
 * ExportProfilesServiceRequest messages, and such a message read back. The bytes of a request are also those of
 * ProfilesData, so a `.otlp` file is one request. No I/O, no logging, no globals.
 *
 * Shape of what is written: samples are gathered by resource (service, container, unit, executable), one Profile for
 * each sample type of each resource, one value a sample. A cpu profile whose time is exactly its count times the period
 * says only the count, as other eBPF profilers do; readers multiply. Identifiers (pid, tid, thread) stay out unless
 * asked for, because servers make a series of each distinct attribute set. The ledger travels as
 * `pprof.profile.comment`. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "profile/profile.h"
#include "profile/service_name.h"

#define OTLP_BYTES_MAX (512u << 20) /* of one message read */
#define OTLP_RESOURCES_MAX 1024u    /* in one profile; what is beyond goes to a resource called "other" */
#define OTLP_ID_BYTES 16

enum {
	OTLP_ALL_LABELS = 1 << 0,  /* every label that no resource says becomes a sample attribute */
	OTLP_PER_PROCESS = 1 << 1, /* one resource a process: process.pid */
	OTLP_TIMESTAMPS = 1 << 2,  /* a number label `timestamp` becomes timestamps_unix_nano, else it is left out */
	OTLP_ALL_TYPES = 1 << 3,   /* also the time of a cpu profile that its count already says */
};

struct otlp_pair {
	const char *key, *value;
};

struct otlp_options {
	unsigned flags;
	const char *const *attributes;    /* labels that become sample attributes, NULL at the end; NULL: none */
	const struct otlp_pair *resource; /* attributes of every resource: host.name, os.type, ... */
	size_t n_resource;
	const struct service_rules *services; /* NULL: the default rules */
	uint32_t samples_max;                 /* of one Profile; 0: no limit */
	uint64_t bytes_max;                   /* of one request before compression; 0: no limit */
	uint8_t id[OTLP_ID_BYTES]; /* of the window: each profile_id is made from it, so sending again gives the same */
	const void *payload;       /* the original pprof, put into the first Profile where nothing had to be split */
	size_t payload_size;
};

struct otlp_encoder;

/* p is borrowed and must not change; so are the options' pointers. */
int otlp_encoder_new(const struct profile *p, const struct otlp_options *options, struct otlp_encoder **ret);
struct otlp_encoder *otlp_encoder_free(struct otlp_encoder *e);
DEFINE_CLEANUP(struct otlp_encoder *, otlp_encoder_free)

typedef int (*otlp_sink)(void *userdata, const void *data, size_t n);

struct otlp_part {
	uint64_t bytes, samples, profiles;
};

/* Writes the next request through the sink (in pieces; a negative result ends it). 1: written; 0: there is no more;
 * -E2BIG: one sample alone is over bytes_max: it was skipped, go on. */
int otlp_encoder_next(struct otlp_encoder *e, otlp_sink sink, void *userdata, struct otlp_part *ret);

/* All in one request with every label: what a `.otlp` file holds. -E2BIG: over out's maximum. */
int otlp_write(const struct profile *p, struct buffer *out);

/* Whether the bytes look like a request: only its two fields, and a dictionary. */
bool otlp_sniff(const void *data, size_t n);

/* Reads a request into dst, which must be empty. Sample types, resource and sample attributes (as labels), all three
 * shapes of samples (values, timestamps only, pairs), inline and referenced text; the count of a cpu profile also gives
 * its time. data is uncompressed. Nothing recurses. -EBADMSG: malformed, an index beyond its table; -E2BIG: over a
 * limit of the model; -ENOSPC, -ENOMEM. */
int otlp_read(struct profile *dst, const void *data, size_t n, struct profile_error *error);
