/* See buffer.h. */
#include "buffer.h"

#include <stdint.h>
#include <string.h>

#include "fail.h"
#include "alloc.h"

sot_status soti_buffer_reserve(soti_buffer *buffer, size_t n)
{
    size_t needed;
    if (!soti_add(buffer->size, n, &needed) || !soti_add(needed, 1, &needed)) {
        return soti_fail(SOT_ERR_MEMORY, "a text of %zu + %zu bytes is too long", buffer->size, n);
    }
    if (needed <= buffer->capacity) {
        return SOT_OK;
    }
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    while (capacity < needed) {
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    }
    char *data = soti_realloc(buffer->data, capacity, 1);
    if (data == NULL) {
        return SOT_ERR_MEMORY;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    buffer->data[buffer->size] = '\0';
    return SOT_OK;
}

sot_status soti_buffer_append(soti_buffer *buffer, const void *bytes, size_t n)
{
    RETURN_IF_ERROR(soti_buffer_reserve(buffer, n));
    if (n > 0) {
        memcpy(buffer->data + buffer->size, bytes, n);
    }
    buffer->size += n;
    buffer->data[buffer->size] = '\0';
    return SOT_OK;
}

sot_status soti_buffer_append_text(soti_buffer *buffer, const char *text)
{
    return soti_buffer_append(buffer, text, strlen(text));
}

int soti_buffer_take(const char *bytes, size_t n, void *buffer)
{
    return soti_buffer_append(buffer, bytes, n) == SOT_OK ? 0 : -1;
}

void soti_buffer_truncate(soti_buffer *buffer, size_t n)
{
    if (n < buffer->size) {
        buffer->size = n;
        buffer->data[n] = '\0';
    }
}

const char *soti_buffer_text(const soti_buffer *buffer)
{
    return buffer->data ? buffer->data : "";
}

void soti_buffer_free(soti_buffer *buffer)
{
    soti_free(buffer->data);
    *buffer = (soti_buffer){0};
}
