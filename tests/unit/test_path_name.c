/* Paths as text. */
#include "model_files.h"

#include <errno.h>

#include "io/path_name.h"

static void path_base_is_behind_the_last_slash(void **state)
{
    (void)state;
    assert_string_equal(soti_path_base("a/b/c.gguf"), "c.gguf");
    assert_string_equal(soti_path_base("c.gguf"), "c.gguf");
    assert_string_equal(soti_path_base("/c"), "c");
}

static void path_join_puts_one_slash(void **state)
{
    (void)state;
    static const char *const parts[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char *path = soti_path_join(parts[i][0], parts[i][1]);
        assert_string_equal(path, parts[i][2]);
        soti_free(path);
    }
    soti_alloc_fail_at(0);
    assert_null(soti_path_join("a", "b"));
    soti_alloc_fail_at(-1);
}

static void path_component_counts_from_the_end(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        size_t i;
        const char *expected;
    } cases[] = {
        {"/a/bb/ccc", 0, "ccc"},
        {"/a/bb/ccc", 1, "bb"},
        {"/a/bb/ccc", 2, "a"},
        {"/a/bb/ccc", 3, ""},
        {"/a/bb/ccc", 9, ""},
        {"a//bb///", 0, "bb"},
        {"a//bb///", 1, "a"},
        {"a", 0, "a"},
        {"", 0, ""},
        {"/", 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = 99;
        const char *text = soti_path_component(cases[i].path, cases[i].i, &size);
        assert_int_equal(size, strlen(cases[i].expected));
        assert_memory_equal(text, cases[i].expected, size);
    }
}

static void path_plain_names_stay_in_the_folder(void **state)
{
    (void)state;
    assert_true(soti_path_is_plain("model.safetensors"));
    assert_true(soti_path_is_plain("..."));
    assert_true(soti_path_is_plain(".hidden"));
    assert_false(soti_path_is_plain(""));
    assert_false(soti_path_is_plain("."));
    assert_false(soti_path_is_plain(".."));
    assert_false(soti_path_is_plain("a/b"));
    assert_false(soti_path_is_plain("/a"));
}

static void path_exists_sees_files_and_folders(void **state)
{
    (void)state;
    bool there;
    write_file(path_of("file"), "x", 1);
    assert_int_equal(soti_path_exists(test_folder, "file", &there), SOT_OK);
    assert_true(there);
    assert_int_equal(soti_path_exists(test_folder, "other", &there), SOT_OK);
    assert_false(there);
    assert_int_equal(soti_path_exists("/", "tmp", &there), SOT_OK);
    assert_true(there);
    soti_alloc_fail_at(0);
    assert_int_equal(soti_path_exists("/", "tmp", &there), SOT_ERR_MEMORY);
    soti_alloc_fail_at(-1);
}

static void path_failed_call_has_a_sentence(void **state)
{
    (void)state;
    assert_int_equal(soti_fail_io("x/y", "opened", ENOENT), SOT_ERR_IO);
    assert_string_equal(soti_fail_message(), "x/y: cannot be opened: No such file or directory");
    assert_int_equal(soti_fail_io("x/y", "mapped", ENOMEM), SOT_ERR_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_base_is_behind_the_last_slash),
        cmocka_unit_test(path_join_puts_one_slash),
        cmocka_unit_test(path_component_counts_from_the_end),
        cmocka_unit_test(path_plain_names_stay_in_the_folder),
        cmocka_unit_test(path_exists_sees_files_and_folders),
        cmocka_unit_test(path_failed_call_has_a_sentence),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
