/* See filemap.h. Opening never blocks: O_NONBLOCK lets the open of a FIFO return at once, and the
 * type of file is checked on the descriptor, so that nothing can be swapped in between. */
#include "io/filemap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/path_name.h"

enum { READ_BYTES = 32 << 20 }; /* between two calls of progress */

static const char *kind_of_file(mode_t mode)
{
    if (S_ISDIR(mode)) {
        return "a directory";
    }
    if (S_ISFIFO(mode)) {
        return "a FIFO";
    }
    return "a device";
}

/* What a caller wants. */
typedef struct file_request {
    bool copies;
    bool takes_empty;
    uint64_t most_bytes;          /* 0: any number */
    soti_file_progress *progress; /* of copying; NULL: none */
} file_request;

static sot_status check_file(int descriptor, const char *path, const file_request *wanted,
                             struct stat *out)
{
    if (fstat(descriptor, out) != 0) {
        return soti_fail_io(path, "examined", errno);
    }
    if (!S_ISREG(out->st_mode)) {
        return soti_fail(SOT_ERR_IO, "%s: is %s, not a regular file", path,
                         kind_of_file(out->st_mode));
    }
    if (out->st_size < 0 || (out->st_size == 0 && !wanted->takes_empty)) {
        return soti_fail(SOT_ERR_FORMAT, "%s: the file is empty", path);
    }
    if (wanted->most_bytes != 0 && (uintmax_t)out->st_size > wanted->most_bytes) {
        return soti_fail(SOT_ERR_FORMAT, "%s: has %jd bytes; at most %" PRIu64 " are allowed", path,
                         (intmax_t)out->st_size, wanted->most_bytes);
    }
    if ((uintmax_t)out->st_size > SIZE_MAX) {
        return soti_fail(SOT_ERR_IO, "%s: %jd bytes do not fit this machine's address space", path,
                         (intmax_t)out->st_size);
    }
    return SOT_OK;
}

/* Somebody who writes to the file while it is being taken leaves half of the old and half of the
 * new. */
static sot_status check_unchanged(int descriptor, const char *path, const struct stat *before)
{
    struct stat now;
    if (fstat(descriptor, &now) != 0) {
        return soti_fail_io(path, "examined", errno);
    }
    if (now.st_size != before->st_size) {
        return soti_fail(SOT_ERR_IO, "%s: had %jd bytes when it was opened and has %jd now", path,
                         (intmax_t)before->st_size, (intmax_t)now.st_size);
    }
    if (now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != before->st_mtim.tv_nsec) {
        return soti_fail(SOT_ERR_IO, "%s: was written to while it was being read", path);
    }
    return SOT_OK;
}

static sot_status report(soti_file_progress *progress, size_t n, const char *path)
{
    if (progress == NULL || progress->fn == NULL) {
        return SOT_OK;
    }
    progress->done_bytes += n;
    if (progress->total_bytes < progress->done_bytes) { /* it has grown */
        progress->total_bytes = progress->done_bytes;
    }
    return progress->fn(progress->done_bytes, progress->total_bytes, progress->user) == 0
               ? SOT_OK
               : soti_fail(SOT_ERR_CANCELLED, "%s: reading it was cancelled", path);
}

/* Fills data with the first size bytes of the file. */
static sot_status read_all(int descriptor, soti_file_progress *progress, const soti_filemap *map,
                           uint8_t *data)
{
    size_t n_done = 0;
    while (n_done < map->size) {
        size_t rest = map->size - n_done;
        ssize_t n = read(descriptor, data + n_done, rest < READ_BYTES ? rest : READ_BYTES);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return soti_fail_io(map->path, "read", errno);
        }
        if (n == 0) {
            return soti_fail(SOT_ERR_IO, "%s: ended after %zu of the %zu bytes it had", map->path,
                             n_done, map->size);
        }
        n_done += (size_t)n;
        RETURN_IF_ERROR(report(progress, (size_t)n, map->path));
    }
    return SOT_OK;
}

static sot_status map_file(int descriptor, soti_filemap *map)
{
    void *data = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED) {
        return soti_fail_io(map->path, "mapped", errno);
    }
    map->data = data;
    return SOT_OK;
}

static sot_status copy_file(int descriptor, soti_file_progress *progress, soti_filemap *map)
{
    uint8_t *data = soti_map_alloc(map->size);
    if (data == NULL) {
        return soti_fail_in(SOT_ERR_MEMORY, "%s: ", map->path);
    }
    map->data = data;
    return read_all(descriptor, progress, map, data);
}

static sot_status take_bytes(int descriptor, const file_request *wanted, soti_filemap *map)
{
    if (map->size == 0) { /* nothing to map */
        return SOT_OK;
    }
    return wanted->copies ? copy_file(descriptor, wanted->progress, map)
                          : map_file(descriptor, map);
}

static sot_status take_file(const char *path, const file_request *wanted, soti_filemap *out)
{
    *out = (soti_filemap){0};
    struct stat before;
    int descriptor;
    do { /* file systems of other machines and programs let signals interrupt it */
        descriptor = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    } while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0) {
        return soti_fail_io(path, "opened", errno);
    }
    sot_status status = check_file(descriptor, path, wanted, &before);
    if (status == SOT_OK) {
        out->size = (size_t)before.st_size;
        out->path = soti_copy_text(path, strlen(path));
        status = out->path != NULL ? SOT_OK : SOT_ERR_MEMORY;
    }
    if (status == SOT_OK) {
        status = take_bytes(descriptor, wanted, out);
    }
    if (status == SOT_OK) {
        status = check_unchanged(descriptor, path, &before);
    }
    if (status != SOT_OK) {
        soti_filemap_close(out);
    }
    close(descriptor);
    return status;
}

sot_status soti_filemap_open(const char *path, soti_filemap *out)
{
    return take_file(path, &(file_request){0}, out);
}

sot_status soti_filemap_read(const char *path, uint64_t most_bytes, soti_file_progress *progress,
                             soti_filemap *out)
{
    const file_request wanted = {.copies = true, .most_bytes = most_bytes, .progress = progress};
    return take_file(path, &wanted, out);
}

sot_status soti_filemap_read_any(const char *path, soti_filemap *out)
{
    return take_file(path, &(file_request){.copies = true, .takes_empty = true}, out);
}

void soti_filemap_close(soti_filemap *map)
{
    soti_map_free((void *)(uintptr_t)map->data, map->size); /* munmap, for what is mapped too */
    soti_free(map->path);
    *map = (soti_filemap){0};
}
