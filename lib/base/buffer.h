/* A growing run of bytes, always NUL-terminated once anything was appended. */
#ifndef SOTI_BASE_BUFFER_H
#define SOTI_BASE_BUFFER_H

#include <stddef.h>

#include "sot/status.h"

typedef struct soti_buffer {
    char *data;      /* NULL until the first append or reserve */
    size_t size;     /* bytes, without the NUL */
    size_t capacity; /* bytes allocated */
} soti_buffer;

/* Makes room for n more bytes and the NUL. Returns MEMORY. */
sot_status soti_buffer_reserve(soti_buffer *buffer, size_t n);

/* Returns MEMORY; the buffer is then unchanged. */
sot_status soti_buffer_append(soti_buffer *buffer, const void *bytes, size_t n);
sot_status soti_buffer_append_text(soti_buffer *buffer, const char *text);

/* The same for jansson's json_dump_callback: 0, or -1 without memory. buffer is a soti_buffer. */
int soti_buffer_take(const char *bytes, size_t n, void *buffer);

/* Cuts to n bytes; n <= size. */
void soti_buffer_truncate(soti_buffer *buffer, size_t n);

/* The text, "" for an empty buffer. */
const char *soti_buffer_text(const soti_buffer *buffer);
void soti_buffer_free(soti_buffer *buffer);

#endif
