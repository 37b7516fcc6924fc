/* The host's log callback, carried by value. */
#ifndef SOTI_BASE_LOG_H
#define SOTI_BASE_LOG_H

#include <stdint.h>

#include "sot/sot.h"

typedef struct soti_log {
    sot_log_fn fn; /* NULL: silence */
    void *user;
} soti_log;

/* Hands one line (as soti_sentence_format makes it, at most 1,023 bytes) to the host. */
void soti_log_line(const soti_log *log, int32_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
