/* See utf8.h. */
#include "utf8.h"

/* Length that a lead byte announces and the allowed range of the second byte; 0: not a lead. */
static size_t lead_length(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80) {
        return 1;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        return 2;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        *low = lead == 0xE0 ? 0xA0 : 0x80;
        *high = lead == 0xED ? 0x9F : 0xBF;
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *low = lead == 0xF0 ? 0x90 : 0x80;
        *high = lead == 0xF4 ? 0x8F : 0xBF;
        return 4;
    }
    return 0;
}

/* Bytes of the well-formed beginning, at most the announced length. */
static size_t match_sequence(const unsigned char *bytes, size_t n, size_t *announced)
{
    unsigned char low;
    unsigned char high;
    *announced = lead_length(bytes[0], &low, &high);
    size_t matched = *announced > 0 ? 1 : 0;
    while (matched > 0 && matched < *announced && matched < n && bytes[matched] >= low &&
           bytes[matched] <= high) {
        matched++;
        low = 0x80;
        high = 0xBF;
    }
    return matched;
}

size_t soti_utf8_decode(const char *text, size_t n, uint32_t *code, bool *valid)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t announced;
    size_t matched = match_sequence(bytes, n, &announced);
    *valid = announced > 0 && matched == announced;
    if (!*valid) {
        *code = 0xFFFD;
        return matched ? matched : 1;
    }
    static const unsigned char lead_mask[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    *code = bytes[0] & lead_mask[announced];
    for (size_t i = 1; i < announced; i++) {
        *code = (*code << 6) | (bytes[i] & 0x3Fu);
    }
    return announced;
}

size_t soti_utf8_encode(uint32_t code, char out[4])
{
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
        code = 0xFFFD;
    }
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead_bits[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)(lead_bits[n] | code);
    return n;
}

size_t soti_utf8_incomplete_tail(const char *text, size_t n)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t tail = 1; tail <= 3 && tail <= n; tail++) {
        if ((bytes[n - tail] & 0xC0) == 0x80) {
            continue;
        }
        size_t announced;
        size_t matched = match_sequence(bytes + n - tail, tail, &announced);
        return matched == tail && announced > tail ? tail : 0;
    }
    return 0;
}

size_t soti_utf8_find_invalid(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint32_t code;
        bool valid;
        size_t step = soti_utf8_decode(text + i, n - i, &code, &valid);
        if (!valid) {
            return i;
        }
        i += step;
    }
    return n;
}
