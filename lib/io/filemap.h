/* A regular file, mapped read-only, whole. */
#ifndef SOTI_IO_FILEMAP_H
#define SOTI_IO_FILEMAP_H

#include <stddef.h>
#include <stdint.h>

#include "sot/status.h"

typedef struct soti_filemap {
    char *path;          /* own copy */
    const uint8_t *data; /* (size) */
    size_t size;         /* > 0 */
} soti_filemap;

/* Refuses directories, FIFOs, devices and empty files, without blocking on any of them.
 * Returns IO, FORMAT (empty), MEMORY, each naming the path. */
sot_status soti_filemap_open(const char *path, soti_filemap *out);
void soti_filemap_close(soti_filemap *map); /* a zeroed one: nothing */

#endif
