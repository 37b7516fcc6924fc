/* A file written as a whole or not at all: bytes go to a temporary file in the same folder, which
 * takes the place of path when it is complete. */
#ifndef SOTI_IO_FILE_OUT_H
#define SOTI_IO_FILE_OUT_H

#include <stddef.h>
#include <stdint.h>

#include "sot/status.h"

typedef struct soti_file_out {
    const char *path; /* borrowed */
    char *temporary;  /* its path; NULL when there is none on the disk */
    int descriptor;   /* -1: closed */
    uint8_t *buffer;
    size_t n_buffered;
} soti_file_out;

/* path may be missing or a regular file, which stays as it is until the commit. A zeroed *out may
 * be closed. Returns IO, MEMORY. */
sot_status soti_file_out_open(const char *path, soti_file_out *out);

/* Returns IO, MEMORY, with the path and the system's reason. */
sot_status soti_file_out_put(soti_file_out *file, const void *data, size_t size);

/* Everything is on the disk and under its name when this succeeds. Returns IO, MEMORY. */
sot_status soti_file_out_commit(soti_file_out *file);

/* Removes what was not committed. */
void soti_file_out_close(soti_file_out *file);

#endif
