/* UTF-8 as the Unicode Standard defines it (chapter 3, table 3-7): no overlong forms, no
 * surrogates, nothing above U+10FFFF. Ill-formed bytes are read as U+FFFD, one for each maximal
 * subpart, as Python's bytes.decode(errors="replace") does. */
#ifndef SOTI_BASE_UTF8_H
#define SOTI_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads one character from text[0..n), n > 0. Returns the bytes it takes, at least 1; *code is the
 * code point, U+FFFD for an ill-formed subpart; *valid says which. */
size_t soti_utf8_decode(const char *text, size_t n, uint32_t *code, bool *valid);

/* Writes code (U+FFFD where it is no scalar value) and returns its bytes, 1 to 4. */
size_t soti_utf8_encode(uint32_t code, char out[4]);

/* How many bytes at the end of text[0..n) are a character cut short that more bytes could complete:
 * 0 to 3. */
size_t soti_utf8_incomplete_tail(const char *text, size_t n);

/* The first ill-formed byte's offset, or n if there is none. */
size_t soti_utf8_find_invalid(const char *text, size_t n);

#endif
