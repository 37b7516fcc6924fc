/* JSON members with types and ranges. */
#include "model_files.h"

#include "io/json_file.h"

static json_t *root;

static sot_status parse(const char *text)
{
    return soti_json_parse("x.json", text, strlen(text), &root);
}

static void json_members_are_read(void **state)
{
    (void)state;
    uint32_t number = 0;
    float real = 0;
    bool flag = false;
    const char *text = NULL;
    assert_int_equal(parse("{\"n\": 4294967295, \"r\": 2.5, \"i\": 3, \"b\": true, \"t\": \"x\"}"),
                     SOT_OK);
    assert_int_equal(soti_json_get_u32("f", root, "n", true, &number), SOT_OK);
    assert_int_equal(number, UINT32_MAX);
    assert_int_equal(soti_json_get_float("f", root, "r", true, &real), SOT_OK);
    assert_true(real == 2.5f);
    assert_int_equal(soti_json_get_float("f", root, "i", true, &real), SOT_OK);
    assert_true(real == 3.0f);
    assert_int_equal(soti_json_get_bool("f", root, "b", &flag), SOT_OK);
    assert_true(flag);
    assert_int_equal(soti_json_get_text("f", root, "t", true, &text), SOT_OK);
    assert_string_equal(text, "x");
    json_decref(root);
}

static void json_line_of_a_file_is_named(void **state)
{
    (void)state;
    assert_int_equal(soti_json_parse_line("x.jsonl", 7, "{\"a\": 1}", 8, &root), SOT_OK);
    json_decref(root);
    assert_int_equal(soti_json_parse_line("x.jsonl", 7, "{\"a\": x}", 8, &root), SOT_ERR_FORMAT);
    assert_null(root);
    assert_string_equal(soti_fail_message(), "x.jsonl: line 7, column 7: invalid token near 'x'");
    assert_int_equal(soti_json_parse_line("x.jsonl", 7, "[]", 2, &root), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(), "x.jsonl: line 7: expected a JSON object");
}

/* jansson's own words and places for the text alone (2.14). */
static void json_text_that_is_wrong_is_wrong_at_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        {"{", "line 1, column 1: string or '}' expected near end of file"},
        {"{\"a\": 1", "line 1, column 7: '}' expected near end of file"},
        {"{\"a\": \"bc", "line 1, column 9: premature end of input near '\"bc'"},
        {"{} x", "line 1, column 4: end of file expected near 'x'"},
        {"{}}", "line 1, column 3: end of file expected near '}'"},
        {"{}]", "line 1, column 3: end of file expected near ']'"},
        {"{\"a\": [1 2]}", "line 1, column 10: ']' expected near '2'"},
        {"{\"a\": \"]\", 2}", "line 1, column 12: string or '}' expected near '2'"},
        {"\n{\n\"a\": tru}", "line 3, column 8: invalid token near 'tru'"},
        {"{\"a\": \"\\\"xx\\\\\", \"b\": \"\\u12\"}",
         "line 1, column 27: invalid escape near '\"\\u12\"'"},
        {"", "unexpected token near end of file"},
        {"{}, {}", "expected one value, found more"},
        {"5", "expected a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(cases[i].text), SOT_ERR_FORMAT);
        assert_null(root);
        if (strstr(soti_fail_message(), cases[i].words) == NULL) {
            fail_msg("%s: %s", cases[i].text, soti_fail_message());
        }
    }
}

/* Around the sizes at which jansson's buffer grows. */
static void json_tokens_of_every_length_are_whole(void **state)
{
    (void)state;
    static char text[2200];
    for (size_t n = 0; n < 2100; n++) {
        const char *found = NULL;
        size_t at = (size_t)sprintf(text, "{\"t\": \"");
        memset(text + at, 'y', n);
        strcpy(text + at + n, "\"}");
        assert_int_equal(parse(text), SOT_OK);
        assert_int_equal(soti_json_get_text("f", root, "t", true, &found), SOT_OK);
        assert_int_equal(strlen(found), n);
        json_decref(root);
    }
}

static void json_missing_and_null_members_are_the_same(void **state)
{
    (void)state;
    static const char *const keys[] = {"null", "missing"};
    assert_int_equal(parse("{\"null\": null}"), SOT_OK);
    for (size_t i = 0; i < 2; i++) {
        uint32_t number = 7;
        float real = 7;
        bool flag = true;
        const char *text = "default";
        char message[64];
        snprintf(message, sizeof message, "f: %s is missing", keys[i]);
        assert_int_equal(soti_json_get_u32("f", root, keys[i], false, &number), SOT_OK);
        assert_int_equal(soti_json_get_float("f", root, keys[i], false, &real), SOT_OK);
        assert_int_equal(soti_json_get_bool("f", root, keys[i], &flag), SOT_OK);
        assert_int_equal(soti_json_get_text("f", root, keys[i], false, &text), SOT_OK);
        assert_true(number == 7 && real == 7 && flag);
        assert_string_equal(text, "default");
        assert_int_equal(soti_json_get_u32("f", root, keys[i], true, &number), SOT_ERR_FORMAT);
        assert_string_equal(soti_fail_message(), message);
        assert_int_equal(soti_json_get_float("f", root, keys[i], true, &real), SOT_ERR_FORMAT);
        assert_int_equal(soti_json_get_text("f", root, keys[i], true, &text), SOT_ERR_FORMAT);
    }
    json_decref(root);
}

