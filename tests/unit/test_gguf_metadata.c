/* The container of GGUF files: types of values, bounds, duplicate keys. */
#include "gguf_image.h"

#include "io/gguf_metadata.h"

static gguf_image image;
static bytes file;
static soti_gguf_metadata metadata;

static int begin_image(void **state)
{
    (void)state;
    memset(&image, 0, sizeof image);
    image.alignment = 1;
    return 0;
}

static sot_status read_image(void)
{
    image_bytes(&image, &file);
    soti_cursor cursor = {"x.gguf", file.data, file.size, 24};
    return soti_gguf_metadata_read(&cursor, image.n_pairs, &metadata);
}

static void metadata_whole_numbers_of_any_type_are_read(void **state)
{
    (void)state;
    static const uint32_t types[] = {U8, I8, U16, I16, U32, I32, U64, I64};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        uint32_t number = 0;
        image_set_number(&image, "n", types[i], 100);
        assert_int_equal(read_image(), SOT_OK);
        assert_int_equal(soti_gguf_get_u32(&metadata, "n", true, &number), SOT_OK);
        assert_int_equal(number, 100);
        soti_gguf_metadata_free(&metadata);
    }
}

static void metadata_negative_or_large_numbers_are_refused(void **state)
{
    (void)state;
    static const uint32_t types[] = {I8, I16, I32, I64};
    uint32_t number = 7;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        image_set_number(&image, "n", types[i], UINT64_MAX);
        assert_int_equal(read_image(), SOT_OK);
        assert_int_equal(soti_gguf_get_u32(&metadata, "n", true, &number), SOT_ERR_FORMAT);
        assert_string_equal(soti_fail_message(),
                            "x.gguf: key n: a negative number, expected 0 to 4294967295");
        soti_gguf_metadata_free(&metadata);
    }
    image_set_number(&image, "n", U64, 1ull << 32);
    assert_int_equal(read_image(), SOT_OK);
    assert_int_equal(soti_gguf_get_u32(&metadata, "n", true, &number), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(), "x.gguf: key n: 4294967296, expected 0 to 4294967295");
    assert_int_equal(number, 7);
    soti_gguf_metadata_free(&metadata);
}

static void metadata_real_numbers_bools_and_texts_are_read(void **state)
{
    (void)state;
    float real = 0;
    bool flag = false;
    const char *text;
    size_t size;
    image_set_real(&image, "single", F32, 1.5);
    image_set_real(&image, "double", F64, -2.25);
    image_set_number(&image, "flag", BOOL, 1);
    image_set_text(&image, "text", "gr\xC3\xBC\xC3\x9F");
    image_set_text(&image, "empty", "");
    assert_int_equal(read_image(), SOT_OK);
    assert_int_equal(soti_gguf_get_float(&metadata, "single", true, &real), SOT_OK);
    assert_true(real == 1.5f);
    assert_int_equal(soti_gguf_get_float(&metadata, "double", true, &real), SOT_OK);
    assert_true(real == -2.25f);
    assert_int_equal(soti_gguf_get_bool(&metadata, "flag", &flag), SOT_OK);
    assert_true(flag);
    assert_int_equal(soti_gguf_get_text(&metadata, "text", true, &text, &size), SOT_OK);
    assert_int_equal(size, 6);
    assert_memory_equal(text, "gr\xC3\xBC\xC3\x9F", 6);
    assert_int_equal(soti_gguf_get_text(&metadata, "empty", true, &text, &size), SOT_OK);
    assert_int_equal(size, 0);
    assert_non_null(text);
    soti_gguf_metadata_free(&metadata);
}

static void metadata_missing_key_is_named_if_required(void **state)
{
    (void)state;
    uint32_t number = 7;
    float real = 7;
    bool flag = true;
    const char *text;
    size_t size;
    const soti_gguf_value *array;
    assert_int_equal(read_image(), SOT_OK);
    assert_int_equal(soti_gguf_get_u32(&metadata, "n", false, &number), SOT_OK);
    assert_int_equal(number, 7);
    assert_int_equal(soti_gguf_get_float(&metadata, "n", false, &real), SOT_OK);
    assert_true(real == 7);
    assert_int_equal(soti_gguf_get_bool(&metadata, "n", &flag), SOT_OK);
    assert_true(flag);
    assert_int_equal(soti_gguf_get_text(&metadata, "n", false, &text, &size), SOT_OK);
    assert_null(text);
    assert_int_equal(soti_gguf_get_array(&metadata, "n", U32, false, &array), SOT_OK);
    assert_null(array);
    assert_int_equal(soti_gguf_get_u32(&metadata, "n", true, &number), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(), "x.gguf: key n is missing");
    assert_int_equal(soti_gguf_get_float(&metadata, "n", true, &real), SOT_ERR_FORMAT);
    assert_int_equal(soti_gguf_get_text(&metadata, "n", true, &text, &size), SOT_ERR_FORMAT);
    assert_int_equal(soti_gguf_get_array(&metadata, "n", U32, true, &array), SOT_ERR_FORMAT);
    soti_gguf_metadata_free(&metadata);
}

