/* See fail.h. */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sentence.h"

#undef soti_fail /* fail.h's words to checkers are about these very functions */
#undef soti_fail_in

static _Thread_local char message[SOTI_FAIL_MESSAGE_BYTES];

sot_status soti_fail(sot_status status, const char *format, ...)
{
    char text[SOTI_FAIL_MESSAGE_BYTES]; /* the arguments may point into message */
    va_list arguments;
    va_start(arguments, format);
    soti_sentence_format(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(message, text, sizeof text);
    return status;
}

sot_status soti_fail_in(sot_status status, const char *format, ...)
{
    char text[SOTI_FAIL_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return soti_fail(status, "%.*s%s", n, text, message);
}

const char *soti_fail_message(void)
{
    return message;
}

void soti_fail_clear(void)
{
    message[0] = '\0';
}

void soti_fail_save(char out[SOTI_FAIL_MESSAGE_BYTES])
{
    memcpy(out, message, sizeof message);
}

void soti_fail_restore(const char saved[SOTI_FAIL_MESSAGE_BYTES])
{
    memcpy(message, saved, sizeof message);
}
