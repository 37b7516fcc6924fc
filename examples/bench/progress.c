/* See progress.h. */
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shared/interrupt.h"
#include "../shared/machine.h"

enum { LINE_MOST = 79, PAUSE_NS = 100 * 1000 * 1000 };

static int is_terminal(void)
{
    const char *terminal = getenv("TERM");
    return isatty(STDERR_FILENO) && terminal && terminal[0] && strcmp(terminal, "dumb") != 0;
}

void progress_say(const char *format, ...)
{
    char line[LINE_MOST + 1];
    if (!is_terminal())
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
}

int32_t progress_bytes(uint64_t done_bytes, uint64_t total_bytes, void *user)
{
    static uint64_t said_ns;
    uint64_t now = time_ns();
    if (now - said_ns >= PAUSE_NS) {
        said_ns = now;
        progress_say("%s: %.1f of %.1f GB", (const char *)user, (double)done_bytes / 1e9,
                     (double)total_bytes / 1e9);
    }
    return interrupt_seen();
}

void progress_clear(void)
{
    progress_say("%s", "");
}
