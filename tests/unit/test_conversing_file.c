/* Conversations as JSON lines: what is written, what is read, and what a file may not say. */
#include "model_files.h"

#include <errno.h>
#include <jansson.h>

#include "sot/conversing.h"

static sot_chat *chat;

static int setup(void **state)
{
    (void)state;
    return sot_chat_create(NULL, &chat);
}

static int teardown(void **state)
{
    (void)state;
    sot_chat_free(chat);
    return 0;
}

static sot_status parse(const char *text)
{
    return soti_chat_parse(chat, "talk", text, strlen(text));
}

static void read_back(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

static void saved_chat_is_a_json_object_a_line(void **state)
{
    (void)state;
    char text[512];
    assert_int_equal(
        sot_chat_append(chat, "Wie \"geht\" es?", "1. Gut. Sehr.\n2. \xe2\x82\xac \\ \t"), SOT_OK);
    assert_int_equal(sot_chat_append(chat, "Q2", ""), SOT_OK);
    const char *path = path_of("talk.jsonl");
    assert_int_equal(sot_chat_save(chat, path), SOT_OK);
    read_back(path, text, sizeof text);
    assert_string_equal(text, "{\"question\": \"Wie \\\"geht\\\" es?\", \"answer\": "
                              "\"1. Gut. Sehr.\\n2. \xe2\x82\xac \\\\ \\t\"}\n"
                              "{\"question\": \"Q2\", \"answer\": \"\"}\n");
}

static void loaded_chat_is_the_saved_one(void **state)
{
    (void)state;
    char every[256];
    for (int i = 0; i < 127; i++) {
        every[i] = (char)(i + 1);
    }
    every[127] = '\0';
    assert_int_equal(sot_chat_append(chat, every, "\xf0\x9f\x98\x80 \xe2\x80\xa8"), SOT_OK);
    assert_int_equal(sot_chat_append(chat, "q", every), SOT_OK);
    chat->n_dropped = 1; /* is a matter of a context, not of the rounds */
    const char *path = path_of("every.jsonl");
    assert_int_equal(sot_chat_save(chat, path), SOT_OK);
    sot_chat *loaded = NULL;
    assert_int_equal(sot_chat_load(path, NULL, &loaded), SOT_OK);
    assert_int_equal(sot_chat_count(loaded), 2);
    assert_int_equal(sot_chat_dropped(loaded), 0);
    assert_int_not_equal(loaded->id, chat->id);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(sot_chat_question(loaded, i), sot_chat_question(chat, i));
        assert_string_equal(sot_chat_answer(loaded, i), sot_chat_answer(chat, i));
    }
    sot_chat_free(loaded);
}

static void chat_without_rounds_is_an_empty_file(void **state)
{
    (void)state;
    const char *path = path_of("empty.jsonl");
    assert_int_equal(sot_chat_save(chat, path), SOT_OK);
    sot_chat *loaded = NULL;
    assert_int_equal(sot_chat_load(path, NULL, &loaded), SOT_OK);
    assert_int_equal(sot_chat_count(loaded), 0);
    sot_chat_free(loaded);
}

static void lines_may_be_blank_and_say_more(void **state)
{
    (void)state;
    assert_int_equal(
        parse("\r\n\n  \t\n{\"id\": [1, {}], \"answer\": \"a\", \"question\": \"q\"}\r\n"
              "\n{\"question\":\"q2\",\"answer\":\"\\u00e4\"}"),
        SOT_OK);
    assert_int_equal(sot_chat_count(chat), 2);
    assert_string_equal(sot_chat_question(chat, 0), "q");
    assert_string_equal(sot_chat_answer(chat, 1), "\xc3\xa4");
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"question\": \"q\"}", "talk: line 3: answer is missing"},
        {"{\"answer\": \"q\"}", "talk: line 3: question is missing"},
        {"{\"question\": null, \"answer\": \"\"}", "talk: line 3: question is missing"},
        {"{\"question\": \"\", \"answer\": \"a\"}", "talk: line 3: question is empty"},
        {"{\"question\": 5, \"answer\": \"a\"}",
         "talk: line 3: question is an integer, expected a string"},
        {"{\"question\": \"q\", \"answer\": [\"a\"]}",
         "talk: line 3: answer is an array, expected a string"},
        {"[\"q\", \"a\"]", "talk: line 3: expected a JSON object"},
        {"{\"question\": \"q\", \"question\": \"r\", \"answer\": \"\"}",
         "talk: line 3, column 28: \"question\" is there twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"question\": \"q\", \"answer\": \"a\"}\n\n%s\n",
                 cases[i][0]);
        sot_chat_clear(chat);
        assert_int_equal(parse(text), SOT_ERR_FORMAT);
        assert_string_equal(soti_fail_message(), cases[i][1]);
        assert_int_equal(sot_chat_count(chat), 1);
    }
}

