/* The library's own prompt templates: the paper's against the published files, and what the others
 * promise about the place of what varies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sot/prompts.h"
#include "sot/wordings.h"

static const char role[] = "[ROLESWITCHING assistant:]";

static void assert_published(const char *name, const char *file)
{
    const char *shared = getenv("SOT_SHARED_DIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/data/%s", shared ? shared : SOT_SOURCE_DIR "/../shared", file);
    json_error_t error;
    json_t *prompts = json_load_file(path, 0, &error);
    if (prompts == NULL) {
        print_message("SKIPPED: %s: %s (set SOT_SHARED_DIR)\n", path, error.text);
        skip();
    }
    const soti_wording *wording = soti_wording_find(name);
    assert_non_null(wording);
    assert_string_equal(wording->skeleton,
                        json_string_value(json_object_get(prompts, "outline_prompt")));
    assert_string_equal(wording->point,
                        json_string_value(json_object_get(prompts, "point_prompt")));
    assert_int_equal(wording->flags, 0);
    json_decref(prompts);
}

static void wordings_two_shot_is_the_published_one(void **state)
{
    (void)state;
    assert_published("two-shot", "prompts_opensource.json");
}

static void wordings_zero_shot_is_the_published_one(void **state)
{
    (void)state;
    assert_published("zero-shot", "prompts_gpt4.json");
}

static void wordings_default_is_two_shot(void **state)
{
    (void)state;
    assert_ptr_equal(soti_wording_find(NULL), soti_wording_find("two-shot"));
    assert_null(soti_wording_find(""));
    assert_null(soti_wording_find("Compact"));
}

static void wordings_listed_are_found_and_well_formed(void **state)
{
    (void)state;
    char names[sizeof "two-shot, zero-shot, compact, chained"];
    assert_string_equal(soti_wording_names, "two-shot, zero-shot, compact, chained");
    strcpy(names, soti_wording_names);
    for (char *name = strtok(names, ", "); name != NULL; name = strtok(NULL, ", ")) {
        const soti_wording *wording = soti_wording_find(name);
        assert_non_null(wording);
        assert_string_equal(wording->name, name);
        bool is_chained = wording->flags == SOT_PROMPTS_CHAINED;
        assert_int_equal(is_chained, strcmp(name, "chained") == 0);
        assert_int_equal(soti_prompt_check(SOTI_PROMPT_SKELETON, wording->skeleton), SOT_OK);
        assert_int_equal(
            soti_prompt_check(is_chained ? SOTI_PROMPT_CHAINED_POINT : SOTI_PROMPT_POINT,
                              wording->point),
            SOT_OK);
    }
}

/* Behind the question, and behind the outline, nothing is left but the partial answer. */
static void wordings_of_the_library_end_with_what_varies(void **state)
{
    (void)state;
    static const char *const names[] = {"compact", "chained"};
    char end[128];
    for (size_t i = 0; i < 2; i++) {
        const soti_wording *wording = soti_wording_find(names[i]);
        snprintf(end, sizeof end, "\n{request}%s 1.", role);
        assert_string_equal(strstr(wording->skeleton, "{") - 1, end);
        snprintf(end, sizeof end, "%s {point}. {point_outline}", role);
        assert_string_equal(strstr(wording->point, role), end);
    }
    assert_string_equal(strstr(soti_wording_find("compact")->point, "{request}"),
                        "{request}\nSkeleton:\n{outline}[ROLESWITCHING assistant:] {point}. "
                        "{point_outline}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wordings_two_shot_is_the_published_one),
        cmocka_unit_test(wordings_zero_shot_is_the_published_one),
        cmocka_unit_test(wordings_default_is_two_shot),
        cmocka_unit_test(wordings_listed_are_found_and_well_formed),
        cmocka_unit_test(wordings_of_the_library_end_with_what_varies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
