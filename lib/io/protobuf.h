/* The protobuf wire format, as far as tokenizer.model needs it: walks the fields of one message.
 * Knows no schema; every read is bounded by the message. */
#ifndef SOTI_IO_PROTOBUF_H
#define SOTI_IO_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SOTI_WIRE_VARINT = 0, SOTI_WIRE_FIXED64 = 1, SOTI_WIRE_BYTES = 2, SOTI_WIRE_FIXED32 = 5 };

typedef struct soti_protobuf {
    const uint8_t *data; /* the next field; NULL after a malformed one */
    size_t left;         /* bytes */
} soti_protobuf;

typedef struct soti_protobuf_field {
    uint32_t number;
    uint32_t wire;       /* SOTI_WIRE_* */
    uint64_t value;      /* VARINT, FIXED64, FIXED32 */
    const uint8_t *data; /* BYTES: (size), inside the message */
    size_t size;
} soti_protobuf_field;

/* Reads the next field. False at the end and at malformed bytes (groups included, which nothing
 * writes any more); soti_protobuf_ended() tells which. */
bool soti_protobuf_next(soti_protobuf *message, soti_protobuf_field *field);

/* True when every byte was read as a field. */
bool soti_protobuf_ended(const soti_protobuf *message);

#endif
