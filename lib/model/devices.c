/* See devices.h. */
#include "devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/plugin.h"
#include "base/fail.h"

enum { DEVICE_DIGITS_MAX = 5 };

/* A backend's sentence, stored in the copy of lib/base/ that the host reads. */
static void store_sentence(sot_status status, const char *sentence)
{
    soti_fail(status, "%s", sentence);
}

static sot_status open_cpu(soti_placement *placement)
{
    placement->backend = soti_cpu_backend();
    placement->is_auto = false;
    strcpy(placement->name, "cpu");
    return placement->backend->device_open(0, &placement->host, &placement->device);
}

static sot_status open_cuda(soti_placement *placement, uint32_t i_device)
{
    placement->i_device = i_device;
    snprintf(placement->name, sizeof placement->name, "cuda:%u", i_device);
    if (placement->backend == NULL) {
        RETURN_IF_ERROR(soti_plugin_open(&placement->backend));
    }
    return placement->backend->device_open(i_device, &placement->host, &placement->device);
}

/* The CPU instead, for the reason that is stored as this thread's sentence. What failed has then
 * not failed: the sentence from before is put back. */
static sot_status fall_back(soti_placement *placement, const char *before)
{
    soti_log_line(&placement->host.log, SOT_LOG_INFO, "device \"auto\": not %s but the CPU: %s",
                  placement->name, soti_fail_message());
    soti_fail_restore(before);
    return open_cpu(placement);
}

/* "cuda:" and a number. */
static bool parse_number(const char *text, uint32_t *out)
{
    size_t n_digits = strspn(text, "0123456789");
    if (n_digits == 0 || n_digits > DEVICE_DIGITS_MAX || text[n_digits] != '\0') {
        return false;
    }
    *out = (uint32_t)strtoul(text, NULL, 10);
    return true;
}

static sot_status open_named(soti_placement *placement, const char *name)
{
    uint32_t i_device = 0;
    if (strcmp(name, "cpu") == 0) {
        return open_cpu(placement);
    }
    if (strcmp(name, "auto") == 0) {
        char before[SOTI_FAIL_MESSAGE_BYTES];
        soti_fail_save(before);
        placement->is_auto = true;
        sot_status status = open_cuda(placement, 0);
        return status == SOT_OK ? SOT_OK : fall_back(placement, before);
    }
    if (strcmp(name, "cuda") != 0 &&
        (strncmp(name, "cuda:", 5) != 0 || !parse_number(name + 5, &i_device))) {
        return soti_fail(SOT_ERR_ARGUMENT,
                         "device \"%s\" is unknown; \"auto\", \"cpu\", \"cuda\" and \"cuda:N\" are "
                         "known",
                         name);
    }
    sot_status status = open_cuda(placement, i_device);
    return status == SOT_OK ? SOT_OK : soti_fail_in(status, "device \"%s\": ", name);
}

sot_status soti_placement_open(const char *name, const soti_log *log, sot_progress_fn progress,
                               void *progress_user, soti_placement *out)
{
    *out = (soti_placement){.host = {.fail = store_sentence, .log = *log},
                            .progress = progress,
                            .progress_user = progress_user};
    sot_status status = open_named(out, name != NULL ? name : "auto");
    if (status != SOT_OK) {
        *out = (soti_placement){0};
        return status;
    }
    out->has_halves = out->backend != soti_cpu_backend();
    return SOT_OK;
}

static int32_t show(soti_placement *placement, uint64_t done_bytes, uint64_t total_bytes)
{
    placement->shown_bytes = done_bytes;
    return placement->progress != NULL
               ? placement->progress(done_bytes, total_bytes, placement->progress_user)
               : 0;
}

int32_t soti_placement_progress(uint64_t done_bytes, uint64_t total_bytes, void *user)
{
    soti_placement *placement = user;
    placement->half_bytes = total_bytes;
    return show(placement, done_bytes, placement->has_halves ? 2 * total_bytes : total_bytes);
}

/* A backend moves padded rows, so its bytes are others than the first half's; a second device
 * begins anew, which the host need not see. */
static int32_t show_second_half(uint64_t done_bytes, uint64_t total_bytes, void *user)
{
    soti_placement *placement = user;
    uint64_t half = placement->half_bytes;
    uint64_t done = half;
    if (done_bytes < total_bytes) {
        done = (uint64_t)((double)half * ((double)done_bytes / (double)total_bytes));
    }
    done += half;
    return show(placement, done > placement->shown_bytes ? done : placement->shown_bytes, 2 * half);
}

static void close_device(soti_placement *placement)
{
    if (placement->device != NULL) {
        placement->backend->device_close(placement->device);
        placement->device = NULL;
    }
}

static sot_status create_weights(soti_placement *placement, const soti_shape *shape,
                                 const soti_weights *weights)
{
    sot_progress_fn progress = placement->has_halves ? show_second_half : NULL;
    return placement->backend->weights_create(placement->device, shape, weights, progress,
                                              placement, &placement->weights);
}

/* The next CUDA device, or the CPU when there is none. */
static sot_status open_next(soti_placement *placement, const char *before)
{
    char reason[SOTI_FAIL_MESSAGE_BYTES];
    char refused[sizeof placement->name];
    soti_fail_save(reason);
    memcpy(refused, placement->name, sizeof refused);
    close_device(placement);
    if (open_cuda(placement, placement->i_device + 1) == SOT_OK) {
        soti_log_line(&placement->host.log, SOT_LOG_INFO, "device \"auto\": not %s but %s: %s",
                      refused, placement->name, reason);
        soti_fail_restore(before);
        return SOT_OK;
    }
    memcpy(placement->name, refused, sizeof refused);
    soti_fail_restore(reason);
    return fall_back(placement, before);
}

sot_status soti_placement_fill(soti_placement *placement, const soti_shape *shape,
                               const soti_weights *weights)
{
    char before[SOTI_FAIL_MESSAGE_BYTES];
    soti_fail_save(before);
    sot_status status = create_weights(placement, shape, weights);
    while (placement->is_auto && status != SOT_OK && status != SOT_ERR_CANCELLED) {
        RETURN_IF_ERROR(open_next(placement, before));
        status = create_weights(placement, shape, weights);
    }
    RETURN_IF_ERROR(status);
    uint64_t all_bytes = 2 * placement->half_bytes;
    if (placement->has_halves && placement->shown_bytes < all_bytes &&
        show(placement, all_bytes, all_bytes) != 0) {
        return soti_fail(SOT_ERR_CANCELLED, "loading was cancelled behind its last byte");
    }
    placement->progress = NULL;
    return SOT_OK;
}

void soti_placement_close(soti_placement *placement)
{
    if (placement->weights != NULL) {
        placement->backend->weights_free(placement->weights);
    }
    close_device(placement);
    *placement = (soti_placement){0};
}
