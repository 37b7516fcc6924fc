/* See path_name.h. */
#include "io/path_name.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fail.h"

const char *soti_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

char *soti_path_join(const char *folder, const char *name)
{
    size_t folder_size = strlen(folder);
    size_t name_size = strlen(name);
    char *path = soti_alloc(folder_size + name_size + 2, 1);
    if (path == NULL) {
        return NULL;
    }
    memcpy(path, folder, folder_size + 1);
    if (folder_size > 0 && folder[folder_size - 1] != '/') {
        path[folder_size++] = '/';
    }
    memcpy(path + folder_size, name, name_size + 1);
    return path;
}

sot_status soti_path_exists(const char *folder, const char *name, bool *out)
{
    struct stat info;
    char *path = soti_path_join(folder, name);
    if (path == NULL) {
        return SOT_ERR_MEMORY;
    }
    sot_status status = SOT_OK;
    *out = stat(path, &info) == 0;
    if (!*out && errno != ENOENT && errno != ENOTDIR) {
        status = soti_fail_io(path, "looked for", errno);
    }
    soti_free(path);
    return status;
}

const char *soti_path_component(const char *path, size_t i, size_t *size)
{
    size_t end = strlen(path);
    for (;;) {
        while (end > 0 && path[end - 1] == '/') {
            end--;
        }
        size_t begin = end;
        while (begin > 0 && path[begin - 1] != '/') {
            begin--;
        }
        if (i-- == 0) {
            *size = end - begin;
            return path + begin;
        }
        end = begin;
    }
}

bool soti_path_is_plain(const char *name)
{
    return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

sot_status soti_fail_io(const char *path, const char *verb, int error_number)
{
    char reason[128];
    const char *text = strerror_r(error_number, reason, sizeof reason);
    sot_status status = error_number == ENOMEM ? SOT_ERR_MEMORY : SOT_ERR_IO;
    return soti_fail(status, "%s: cannot be %s: %s", path, verb, text);
}
