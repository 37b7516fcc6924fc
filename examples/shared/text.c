/* Growing byte strings and UTF-8. A program may end when memory is short, so nothing here fails. */
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *program_name = "sot";

void *grow(void *block, size_t size)
{
    void *grown = realloc(block, size);
    if (!grown) {
        fprintf(stderr, "%s: out of memory\n", program_name);
        exit(1);
    }
    return grown;
}

static void reserve(struct text *text, size_t extra)
{
    if (extra < text->capacity - text->size)
        return;
    size_t capacity = text->capacity * 2 + 64;
    if (capacity <= text->size + extra)
        capacity = text->size + extra + 1;
    text->bytes = grow(text->bytes, capacity);
    text->capacity = capacity;
}

void text_append(struct text *text, const char *bytes, size_t size)
{
    reserve(text, size);
    if (size)
        memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
}

void text_string(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void text_format_list(struct text *text, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    if (size >= 0) {
        reserve(text, (size_t)size);
        vsnprintf(text->bytes + text->size, (size_t)size + 1, format, again);
        text->size += (size_t)size;
    }
    va_end(again);
    text_append(text, "", 0); /* bytes are there in any case */
}

void text_format(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_format_list(text, format, arguments);
    va_end(arguments);
}

void text_clear(struct text *text)
{
    text->size = 0;
    if (text->bytes)
        text->bytes[0] = '\0';
}

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

uint32_t utf8_next(const char *bytes, size_t size, size_t *used)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *in = (const unsigned char *)bytes;
    size_t length = in[0] < 0x80 ? 1 : in[0] < 0xc2 ? 0 : in[0] < 0xe0 ? 2 : in[0] < 0xf0 ? 3 : 4;
    *used = 1;
    if (length == 1)
        return in[0];
    if (length == 0 || in[0] > 0xf4 || length > size)
        return REPLACEMENT;
    uint32_t code = in[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((in[i] & 0xc0) != 0x80)
            return REPLACEMENT;
        code = code << 6 | (in[i] & 0x3fu);
    }
    if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return REPLACEMENT;
    *used = length;
    return code;
}

static void append_replacement(struct text *text)
{
    text_append(text, "\xef\xbf\xbd", 3);
}

void text_valid(struct text *text, const char *bytes, size_t size)
{
    size_t used;
    for (size_t i = 0; i < size; i += used) {
        if (utf8_next(bytes + i, size - i, &used) == REPLACEMENT)
            append_replacement(text);
        else
            text_append(text, bytes + i, used);
    }
}

void text_clean(struct text *text, const char *bytes, size_t size)
{
    size_t used;
    for (size_t i = 0; i < size; i += used) {
        uint32_t code = utf8_next(bytes + i, size - i, &used);
        if (code == '\r' && i + 1 < size && bytes[i + 1] == '\n')
            continue;
        int is_control =
            (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0);
        if (is_control || code == REPLACEMENT)
            append_replacement(text);
        else
            text_append(text, bytes + i, used);
    }
}

void complain(const char *format, ...)
{
    struct text sentence = {0}, line = {0};
    va_list arguments;
    va_start(arguments, format);
    text_format_list(&sentence, format, arguments);
    va_end(arguments);
    text_format(&line, "%s: ", program_name);
    text_clean(&line, sentence.bytes, sentence.size);
    text_string(&line, "\n");
    fputs(line.bytes, stderr);
    text_free(&line);
    text_free(&sentence);
}

static int is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

const char *trimmed(const char *bytes, size_t size, size_t *trimmed_size)
{
    while (size && is_space(bytes[0])) {
        bytes++;
        size--;
    }
    while (size && is_space(bytes[size - 1]))
        size--;
    *trimmed_size = size;
    return bytes;
}
