/* gRPC over an HTTP/2 POST, as far as a unary call needs it: framing, status details, messages. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"

#define GRPC_HEAD_BYTES 5

/* Before the message: compressed or not, and its length, once both are known. head points to GRPC_HEAD_BYTES. */
void grpc_put_head(void *head, int is_compressed, size_t message_bytes);

/* One whole message and nothing else. */
int grpc_is_message(const struct buffer *body);

/* The one message of an answer. *ret points into body, or into scratch where it came compressed. -EBADMSG: malformed;
 * -E2BIG: over scratch's maximum. */
int grpc_take_message(
        const struct buffer *body, int is_gzip, struct buffer *scratch, const void **ret, size_t *ret_size);

/* grpc-message is percent-encoded; what is not printable becomes a blank. */
void grpc_decode_message(const char *value, char *text, size_t n);

/* google.rpc.RetryInfo inside grpc-status-details-bin (base64 of google.rpc.Status). -ENOENT: none; -EBADMSG. */
int grpc_find_retry_delay(const char *base64, uint64_t *ret_ns);
