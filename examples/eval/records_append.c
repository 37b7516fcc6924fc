/* Appending records: see records.h. Lines are written whole or not at all as far as a program can
 * see to it; what a kill leaves of one is cut off when the file is opened again. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "../shared/text.h"
#include "records.h"

static int failed(struct record_file *file)
{
    complain("%s: %s", file->path, strerror(errno));
    record_file_close(file);
    return 0;
}

int record_file_open(struct record_file *file, const char *path, struct record_list *list)
{
    *file = (struct record_file){.path = path, .fd = -1};
    file->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file->fd < 0)
        return failed(file);
    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return failed(file);
        complain("%s: another run is writing to this file", path);
        record_file_close(file);
        return 0;
    }
    if (!records_read(path, 0, list)) {
        record_file_close(file);
        return 0;
    }
    if (list->n_torn > 0) {
        if (ftruncate(file->fd, (off_t)list->n_bytes) != 0 || fsync(file->fd) != 0)
            return failed(file);
        complain("%s: the last line was not complete (%llu bytes); its question is asked again",
                 path, (unsigned long long)list->n_torn);
        list->n_torn = 0;
    }
    file->size = list->n_bytes;
    return 1;
}

/* A short write happens where the disk is full; the rest of the line then finds no room either. */
static int write_whole(int fd, const char *bytes, size_t size)
{
    size_t n_done = 0;
    while (n_done < size) {
        ssize_t n = write(fd, bytes + n_done, size - n_done);
        if (n < 0 && errno != EINTR)
            return 0;
        n_done += n > 0 ? (size_t)n : 0;
    }
    return 1;
}

int record_file_append(struct record_file *file, const json_t *object)
{
    char *dumped = json_dumps(object, JSON_COMPACT);
    if (!dumped) {
        complain("%s: out of memory", file->path);
        return 0;
    }
    struct text line = {0};
    text_string(&line, dumped);
    text_string(&line, "\n");
    free(dumped);
    int written = write_whole(file->fd, line.bytes, line.size) && fsync(file->fd) == 0;
    if (!written) {
        int reason = errno;
        if (ftruncate(file->fd, (off_t)file->size) != 0)
            complain("%s: what was written of the last record cannot be taken back", file->path);
        complain("%s: %s", file->path, strerror(reason));
    } else {
        file->size += line.size;
    }
    text_free(&line);
    return written;
}

void record_file_close(struct record_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}