static void metadata_other_types_are_named_with_the_expected_one(void **state)
{
    (void)state;
    uint32_t number;
    float real;
    bool flag;
    const char *text;
    size_t size;
    const soti_gguf_value *array;
    image_set_text(&image, "text", "a text longer than eight bytes");
    image_set_number(&image, "flag", BOOL, 2);
    image_set_number(&image, "n", U8, 1);
    gguf_pair *items = image_pair(&image, "items");
    items->type = ARRAY;
    items->item_type = F32;
    items->n_items = 3;
    assert_int_equal(read_image(), SOT_OK);
    assert_int_equal(soti_gguf_get_u32(&metadata, "text", false, &number), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(),
                        "x.gguf: key text: type string, expected a whole number");
    assert_int_equal(soti_gguf_get_float(&metadata, "text", false, &real), SOT_ERR_FORMAT);
    assert_int_equal(soti_gguf_get_bool(&metadata, "text", &flag), SOT_ERR_FORMAT);
    assert_int_equal(soti_gguf_get_bool(&metadata, "flag", &flag), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(), "x.gguf: key flag: 2, expected 0 or 1");
    assert_int_equal(soti_gguf_get_text(&metadata, "items", false, &text, &size), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(),
                        "x.gguf: key items: type array of float32, expected string");
    assert_int_equal(soti_gguf_get_u32(&metadata, "items", false, &number), SOT_ERR_FORMAT);
    assert_int_equal(soti_gguf_get_array(&metadata, "items", I32, false, &array), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(),
                        "x.gguf: key items: type array of float32, expected array of int32");
    assert_int_equal(soti_gguf_get_array(&metadata, "n", I32, false, &array), SOT_ERR_FORMAT);
    assert_int_equal(soti_gguf_get_array(&metadata, "items", F32, false, &array), SOT_OK);
    assert_int_equal(array->n_items, 3);
    assert_int_equal(array->data_size, 12);
    soti_gguf_metadata_free(&metadata);
}

static void metadata_text_must_be_utf8_without_nul(void **state)
{
    (void)state;
    const char *text;
    size_t size;
    image_set_text(&image, "bad", "x\xC3");
    image_set_text(&image, "nul", "a-b");
    assert_int_equal(read_image(), SOT_OK);
    assert_int_equal(soti_gguf_get_text(&metadata, "bad", false, &text, &size), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(), "x.gguf: key bad: not UTF-8 text");
    file.data[file.size - 2] = 0;
    assert_int_equal(soti_gguf_get_text(&metadata, "nul", false, &text, &size), SOT_ERR_FORMAT);
    soti_gguf_metadata_free(&metadata);
}

static void metadata_text_of_more_than_a_mebibyte_is_refused(void **state)
{
    (void)state;
    enum { HEAD = 8 + 1 + 4 + 8 }; /* length of the key, key, type, length of the text */
    static uint8_t pair[HEAD + (1 << 20) + 1];
    for (size_t size = 1 << 20; size <= (1 << 20) + 1; size++) {
        const char *text;
        size_t found_size;
        memset(pair, 'x', sizeof pair);
        memset(pair, 0, HEAD);
        pair[0] = 1;
        pair[8] = 'k';
        pair[9] = STRING;
        pair[13] = (uint8_t)(size & 1);
        pair[15] = 0x10;
        soti_cursor cursor = {"x.gguf", pair, HEAD + size, 0};
        assert_int_equal(soti_gguf_metadata_read(&cursor, 1, &metadata), SOT_OK);
        sot_status status = soti_gguf_get_text(&metadata, "k", true, &text, &found_size);
        assert_int_equal(status, size == 1 << 20 ? SOT_OK : SOT_ERR_FORMAT);
        soti_gguf_metadata_free(&metadata);
    }
    assert_string_equal(soti_fail_message(),
                        "x.gguf: key k: a text of 1048577 bytes, expected at most 1048576");
}

static void metadata_keys_are_found_among_many(void **state)
{
    (void)state;
    static const char *const keys[] = {"b", "a.b", "a", "ab", "abc", "aa", "c", "B", "a.a"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        image_set_number(&image, keys[i], U32, i);
    }
    assert_int_equal(read_image(), SOT_OK);
    for (uint32_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        uint32_t number = 99;
        assert_int_equal(soti_gguf_get_u32(&metadata, keys[i], true, &number), SOT_OK);
        assert_int_equal(number, i);
    }
    assert_null(soti_gguf_find(&metadata, "abcd"));
    assert_null(soti_gguf_find(&metadata, ""));
    soti_gguf_metadata_free(&metadata);
}

static void metadata_duplicate_key_is_named(void **state)
{
    (void)state;
    image_set_number(&image, "first", U32, 1);
    image_set_number(&image, "same", U32, 1);
    image.pairs[image.n_pairs] = (gguf_pair){.key = "same", .type = STRING, .text = "x"};
    image.n_pairs++;
    assert_int_equal(read_image(), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(), "x.gguf: key same is there twice");
    soti_gguf_metadata_free(&metadata);
}

