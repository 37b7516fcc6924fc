/* One error path: a status travels up as the return value, its sentence waits in this thread. */
#ifndef SOTI_BASE_FAIL_H
#define SOTI_BASE_FAIL_H

#include "sot/status.h"

/* Stores the sentence (cut at 1,023 bytes, at a character's border) and returns status. */
sot_status soti_fail(sot_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same with a prefix put before the sentence that is stored already:
 * soti_fail_in(status, "%s: ", path). */
sot_status soti_fail_in(sot_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

const char *soti_fail_message(void);
void soti_fail_clear(void);

#define RETURN_IF_ERROR(call)                                                                      \
    do {                                                                                           \
        sot_status status_of_call = (call);                                                        \
        if (status_of_call != SOT_OK) {                                                            \
            return status_of_call;                                                                 \
        }                                                                                          \
    } while (0)

#endif
