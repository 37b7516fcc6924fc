/* See fail.h. */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

#undef soti_fail /* fail.h's words to checkers are about these very functions */
#undef soti_fail_in

static _Thread_local char message[SOTI_FAIL_MESSAGE_BYTES];

/* Sentences are UTF-8, whatever bytes a path has and wherever a parser cuts what it quotes. */
static void replace_invalid(char *text)
{
    size_t size = strlen(text);
    size_t i = 0;
    while ((i += soti_utf8_find_invalid(text + i, size - i)) < size) {
        text[i] = '?';
    }
}

sot_status soti_fail(sot_status status, const char *format, ...)
{
    char text[SOTI_FAIL_MESSAGE_BYTES]; /* the arguments may point into message */
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n >= (int)sizeof text) { /* cut, perhaps within a character */
        size_t n_left = sizeof text - 1;
        text[n_left - soti_utf8_incomplete_tail(text, n_left)] = '\0';
    }
    replace_invalid(text);
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
