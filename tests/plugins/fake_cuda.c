/* A plugin whose devices are the CPU. FAKE_CUDA_DEVICES says how many there are (none: as without a
 * driver), FAKE_CUDA_FULL which of them have no room left, as a string of their digits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"

enum { UPLOAD_PARTS = 4, UPLOAD_BYTES = 1000 };

static soti_host host;
static uint32_t i_opened; /* one model loads at a time */

static sot_status fail(sot_status status, const char *sentence)
{
    host.fail(status, sentence);
    return status;
}

static sot_status device_open(uint32_t i_device, const soti_host *its_host, soti_device **out)
{
    const char *n_devices = getenv("FAKE_CUDA_DEVICES");
    char sentence[80];
    host = *its_host;
    i_opened = i_device;
    if (n_devices == NULL) {
        return fail(SOT_ERR_DEVICE, "this machine has no fake driver");
    }
    if (i_device >= strtoul(n_devices, NULL, 10)) {
        snprintf(sentence, sizeof sentence, "there is no fake device %u", i_device);
        return fail(SOT_ERR_DEVICE, sentence);
    }
    return soti_cpu_backend()->device_open(0, its_host, out);
}

static sot_status weights_create(soti_device *device, const soti_shape *shape,
                                 const soti_weights *weights, sot_progress_fn progress, void *user,
                                 soti_device_weights **out)
{
    const char *full = getenv("FAKE_CUDA_FULL");
    *out = NULL;
    if (full != NULL && strchr(full, '0' + (int)i_opened) != NULL) {
        return fail(SOT_ERR_MEMORY, "the weights need 1000 bytes, 999 are free");
    }
    for (uint64_t i = 1; i <= UPLOAD_PARTS; i++) {
        if (progress(UPLOAD_BYTES / UPLOAD_PARTS * i, UPLOAD_BYTES, user) != 0) {
            return fail(SOT_ERR_CANCELLED, "the upload was cancelled");
        }
    }
    return soti_cpu_backend()->weights_create(device, shape, weights, NULL, NULL, out);
}

__attribute__((visibility("default"))) const soti_backend *soti_cuda_plugin(uint32_t version)
{
    static soti_backend table;
    table = *soti_cpu_backend();
    table.name = "cuda";
    table.device_open = device_open;
    table.weights_create = weights_create;
    return version == table.version ? &table : NULL;
}
