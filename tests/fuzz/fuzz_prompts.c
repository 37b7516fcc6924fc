/* libFuzzer target: a template and four values, separated by the byte 0xFF. A template that passes
 * its check must be filled to exactly the size that counting its placeholders gives, whatever the
 * values contain. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sot/prompts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

static soti_text next_field(const uint8_t **data, size_t *size)
{
    const uint8_t *end = memchr(*data, 0xFF, *size);
    size_t n = end ? (size_t)(end - *data) : *size;
    soti_text field = {(const char *)*data, n};
    *data += end ? n + 1 : n;
    *size -= end ? n + 1 : n;
    return field;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    while ((text = strstr(text, part)) != NULL) {
        text += strlen(part);
        n++;
    }
    return n;
}

static void check_fill(const char *text, const soti_prompt_values *values)
{
    static const char *const names[] = {"{request}", "{outline}", "{point}", "{point_outline}"};
    const soti_text *filled[] = {&values->request, &values->outline, &values->point,
                                 &values->point_outline};
    size_t expected = strlen(text);
    for (size_t i = 0; i < 4; i++) {
        size_t n = count(text, names[i]);
        expected = expected - n * strlen(names[i]) + n * filled[i]->size;
    }
    static const char role_switch[] = "[ROLESWITCHING assistant:]";
    size_t n_switches = count(text, role_switch);
    check(n_switches <= 1);
    expected -= n_switches * strlen(role_switch);
    soti_request request = {0};
    check(soti_prompt_fill(text, values, &request) == SOT_OK);
    check(request.user.size + request.partial.size == expected);
    check(n_switches == 1 || request.partial.size == 0);
    check(request.constant <= request.user.size);
    check(request.constant == 0 || memcmp(request.user.data, text, request.constant) == 0);
    soti_request_free(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t nothing = 0xFF;
    data = size ? data : &nothing;
    soti_text field = next_field(&data, &size);
    char *text = soti_copy_text(field.data, field.size);
    check(text != NULL);
    soti_prompt_values values = {.request = next_field(&data, &size),
                                 .outline = next_field(&data, &size),
                                 .point = next_field(&data, &size),
                                 .point_outline = next_field(&data, &size)};
    if (soti_prompt_check(SOTI_PROMPT_POINT, text) == SOT_OK ||
        soti_prompt_check(SOTI_PROMPT_CHAINED_POINT, text) == SOT_OK ||
        soti_prompt_check(SOTI_PROMPT_SKELETON, text) == SOT_OK) {
        check_fill(text, &values);
    }
    soti_free(text);
    return 0;
}
