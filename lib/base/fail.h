/* One error path: a status travels up as the return value, its sentence waits in this thread. */
#ifndef SOTI_BASE_FAIL_H
#define SOTI_BASE_FAIL_H

#include "sot/status.h"

enum { SOTI_FAIL_MESSAGE_BYTES = 1024 };

/* Stores the sentence, as soti_sentence_format makes it of at most 1,023 bytes. Returns status. */
sot_status soti_fail(sot_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same with a prefix put before the sentence that is stored already:
 * soti_fail_in(status, "%s: ", path). */
sot_status soti_fail_in(sot_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A checker that reads one file at a time must be told that these return the status they are given;
 * it would follow every failure into the code after it. */
#ifdef __clang_analyzer__
static inline sot_status soti_same_status(sot_status status, sot_status returned)
{
    (void)returned;
    return status;
}
#define soti_fail(status, ...)    soti_same_status(status, soti_fail(status, __VA_ARGS__))
#define soti_fail_in(status, ...) soti_same_status(status, soti_fail_in(status, __VA_ARGS__))
#endif

const char *soti_fail_message(void);
void soti_fail_clear(void);

/* Copies the sentence out and puts it back: around code of the host, whose own calls into the
 * library must not replace the sentence of the call that is under way. */
void soti_fail_save(char out[SOTI_FAIL_MESSAGE_BYTES]);
void soti_fail_restore(const char saved[SOTI_FAIL_MESSAGE_BYTES]);

#define RETURN_IF_ERROR(call)                                                                      \
    do {                                                                                           \
        sot_status status_of_call = (call);                                                        \
        if (status_of_call != SOT_OK) {                                                            \
            return status_of_call;                                                                 \
        }                                                                                          \
    } while (0)

#endif
