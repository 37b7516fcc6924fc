/* Prompt templates. An input that begins with { is a file of them; any other is a template and four
 * values, separated by bytes 0xFF. A template that passes its check must be filled to exactly the
 * size that counting its placeholders gives, whatever the values contain. */
#include "base/alloc.h"
#include "fuzz_input.h"
#include "sot/prompts.h"
#include "sot/prompts_load.h"

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
    fuzz_check(n_switches <= 1);
    expected -= n_switches * strlen(role_switch);
    soti_request request = {0};
    fuzz_check_ok(soti_prompt_fill(text, values, &request));
    fuzz_check(request.user.size + request.partial.size == expected);
    fuzz_check(n_switches == 1 || request.partial.size == 0);
    fuzz_check(request.constant <= request.user.size);
    fuzz_check(request.constant == 0 || memcmp(request.user.data, text, request.constant) == 0);
    soti_request_free(&request);
}

static void try_file(const uint8_t *data, size_t size)
{
    static fuzz_file file;
    sot_prompts *prompts;
    const soti_prompt_values values = {
        .request = {"a {point}?", 10}, .outline = {"1. b", 4}, .point = {"1", 1}};
    const char *path = fuzz_file_put(&file, data, size);
    if (soti_prompts_load(path, &prompts) != SOT_OK) {
        fuzz_check(prompts == NULL);
        fuzz_check_text(sot_error_message());
        return;
    }
    check_fill(prompts->skeleton, &values);
    check_fill(prompts->point, &values);
    if (prompts->router != NULL) {
        check_fill(prompts->router, &values);
    }
    soti_free(prompts);
}

static soti_text next_text(fuzz_bytes *input)
{
    fuzz_bytes field = fuzz_next_field(input);
    return (soti_text){(const char *)field.data, field.size};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == '{') {
        try_file(data, size);
        return 0;
    }
    fuzz_bytes input = {data, size};
    soti_text field = next_text(&input);
    char *text = soti_copy_text(field.data, field.size);
    fuzz_check(text != NULL);
    soti_prompt_values values = {.request = next_text(&input),
                                 .outline = next_text(&input),
                                 .point = next_text(&input),
                                 .point_outline = next_text(&input)};
    if (soti_prompt_check(SOTI_PROMPT_POINT, text) == SOT_OK ||
        soti_prompt_check(SOTI_PROMPT_CHAINED_POINT, text) == SOT_OK ||
        soti_prompt_check(SOTI_PROMPT_SKELETON, text) == SOT_OK) {
        check_fill(text, &values);
    }
    soti_free(text);
    return 0;
}
