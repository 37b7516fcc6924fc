/* See sentence.h. */
#include "sentence.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

/* Unicode's control characters (general category Cc), its line ends, and what marks, embeds,
 * overrides or isolates a direction of writing (UAX 9). */
static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code <= 0x9F) || code == 0x061C ||
           (code >= 0x200E && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
           (code >= 0x2066 && code <= 0x2069);
}

void soti_sentence_format(char *out, size_t room, const char *format, va_list arguments)
{
    int n_wanted = vsnprintf(out, room, format, arguments);
    size_t size = strlen(out);
    if (n_wanted > 0 && (size_t)n_wanted >= room) {
        size -= soti_utf8_incomplete_tail(out, size);
    }
    size_t n = 0;
    for (size_t i = 0; i < size;) {
        uint32_t code;
        bool valid;
        size_t n_bytes = soti_utf8_decode(out + i, size - i, &code, &valid);
        if (valid && !is_control(code)) {
            memmove(out + n, out + i, n_bytes);
            n += n_bytes;
        } else {
            out[n++] = valid && strchr("\t\n\r", (int)code) != NULL ? ' ' : '?';
        }
        i += n_bytes;
    }
    out[n] = '\0';
}