static void bytes_that_are_no_json_are_format_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
    } cases[] = {
        {"{", 1},
        {"q: a", 4},
        {"\0", 1},
        {"{}\0", 3},
        {"\xef\xbb\xbf{\"question\": \"q\", \"answer\": \"a\"}", 35},
        {"{\"question\": \"\xff\", \"answer\": \"a\"}", 31},
        {"{\"question\": \"\\u0000\", \"answer\": \"a\"}", 36},
        {"{\"question\": \"\\ud800\", \"answer\": \"a\"}", 36},
        {"{\"question\": \"q\", \"answer\": \"a\"} {}", 35},
        {"{\"question\": \"q\",\n\"answer\": \"a\"}", 32},
        {"{\"question\": \"q\", \"answer\": 1e999}", 34},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sot_chat_clear(chat);
        assert_int_equal(soti_chat_parse(chat, "talk", cases[i].text, cases[i].size),
                         SOT_ERR_FORMAT);
        assert_memory_equal(soti_fail_message(), "talk: line 1", strlen("talk: line 1"));
        assert_int_equal(sot_chat_count(chat), 0);
    }
    char deep[5000];
    memset(deep, '[', sizeof deep);
    assert_int_equal(soti_chat_parse(chat, "talk", deep, sizeof deep), SOT_ERR_FORMAT);
}

static void load_failing_leaves_nothing(void **state)
{
    (void)state;
    sot_chat *loaded = (sot_chat *)&loaded;
    assert_int_equal(sot_chat_load(path_of("missing"), NULL, &loaded), SOT_ERR_IO);
    assert_null(loaded);
    assert_non_null(strstr(soti_fail_message(), "missing"));
    assert_int_equal(sot_chat_load(test_folder, NULL, &loaded), SOT_ERR_IO);
    write_file(path_of("bad"), "{\"question\": \"q\", \"answer\": \"a\"}\nno\n", 36);
    assert_int_equal(sot_chat_load(path_of("bad"), NULL, &loaded), SOT_ERR_FORMAT);
    assert_null(loaded);
    assert_non_null(strstr(soti_fail_message(), "/bad: line 2, column"));
}

static void save_that_fails_leaves_the_old_file(void **state)
{
    (void)state;
    char text[64];
    assert_int_equal(sot_chat_append(chat, "q", "a"), SOT_OK);
    assert_int_equal(sot_chat_save(chat, path_of("no/such/folder")), SOT_ERR_IO);
    assert_int_equal(sot_chat_save(chat, "/dev/null"), SOT_ERR_IO);
    const char *path = path_of("old");
    write_file(path, "old", 3);
    for (long n = 0;; n++) {
        soti_alloc_fail_at(n);
        sot_status status = sot_chat_save(chat, path);
        if (soti_alloc_fail_at(-1) >= 0) {
            assert_int_equal(status, SOT_OK);
            assert_true(n >= 3);
            break;
        }
        assert_true(status == SOT_ERR_MEMORY || status == SOT_OK);
        read_back(path, text, sizeof text);
        if (status != SOT_OK) {
            assert_string_equal(text, "old");
        }
        write_file(path, "old", 3);
    }
    read_back(path, text, sizeof text);
    assert_string_equal(text, "{\"question\": \"q\", \"answer\": \"a\"}\n");
}

static void load_with_any_allocation_failing_leaves_nothing(void **state)
{
    (void)state;
    soti_buffer text = {0};
    for (int i = 0; i < 20; i++) {
        assert_int_equal(
            soti_buffer_append_text(&text, "{\"question\": \"q\", \"answer\": \"an answer\"}\n"),
            SOT_OK);
    }
    const char *path = path_of("twenty");
    write_file(path, text.data, text.size);
    soti_buffer_free(&text);
    for (long n = 0;; n++) {
        sot_chat *loaded = NULL;
        soti_alloc_fail_at(n);
        sot_status status = sot_chat_load(path, NULL, &loaded);
        if (soti_alloc_fail_at(-1) >= 0) {
            assert_int_equal(status, SOT_OK);
            assert_int_equal(sot_chat_count(loaded), 20);
            sot_chat_free(loaded);
            assert_true(n > 40);
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
        assert_null(loaded);
    }
}

/* jansson's own memory: once there is none, there is none. */
static long json_allocations_left;

static void *json_malloc(size_t size)
{
    if (json_allocations_left-- > 0) {
        return malloc(size);
    }
    errno = ENOMEM;
    return NULL;
}

static void json_without_memory_fails(void **state)
{
    (void)state;
    assert_int_equal(sot_chat_append(chat, "q", "a"), SOT_OK);
    const char *path = path_of("json");
    assert_int_equal(sot_chat_save(chat, path), SOT_OK);
    for (int saving = 0; saving < 2; saving++) {
        for (long n = 0;; n++) {
            sot_chat *loaded = NULL;
            json_allocations_left = n;
            json_set_alloc_funcs(json_malloc, free);
            sot_status status =
                saving ? sot_chat_save(chat, path) : sot_chat_load(path, NULL, &loaded);
            json_set_alloc_funcs(malloc, free);
            sot_chat_free(loaded);
            if (status == SOT_OK) {
                assert_true(n > 2);
                break;
            }
            assert_int_equal(status, SOT_ERR_MEMORY);
            assert_non_null(strstr(soti_fail_message(), "memory"));
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(saved_chat_is_a_json_object_a_line),
        TEST(loaded_chat_is_the_saved_one),
        TEST(chat_without_rounds_is_an_empty_file),
        TEST(lines_may_be_blank_and_say_more),
        TEST(bad_lines_are_named),
        TEST(bytes_that_are_no_json_are_format_errors),
        TEST(load_failing_leaves_nothing),
        TEST(save_that_fails_leaves_the_old_file),
        TEST(load_with_any_allocation_failing_leaves_nothing),
        TEST(json_without_memory_fails),
    };
    return cmocka_run_group_tests_name("conversing_file", tests, folder_setup, folder_teardown);
}
