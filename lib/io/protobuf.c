/* See protobuf.h. */
#include "protobuf.h"

/* At most ten bytes; bits above 64 make it malformed. */
static bool read_varint(soti_protobuf *message, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && message->left > 0; shift += 7) {
        uint8_t byte = *message->data++;
        message->left--;
        if (shift == 63 && byte > 1) {
            return false;
        }
        *value |= (uint64_t)(byte & 0x7Fu) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

static bool read_fixed(soti_protobuf *message, size_t bytes, uint64_t *value)
{
    if (message->left < bytes) {
        return false;
    }
    *value = 0;
    for (size_t i = 0; i < bytes; i++) {
        *value |= (uint64_t)message->data[i] << (8 * i);
    }
    message->data += bytes;
    message->left -= bytes;
    return true;
}

static bool read_bytes(soti_protobuf *message, soti_protobuf_field *field)
{
    uint64_t size;
    if (!read_varint(message, &size) || size > message->left) {
        return false;
    }
    field->data = message->data;
    field->size = (size_t)size;
    message->data += field->size;
    message->left -= field->size;
    return true;
}

static bool read_field(soti_protobuf *message, soti_protobuf_field *field)
{
    uint64_t tag;
    if (!read_varint(message, &tag) || tag > UINT32_MAX || tag >> 3 == 0) {
        return false;
    }
    field->number = (uint32_t)(tag >> 3);
    field->wire = (uint32_t)(tag & 7u);
    switch (field->wire) {
    case SOTI_WIRE_VARINT:
        return read_varint(message, &field->value);
    case SOTI_WIRE_FIXED64:
        return read_fixed(message, 8, &field->value);
    case SOTI_WIRE_FIXED32:
        return read_fixed(message, 4, &field->value);
    case SOTI_WIRE_BYTES:
        return read_bytes(message, field);
    default:
        return false;
    }
}

bool soti_protobuf_next(soti_protobuf *message, soti_protobuf_field *field)
{
    *field = (soti_protobuf_field){0};
    if (message->data == NULL || message->left == 0) {
        return false;
    }
    if (!read_field(message, field)) {
        message->data = NULL;
        return false;
    }
    return true;
}

bool soti_protobuf_ended(const soti_protobuf *message)
{
    return message->data != NULL && message->left == 0;
}