static void metadata_unknown_and_nested_types_are_refused(void **state)
{
    (void)state;
    gguf_pair *pair = image_pair(&image, "odd");
    pair->type = 13;
    assert_int_equal(read_image(), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(), "x.gguf: key odd: unknown type 13");
    soti_gguf_metadata_free(&metadata);
    pair->type = ARRAY;
    pair->item_type = ARRAY;
    pair->n_items = 1;
    assert_int_equal(read_image(), SOT_ERR_FORMAT);
    assert_non_null(strstr(soti_fail_message(), "x.gguf: key odd: an array within an array"));
    soti_gguf_metadata_free(&metadata);
    pair->item_type = UINT32_MAX;
    assert_int_equal(read_image(), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(), "x.gguf: key odd: unknown type 4294967295");
    soti_gguf_metadata_free(&metadata);
}

static void metadata_array_longer_than_the_file_is_refused_at_once(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {100, 1ull << 61, UINT64_MAX / 4, UINT64_MAX};
    static const uint32_t types[] = {F32, I64, STRING, U8};
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 4; j++) {
            gguf_pair *pair = image_pair(&image, "items");
            pair->type = ARRAY;
            pair->item_type = F32;
            pair->n_items = 4;
            image_bytes(&image, &file);
            file.size -= 4 * 4 + 12; /* the items and what is said of them */
            put_number(&file, types[j], 4);
            put_number(&file, lengths[i], 8);
            file.size += 4 * 4;
            soti_cursor cursor = {"x.gguf", file.data, file.size, 24};
            assert_int_equal(soti_gguf_metadata_read(&cursor, 1, &metadata), SOT_ERR_FORMAT);
            assert_non_null(strstr(soti_fail_message(), "x.gguf: "));
            soti_gguf_metadata_free(&metadata);
        }
    }
}

static void metadata_count_beyond_the_file_is_refused(void **state)
{
    (void)state;
    image_set_number(&image, "n", U32, 1);
    image_bytes(&image, &file);
    static const uint64_t counts[] = {2, 1000, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        soti_cursor cursor = {"x.gguf", file.data, file.size, 24};
        assert_int_equal(soti_gguf_metadata_read(&cursor, counts[i], &metadata), SOT_ERR_FORMAT);
        soti_gguf_metadata_free(&metadata);
    }
}

static void metadata_unprintable_key_is_refused(void **state)
{
    (void)state;
    static const char *const keys[] = {"", "a b", "a\n", "\xC3\xBC"};
    for (size_t i = 0; i < 4; i++) {
        begin_image(NULL);
        image_set_number(&image, keys[i], U32, 1);
        assert_int_equal(read_image(), SOT_ERR_FORMAT);
        assert_non_null(strstr(soti_fail_message(), "offset 24"));
        soti_gguf_metadata_free(&metadata);
    }
}

static void cursor_read_past_the_end_says_where(void **state)
{
    (void)state;
    const uint8_t data[10] = {1, 0, 0, 0, 2};
    uint32_t number = 0;
    uint64_t wide = 0;
    const uint8_t *run;
    soti_cursor cursor = {"x.gguf", data, sizeof data, 0};
    assert_int_equal(soti_cursor_u32(&cursor, "one", &number), SOT_OK);
    assert_int_equal(number, 1);
    assert_int_equal(soti_cursor_u64(&cursor, "the length", &wide), SOT_ERR_FORMAT);
    assert_string_equal(soti_fail_message(),
                        "x.gguf: the file ends within the length: 8 bytes at offset 4, 6 are left");
    assert_int_equal(soti_cursor_bytes(&cursor, "a run", 6, &run), SOT_OK);
    assert_ptr_equal(run, data + 4);
    assert_int_equal(soti_cursor_bytes(&cursor, "a run", UINT64_MAX, &run), SOT_ERR_FORMAT);
    assert_int_equal(soti_cursor_bytes(&cursor, "nothing", 0, &run), SOT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(metadata_whole_numbers_of_any_type_are_read, begin_image),
        cmocka_unit_test_setup(metadata_negative_or_large_numbers_are_refused, begin_image),
        cmocka_unit_test_setup(metadata_real_numbers_bools_and_texts_are_read, begin_image),
        cmocka_unit_test_setup(metadata_missing_key_is_named_if_required, begin_image),
        cmocka_unit_test_setup(metadata_other_types_are_named_with_the_expected_one, begin_image),
        cmocka_unit_test_setup(metadata_text_must_be_utf8_without_nul, begin_image),
        cmocka_unit_test_setup(metadata_text_of_more_than_a_mebibyte_is_refused, begin_image),
        cmocka_unit_test_setup(metadata_keys_are_found_among_many, begin_image),
        cmocka_unit_test_setup(metadata_duplicate_key_is_named, begin_image),
        cmocka_unit_test_setup(metadata_unknown_and_nested_types_are_refused, begin_image),
        cmocka_unit_test_setup(metadata_array_longer_than_the_file_is_refused_at_once, begin_image),
        cmocka_unit_test_setup(metadata_count_beyond_the_file_is_refused, begin_image),
        cmocka_unit_test_setup(metadata_unprintable_key_is_refused, begin_image),
        cmocka_unit_test(cursor_read_past_the_end_says_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
