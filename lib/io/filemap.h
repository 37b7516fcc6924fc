/* The bytes of a regular file, whole: mapped, so that they stay the file's, or read into memory of
 * their own. Of a mapped file that shrinks, touching what is gone is SIGBUS, which no library can
 * catch for its host; so only weights are mapped, and all other files are read. */
#ifndef SOTI_IO_FILEMAP_H
#define SOTI_IO_FILEMAP_H

#include <stddef.h>
#include <stdint.h>

#include "sot/sot.h"

/* Files that hold no weights and no conversation have at most so many bytes. The largest that are
 * known, tokenizers and indices, have a few million. */
#define SOTI_SMALL_FILE_MAX UINT64_C(100000000)

typedef struct soti_filemap {
    char *path;          /* own copy */
    const uint8_t *data; /* (size) */
    size_t size;         /* 0 by soti_filemap_read_any alone; data is NULL then */
} soti_filemap;

/* Progress over the files of one model. */
typedef struct soti_file_progress {
    sot_progress_fn fn; /* NULL: nobody listens */
    void *user;
    uint64_t done_bytes, total_bytes;
} soti_file_progress;

/* Maps a file. Refuses directories, FIFOs, devices and empty files, without blocking on any of
 * them. Returns IO (also for a file that is changed at this moment), FORMAT (empty), MEMORY, each
 * naming the path. */
sot_status soti_filemap_open(const char *path, soti_filemap *out);

/* The same, but reads it. A file of more than most_bytes (0: any number) is refused before it is
 * read: FORMAT. progress may be NULL. Returns CANCELLED, too. */
sot_status soti_filemap_read(const char *path, uint64_t most_bytes, soti_file_progress *progress,
                             soti_filemap *out);

/* The same for a file of any size, an empty one included. */
sot_status soti_filemap_read_any(const char *path, soti_filemap *out);

void soti_filemap_close(soti_filemap *map); /* a zeroed one: nothing */

#endif
