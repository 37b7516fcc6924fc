/* See log.h. */
#include "log.h"

#include <stdarg.h>

#include "sentence.h"

void soti_log_line(const soti_log *log, int32_t level, const char *format, ...)
{
    if (log->fn == NULL) {
        return;
    }
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    soti_sentence_format(line, sizeof line, format, arguments);
    va_end(arguments);
    log->fn(level, line, log->user);
}
