/* See file_out.h. */
#include "io/file_out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/path_name.h"

enum {
    BUFFER_BYTES = 1 << 20,
    WRITE_BYTES_MAX = 1 << 30, /* of one write; Linux takes no more than 2 GiB */
    SUFFIX_BYTES = 64,
    NAMES_MAX = 100 /* temporary names that are tried */
};

/* Renaming onto a device or a FIFO would put a file in its place. */
static sot_status check_target(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        return errno == ENOENT ? SOT_OK : soti_fail_io(path, "examined", errno);
    }
    return S_ISREG(status.st_mode)
               ? SOT_OK
               : soti_fail(SOT_ERR_IO, "%s: is there and not a regular file", path);
}

static sot_status open_temporary(soti_file_out *file)
{
    size_t size = strlen(file->path) + SUFFIX_BYTES;
    char *name = soti_alloc(size, 1);
    if (name == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (int i = 0; i < NAMES_MAX && file->descriptor < 0; i++) {
        snprintf(name, size, "%s.part-%ld-%d", file->path, (long)getpid(), i);
        file->descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->descriptor < 0 && errno != EEXIST && errno != EINTR) {
            break;
        }
    }
    if (file->descriptor < 0) {
        sot_status status = soti_fail_io(name, "created", errno);
        soti_free(name);
        return status;
    }
    file->temporary = name;
    return SOT_OK;
}

sot_status soti_file_out_open(const char *path, soti_file_out *out)
{
    *out = (soti_file_out){.path = path, .descriptor = -1};
    RETURN_IF_ERROR(check_target(path));
    out->buffer = soti_alloc(BUFFER_BYTES, 1);
    sot_status status = out->buffer != NULL ? open_temporary(out) : SOT_ERR_MEMORY;
    if (status != SOT_OK) {
        soti_file_out_close(out);
    }
    return status;
}

static sot_status write_all(soti_file_out *file, const uint8_t *data, size_t size)
{
    while (size > 0) {
        size_t n = size < WRITE_BYTES_MAX ? size : WRITE_BYTES_MAX;
        ssize_t written = write(file->descriptor, data, n);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return soti_fail_io(file->path, "written", errno);
        }
        data += written;
        size -= (size_t)written;
    }
    return SOT_OK;
}

static sot_status flush(soti_file_out *file)
{
    size_t n = file->n_buffered;
    file->n_buffered = 0;
    return write_all(file, file->buffer, n);
}

sot_status soti_file_out_put(soti_file_out *file, const void *data, size_t size)
{
    if (size > BUFFER_BYTES - file->n_buffered) {
        RETURN_IF_ERROR(flush(file));
    }
    if (size >= BUFFER_BYTES) {
        return write_all(file, data, size);
    }
    if (size > 0) {
        memcpy(file->buffer + file->n_buffered, data, size);
        file->n_buffered += size;
    }
    return SOT_OK;
}

/* So that the name outlives a power failure, as the bytes do. Not every file system can do that,
 * and the file is complete either way, so nothing hangs on it. */
static void sync_folder(const char *path)
{
    const char *base = soti_path_base(path);
    char *folder =
        base == path ? soti_copy_text(".", 1) : soti_copy_text(path, (size_t)(base - path));
    int descriptor = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (descriptor >= 0) {
        (void)fsync(descriptor);
        close(descriptor);
    }
    soti_free(folder);
}

sot_status soti_file_out_commit(soti_file_out *file)
{
    RETURN_IF_ERROR(flush(file));
    int result;
    do {
        result = fsync(file->descriptor);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        return soti_fail_io(file->path, "written", errno);
    }
    result = close(file->descriptor);
    file->descriptor = -1;
    if (result != 0 && errno != EINTR) { /* a close that is interrupted has closed, on Linux */
        return soti_fail_io(file->path, "written", errno);
    }
    if (rename(file->temporary, file->path) != 0) {
        return soti_fail_io(file->path, "put in place", errno);
    }
    soti_free(file->temporary);
    file->temporary = NULL;
    sync_folder(file->path);
    return SOT_OK;
}

void soti_file_out_close(soti_file_out *file)
{
    if (file->temporary != NULL) {
        if (file->descriptor >= 0) {
            close(file->descriptor);
        }
        (void)unlink(file->temporary);
    }
    soti_free(file->temporary);
    soti_free(file->buffer);
    *file = (soti_file_out){.descriptor = -1};
}