static void json_other_types_are_named(void **state)
{
    (void)state;
    static const char *const values[][2] = {
        {"{}", "an object"},      {"[]", "an array"}, {"\"a\"", "a string"},
        {"1.5", "a real number"}, {"true", "true"},   {"false", "false"},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[64];
        char message[64];
        uint32_t number;
        snprintf(text, sizeof text, "{\"k\": %s}", values[i][0]);
        snprintf(message, sizeof message, "f: k is %s, expected an integer", values[i][1]);
        assert_int_equal(parse(text), SOT_OK);
        assert_int_equal(soti_json_get_u32("f", root, "k", true, &number), SOT_ERR_FORMAT);
        assert_string_equal(soti_fail_message(), message);
        json_decref(root);
    }
}

static void json_malformed_text_is_placed(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "{",
                                        "{}{}",
                                        "[1]",
                                        "7",
                                        "{\"a\":\n\"\xFF\"}",
                                        "{\"a\": 1e999}",
                                        "{\"a\\u0000\": 1}",
                                        "{'a': 1}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(parse(texts[i]), SOT_ERR_FORMAT);
        assert_null(root);
        const char *message = soti_fail_message();
        assert_memory_equal(message, "x.json: ", 8);
        assert_int_equal(soti_utf8_find_invalid(message, strlen(message)), strlen(message));
    }
    assert_int_equal(parse("{\n  \"a\": tru\n}"), SOT_ERR_FORMAT);
    assert_non_null(strstr(soti_fail_message(), "x.json: line 2, column"));
}

static void json_duplicate_key_is_named(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"first\": 1, \"second\": 2, \"first\": 3}"), SOT_ERR_FORMAT);
    assert_non_null(strstr(soti_fail_message(), "\"first\" is there twice"));
    assert_int_equal(parse("{\"o\": {\"\": 1, \"\": 3}}"), SOT_ERR_FORMAT);
    assert_non_null(strstr(soti_fail_message(), "\"\" is there twice"));
}

/* jansson finds nothing wrong with the second: what it said of the first must be gone. */
static void json_second_value_behind_a_duplicate_key_is_named_itself(void **state)
{
    (void)state;
    static const char two_values[] = "\"a\", \"b\"";
    assert_int_equal(parse("{\"k\": 1, \"k\": 2}"), SOT_ERR_FORMAT);
    assert_non_null(strstr(soti_fail_message(), "there twice"));
    assert_int_equal(parse(two_values), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(),
                        "x.json: line 1, column 1: expected one value, found more");
}

static void json_deep_nesting_is_refused(void **state)
{
    (void)state;
    static char text[100001];
    memset(text, '[', sizeof text - 1);
    assert_int_equal(parse(text), SOT_ERR_FORMAT);
}

static void json_file_is_read_from_its_folder(void **state)
{
    (void)state;
    write_file(path_of("a.json"), "{\"k\": 1}", 8);
    assert_int_equal(soti_json_read(test_folder, "a.json", &root), SOT_OK);
    assert_int_equal(json_object_size(root), 1);
    json_decref(root);
    assert_int_equal(soti_json_read(test_folder, "b.json", &root), SOT_ERR_IO);
    assert_null(root);
    for (long n = 0; n < 2; n++) {
        soti_alloc_fail_at(n);
        assert_int_equal(soti_json_read(test_folder, "a.json", &root), SOT_ERR_MEMORY);
        assert_true(soti_alloc_fail_at(-1) < 0);
    }
}

static void json_file_too_large_is_not_read(void **state)
{
    (void)state;
    write_hole(path_of("a.json"), 100000001);
    assert_int_equal(soti_json_read(test_folder, "a.json", &root), SOT_ERR_FORMAT);
    assert_null(root);
    assert_non_null(strstr(soti_fail_message(), path_of("a.json")));
    assert_non_null(
        strstr(soti_fail_message(), "has 100000001 bytes; at most 100000000 are allowed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_members_are_read),
        cmocka_unit_test(json_line_of_a_file_is_named),
        cmocka_unit_test(json_text_that_is_wrong_is_wrong_at_its_place),
        cmocka_unit_test(json_tokens_of_every_length_are_whole),
        cmocka_unit_test(json_missing_and_null_members_are_the_same),
        cmocka_unit_test(json_other_types_are_named),
        cmocka_unit_test(json_malformed_text_is_placed),
        cmocka_unit_test(json_duplicate_key_is_named),
        cmocka_unit_test(json_second_value_behind_a_duplicate_key_is_named_itself),
        cmocka_unit_test(json_deep_nesting_is_refused),
        cmocka_unit_test(json_file_is_read_from_its_folder),
        cmocka_unit_test(json_file_too_large_is_not_read),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
