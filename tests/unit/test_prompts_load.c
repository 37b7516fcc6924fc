/* Prompt templates from JSON files: what is taken, what is refused and in which words, and that no
 * allocation's failure leaves anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sot/sot.h"
#include "sot/wordings.h"

static char path[] = "/tmp/sot-prompts-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int file = mkstemp(path);
    return file < 0 || close(file) != 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_bytes(const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* With " instead of ', which reads better here. */
static void write_json(const char *json)
{
    char bytes[4096];
    size_t size = strlen(json);
    assert_true(size < sizeof bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = json[i] == '\'' ? '"' : json[i];
    }
    write_bytes(bytes, size);
}

static void refuse(const char *sentence)
{
    char expected[512];
    sot_prompts *prompts = (sot_prompts *)path;
    assert_int_equal(sot_prompts_load(path, &prompts), SOT_ERR_FORMAT);
    assert_null(prompts);
    snprintf(expected, sizeof expected, "%s: %s", path, sentence);
    assert_string_equal(sot_error_message(), expected);
}

#define SKELETON "'outline_prompt': 'List {request}[ROLESWITCHING assistant:] 1.'"
#define POINT    "'point_prompt': 'On {request}{outline}, {point}. {point_outline}'"
#define CHAINED  "'chained': true"

static void load_takes_every_member(void **state)
{
    (void)state;
    sot_prompts *prompts = NULL;
    write_json("{" SKELETON ", 'note': [1, {'any': null}], " POINT "}");
    assert_int_equal(sot_prompts_load(path, &prompts), SOT_OK);
    assert_int_equal(prompts->struct_size, sizeof *prompts);
    assert_int_equal(prompts->flags, 0);
    assert_string_equal(prompts->skeleton, "List {request}[ROLESWITCHING assistant:] 1.");
    assert_string_equal(prompts->point, "On {request}{outline}, {point}. {point_outline}");
    assert_null(prompts->router);
    sot_prompts_free(prompts);
    write_json("{" SKELETON ", 'point_prompt': '{point}: {point_outline}', " CHAINED
               ", 'router_prompt': 'A or B? {request}\\n'}");
    assert_int_equal(sot_prompts_load(path, &prompts), SOT_OK);
    assert_int_equal(prompts->flags, SOT_PROMPTS_CHAINED);
    assert_string_equal(prompts->point, "{point}: {point_outline}");
    assert_string_equal(prompts->router, "A or B? {request}\n");
    sot_prompts_free(prompts);
    sot_prompts_free(NULL);
}

static void load_published_files_are_the_wordings(void **state)
{
    (void)state;
    static const char *const files[][2] = {{"two-shot", "prompts_opensource.json"},
                                           {"zero-shot", "prompts_gpt4.json"}};
    const char *shared = getenv("SOT_SHARED_DIR");
    for (size_t i = 0; i < 2; i++) {
        char name[4096];
        sot_prompts *prompts = NULL;
        snprintf(name, sizeof name, "%s/data/%s", shared ? shared : SOT_SOURCE_DIR "/../shared",
                 files[i][1]);
        if (access(name, R_OK) != 0) {
            print_message("SKIPPED: %s is not there; set SOT_SHARED_DIR\n", name);
            skip();
        }
        assert_int_equal(sot_prompts_load(name, &prompts), SOT_OK);
        assert_string_equal(prompts->skeleton, soti_wording_find(files[i][0])->skeleton);
        assert_string_equal(prompts->point, soti_wording_find(files[i][0])->point);
        sot_prompts_free(prompts);
    }
}

