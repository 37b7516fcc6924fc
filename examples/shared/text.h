/* Growing byte strings, UTF-8 read by code points, and the one rule of everything this program
 * prints: what a model or a file name says never drives the terminal. */
#ifndef SOT_SHARED_TEXT_H
#define SOT_SHARED_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Zero is the empty text. bytes is NUL-terminated once anything was appended. */
struct text {
    char *bytes;
    size_t size, capacity;
};

/* In front of what is said on standard error; "sot" unless the program says otherwise. */
extern const char *program_name;

/* realloc that ends the program with a sentence where memory is short. */
void *grow(void *block, size_t size);

void text_append(struct text *text, const char *bytes, size_t size);
void text_string(struct text *text, const char *string);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_format_list(struct text *text, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
void text_clear(struct text *text);
void text_free(struct text *text);

enum { REPLACEMENT = 0xfffd };

/* The code point at bytes, and in *used how many bytes it takes; ill-formed bytes are REPLACEMENT.
 * size must not be 0. */
uint32_t utf8_next(const char *bytes, size_t size, size_t *used);

/* Appends with every ill-formed byte as U+FFFD: what JSON may hold. */
void text_valid(struct text *text, const char *bytes, size_t size);

/* Appends what a terminal may see: also control characters except newline and tab as U+FFFD, and
 * CR LF as LF. */
void text_clean(struct text *text, const char *bytes, size_t size);

/* Prints program_name, ": ", the sentence as text_clean leaves it, and a newline to standard
 * error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The part of bytes without white space (ASCII) at both ends. */
const char *trimmed(const char *bytes, size_t size, size_t *trimmed_size);

#endif
