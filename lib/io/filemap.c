/* See filemap.h. Opening never blocks: O_NONBLOCK lets the open of a FIFO return at once, and the
 * type of file is checked on the descriptor, so that nothing can be swapped in between. */
#include "io/filemap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/path_name.h"

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

static sot_status check_file(int descriptor, const char *path, size_t *size)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0) {
        return soti_fail_io(path, "examined", errno);
    }
    if (!S_ISREG(status.st_mode)) {
        return soti_fail(SOT_ERR_IO, "%s: is %s, not a regular file", path,
                         kind_of_file(status.st_mode));
    }
    if (status.st_size <= 0) {
        return soti_fail(SOT_ERR_FORMAT, "%s: the file is empty", path);
    }
    if ((uintmax_t)status.st_size > SIZE_MAX) {
        return soti_fail(SOT_ERR_IO, "%s: %jd bytes do not fit this machine's address space", path,
                         (intmax_t)status.st_size);
    }
    *size = (size_t)status.st_size;
    return SOT_OK;
}

sot_status soti_filemap_open(const char *path, soti_filemap *out)
{
    *out = (soti_filemap){0};
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (descriptor < 0) {
        return soti_fail_io(path, "opened", errno);
    }
    size_t size = 0;
    char *copy = NULL;
    sot_status status = check_file(descriptor, path, &size);
    if (status != SOT_OK) {
        goto end;
    }
    copy = soti_copy_text(path, strlen(path));
    if (copy == NULL) {
        status = SOT_ERR_MEMORY;
        goto end;
    }
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED) {
        status = soti_fail_io(path, "mapped", errno);
        soti_free(copy);
        goto end;
    }
    *out = (soti_filemap){.path = copy, .data = data, .size = size};
end:
    close(descriptor);
    return status;
}

void soti_filemap_close(soti_filemap *map)
{
    if (map->data != NULL) {
        munmap((void *)(uintptr_t)map->data, map->size);
    }
    soti_free(map->path);
    *map = (soti_filemap){0};
}