static void load_faults_name_file_member_and_placeholder(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{" POINT "}", "outline_prompt is missing"},
        {"{" SKELETON "}", "point_prompt is missing"},
        {"{" SKELETON ", 'point_prompt': null}", "point_prompt is missing"},
        {"{'outline_prompt': 3, " POINT "}", "outline_prompt is an integer, expected a string"},
        {"{" SKELETON ", " POINT ", 'router_prompt': ['{request}']}",
         "router_prompt is an array, expected a string"},
        {"{" SKELETON ", " POINT ", 'chained': 1}",
         "chained is an integer, expected true or false"},
        {"{'outline_prompt': 'List', " POINT "}",
         "outline_prompt: skeleton template: {request} is missing"},
        {"{'outline_prompt': '{request}{outline}', " POINT "}",
         "outline_prompt: skeleton template: {outline} has no meaning here"},
        {"{" SKELETON ", 'point_prompt': '{request}{outline}{point}'}",
         "point_prompt: point template: {point_outline} is missing"},
        {"{" SKELETON ", 'point_prompt': '{point_outline}', " CHAINED "}",
         "point_prompt: chained point template: {point} is missing"},
        {"{" SKELETON ", " POINT ", " CHAINED "}",
         "point_prompt: chained point template: {request} has no meaning here"},
        {"{" SKELETON ", " POINT ", 'router_prompt': 'Which?'}",
         "router_prompt: router template: {request} is missing"},
        {"{'outline_prompt': '{request}[ROLESWITCHING user:]', " POINT "}",
         "outline_prompt: skeleton template, byte 9: the role can be switched to the assistant "
         "only, by \"[ROLESWITCHING assistant:]\""},
        {"[]", "expected a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_json(cases[i][0]);
        refuse(cases[i][1]);
    }
    sot_prompts *prompts = NULL;
    write_json("{" SKELETON ", " SKELETON ", " POINT "}");
    assert_int_equal(sot_prompts_load(path, &prompts), SOT_ERR_FORMAT);
    assert_non_null(strstr(sot_error_message(), "\"outline_prompt\" is there twice"));
}

/* What no parser should stumble over; in which words it is refused is jansson's. */
static void load_hostile_bytes_are_refused(void **state)
{
    (void)state;
    static char deep[100000];
    memset(deep, '[', sizeof deep);
    static const char nul[] = "{\"outline_prompt\": \"{request}\\u0000\", \"point_prompt\": \"\"}";
    static const char invalid[] = "{\"outline_prompt\": \"{request}\xff\"}";
    static const char surrogate[] = "{\"outline_prompt\": \"{request}\\ud800\"}";
    static const char raw_nul[] = "{\"outline_prompt\": \"{request}\0\"}";
    static const char cut[] = "{\"outline_prompt\": \"{request}";
    static const char trailing[] = "{} {}";
    const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {deep, sizeof deep},
        {nul, sizeof nul - 1},
        {invalid, sizeof invalid - 1},
        {surrogate, sizeof surrogate - 1},
        {raw_nul, sizeof raw_nul - 1},
        {cut, sizeof cut - 1},
        {trailing, sizeof trailing - 1},
        {"", 0},
        {"\xef\xbb\xbf{}", 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sot_prompts *prompts = NULL;
        write_bytes(cases[i].bytes, cases[i].size);
        assert_int_equal(sot_prompts_load(path, &prompts), SOT_ERR_FORMAT);
        assert_null(prompts);
        assert_non_null(strstr(sot_error_message(), path));
    }
}

static void load_of_no_file_says_which(void **state)
{
    (void)state;
    sot_prompts *prompts = (sot_prompts *)path;
    assert_int_equal(sot_prompts_load("/no/such/prompts.json", &prompts), SOT_ERR_IO);
    assert_null(prompts);
    assert_non_null(strstr(sot_error_message(), "/no/such/prompts.json"));
    assert_int_equal(sot_prompts_load("/tmp", &prompts), SOT_ERR_IO);
    assert_int_equal(sot_prompts_load(NULL, &prompts), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_prompts_load(path, NULL), SOT_ERR_ARGUMENT);
}

static void load_too_large_is_not_read(void **state)
{
    (void)state;
    assert_int_equal(truncate(path, 100000001), 0);
    refuse("has 100000001 bytes; at most 100000000 are allowed");
}

static void load_allocation_failure_is_reported(void **state)
{
    (void)state;
    write_json("{" SKELETON ", " POINT ", 'router_prompt': '{request}'}");
    long n_failed = 0;
    for (;; n_failed++) {
        sot_prompts *prompts = NULL;
        soti_alloc_fail_at(n_failed);
        sot_status status = sot_prompts_load(path, &prompts);
        bool struck = soti_alloc_fail_at(-1) < 0;
        assert_int_equal(prompts != NULL, status == SOT_OK);
        sot_prompts_free(prompts);
        if (!struck) {
            assert_int_equal(status, SOT_OK);
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
    }
    assert_true(n_failed >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_takes_every_member),
        cmocka_unit_test(load_published_files_are_the_wordings),
        cmocka_unit_test(load_faults_name_file_member_and_placeholder),
        cmocka_unit_test(load_hostile_bytes_are_refused),
        cmocka_unit_test(load_of_no_file_says_which),
        cmocka_unit_test(load_too_large_is_not_read),
        cmocka_unit_test(load_allocation_failure_is_reported),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
