/* Where a model computes: the device that sot_model_params.device names, opened, with the weights
 * on it. "auto" takes the first CUDA device that takes the weights, otherwise the CPU.
 *
 * Progress of loading, for the CPU: the weights as they are read or made. For a CUDA device that
 * is the first half; the second is their way to the device, in the same unit, so that every weight
 * counts twice in total. Where "auto" gives such a device up, the second half is done at once. */
#ifndef SOTI_MODEL_DEVICES_H
#define SOTI_MODEL_DEVICES_H

#include <stdbool.h>

#include "backend/backend.h"

typedef struct soti_placement {
    const soti_backend *backend;
    soti_device *device;
    soti_device_weights *weights;
    char name[24]; /* "cpu", "cuda:0" */

    /* Its own. */
    uint32_t i_device;
    bool is_auto; /* another device may take this one's place */
    soti_host host;
    sot_progress_fn progress; /* the host's, NULL: none */
    void *progress_user;
    bool has_halves;
    uint64_t half_bytes;  /* total of the first half */
    uint64_t shown_bytes; /* done, as the host heard it last */
} soti_placement;

/* Opens the device of that name (NULL: "auto"), so that one that is not there is known before
 * anything is read. Returns ARGUMENT (no such name), DEVICE (plugin, driver or device is missing),
 * MEMORY; there is nothing to close then. */
sot_status soti_placement_open(const char *name, const soti_log *log, sot_progress_fn progress,
                               void *progress_user, soti_placement *out);

/* Progress of the first half, to be passed on with the placement as user. */
int32_t soti_placement_progress(uint64_t done_bytes, uint64_t total_bytes, void *user);

/* Puts the weights there. Returns as weights_create; with "auto", as the CPU's weights_create, or
 * CANCELLED. */
sot_status soti_placement_fill(soti_placement *placement, const soti_shape *shape,
                               const soti_weights *weights);

void soti_placement_close(soti_placement *placement); /* zeroed: nothing */

#endif
