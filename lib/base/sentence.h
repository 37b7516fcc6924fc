/* One line of words for people: what error messages and log lines have in common. */
#ifndef SOTI_BASE_SENTENCE_H
#define SOTI_BASE_SENTENCE_H

#include <stdarg.h>
#include <stddef.h>

/* Formats into out[0..room), room > 0. What does not fit is cut off between two characters. The
 * line may quote any file: bytes that are not UTF-8 and characters that drive a terminal or change
 * the order of others become '?', white space within the line a space. */
void soti_sentence_format(char *out, size_t room, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

#endif
