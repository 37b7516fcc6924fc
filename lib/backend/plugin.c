/* See plugin.h. The loader's own words go into the sentence, since they name the missing part. */
#include "plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"

static const char plugin_name[] = "libsot-cuda.so";

/* The plugin's path in the folder of the file that this code was loaded from; "" where the folder
 * is not known. */
static void path_beside(char path[PATH_MAX])
{
    static const char here; /* any address of this file will do */
    Dl_info info;
    path[0] = '\0';
    if (dladdr(&here, &info) == 0 || info.dli_fname == NULL) {
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    size_t n_folder = slash != NULL ? (size_t)(slash - info.dli_fname) + 1 : 0;
    if (n_folder > 0 && n_folder + sizeof plugin_name <= PATH_MAX) {
        memcpy(path, info.dli_fname, n_folder);
        memcpy(path + n_folder, plugin_name, sizeof plugin_name);
    }
}

static sot_status load(void **out)
{
    const int flags = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
    char path[PATH_MAX];
    path_beside(path);
    if (path[0] != '\0' && access(path, F_OK) == 0) {
        *out = dlopen(path, flags);
        return *out != NULL
                   ? SOT_OK
                   : soti_fail(SOT_ERR_DEVICE, "the CUDA plugin cannot be loaded: %s", dlerror());
    }
    *out = dlopen(plugin_name, flags);
    if (*out == NULL) {
        const char *reason = dlerror();
        return soti_fail(SOT_ERR_DEVICE, "the CUDA plugin was not found: there is no %s, and %s",
                         path[0] != '\0' ? path : "folder to look in", reason);
    }
    return SOT_OK;
}

static sot_status find_table(void *library, const soti_backend **out)
{
    /* ISO C has no cast from an object pointer to a function's. */
    soti_plugin_fn plugin = NULL;
    void *symbol = dlsym(library, SOTI_CUDA_PLUGIN);
    if (symbol == NULL) {
        return soti_fail(SOT_ERR_DEVICE, "%s is not libsot's: it has no %s", plugin_name,
                         SOTI_CUDA_PLUGIN);
    }
    _Static_assert(sizeof plugin == sizeof symbol, "a function's address fits");
    memcpy(&plugin, &symbol, sizeof plugin);
    const soti_backend *table = plugin(SOTI_BACKEND_VERSION);
    if (table == NULL || table->version != SOTI_BACKEND_VERSION ||
        table->table_size < sizeof *table) {
        return soti_fail(SOT_ERR_DEVICE,
                         "%s belongs to another libsot: it does not offer version %u of the "
                         "backend interface",
                         plugin_name, SOTI_BACKEND_VERSION);
    }
    *out = table;
    return SOT_OK;
}

sot_status soti_plugin_open(const soti_backend **out)
{
    void *library;
    *out = NULL;
    RETURN_IF_ERROR(load(&library));
    sot_status status = find_table(library, out);
    dlclose(library); /* it stays, by RTLD_NODELETE; only the handle is given up */
    return status;
}
