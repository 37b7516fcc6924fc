/* A plugin of another libsot, older or newer: FAKE_CUDA_TABLE=none offers no table at all, =older a
 * table of another version, =shorter one that lacks its last functions. */
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"

__attribute__((visibility("default"))) const soti_backend *soti_cuda_plugin(uint32_t version)
{
    static soti_backend table;
    const char *kind = getenv("FAKE_CUDA_TABLE");
    if (kind == NULL || strcmp(kind, "none") == 0) {
        return NULL;
    }
    table = *soti_cpu_backend();
    if (strcmp(kind, "older") == 0) {
        table.version = version - 1;
    } else {
        table.table_size = (uint32_t)offsetof(soti_backend, page_copy);
    }
    return &table;
}
