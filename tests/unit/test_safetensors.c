/* One .safetensors file, read through a directory of one. */
#include "hf_folder.h"

static hf_config config;
static st_image image;
static soti_checkpoint checkpoint;
static const char file[] = "model.safetensors";

static int begin_folder(void **state)
{
    (void)state;
    hf_folder_begin(&config, &image);
    return 0;
}

static void check_opens(void)
{
    st_write(&image, file);
    if (open_model(test_folder, &checkpoint) != SOT_OK) {
        fail_msg("%s", soti_fail_message());
    }
    check_tiny_tensors(&checkpoint);
    soti_checkpoint_close(&checkpoint);
}

/* The image is written and refused with FORMAT; the sentence has both parts. */
static void check_bad(const char *part, const char *other_part)
{
    st_write(&image, file);
    check_refused(test_folder, SOT_ERR_FORMAT, file, part, other_part, NULL);
}

static void safetensors_every_float_type_is_read(void **state)
{
    (void)state;
    for (uint32_t type = SOTI_TYPE_F16; type <= SOTI_TYPE_F32; type++) {
        st_begin(&image, 0, 0);
        for (size_t t = 0; t < N_TINY; t++) {
            st_add_tiny(&image, t, type);
        }
        check_opens();
    }
}

static void safetensors_data_at_an_odd_address_is_read(void **state)
{
    (void)state;
    static char header[8192];
    size_t used = 0;
    used += (size_t)snprintf(header, sizeof header,
                             "{\"odd\":{\"dtype\":\"U8\",\"shape\":[1],"
                             "\"data_offsets\":[0,1]}");
    static bytes data;
    data.size = 0;
    put_number(&data, 0, 1);
    put(&data, image.data.data, image.data.size);
    for (size_t i = 0; i < image.n_tensors; i++) {
        const st_tensor *tensor = &image.tensors[i];
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 ",\"%s\":{\"dtype\":\"BF16\",\"shape\":%s,"
                                 "\"data_offsets\":[%llu,%llu]}",
                                 tensor->name, tensor->shape, (unsigned long long)tensor->begin + 1,
                                 (unsigned long long)tensor->end + 1);
    }
    used += (size_t)snprintf(header + used, sizeof header - used, "}");
    st_write_raw(file, used, header, used, &data);
    assert_int_equal(open_model(test_folder, &checkpoint), SOT_OK);
    check_tiny_tensors(&checkpoint);
    soti_checkpoint_close(&checkpoint);
}

static void safetensors_other_tensors_of_any_type_are_ignored(void **state)
{
    (void)state;
    image.more = "\"__metadata__\":{},"
                 "\"model.layers.0.self_attn.rotary_emb.inv_freq\":"
                 "{\"dtype\":\"F64\",\"shape\":[0,3],\"data_offsets\":[4,4]},"
                 "\"x\":{\"dtype\":\"F4_NEW\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,0]},"
                 "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[1328,1336]},";
    assert_int_equal(image.data.size, 1328);
    put_number(&image.data, 0, 8);
    check_opens();
    image.more = "\"model.layers.0.self_attn.q_proj.bias\":"
                 "{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[0,0]},";
    st_write(&image, file);
    check_refused(test_folder, SOT_ERR_UNSUPPORTED, file, "model.layers.0.self_attn.q_proj.bias",
                  NULL);
}

static void safetensors_another_type_is_unsupported(void **state)
{
    (void)state;
    st_tensor *tensor = st_find(&image, "model.layers.0.mlp.up_proj.weight");
    tensor->type = "I16";
    st_write(&image, file);
    check_refused(test_folder, SOT_ERR_UNSUPPORTED,
                  "model.safetensors: tensor model.layers.0.mlp.up_proj.weight", "I16", NULL);
    tensor->type = "a type whose name is much too long";
    st_write(&image, file);
    check_refused(test_folder, SOT_ERR_UNSUPPORTED, "a type", NULL);
}

static void safetensors_wrong_shape_is_named_with_both(void **state)
{
    (void)state;
    st_tensor *tensor = st_find(&image, "model.layers.0.mlp.up_proj.weight");
    snprintf(tensor->shape, sizeof tensor->shape, "[8, 10]");
    check_bad("tensor model.layers.0.mlp.up_proj.weight: shape [8, 10], expected [10, 8]", "");
    snprintf(tensor->shape, sizeof tensor->shape, "[2, 2, 2, 2, 5]");
    check_bad("shape [2, 2, 2, 2, ...], expected [10, 8]", "");
    snprintf(tensor->shape, sizeof tensor->shape, "[10, 7]"); /* fewer bytes than the offsets say */
    check_bad("tensor model.layers.0.mlp.up_proj.weight", "160 bytes, but type and shape need 140");
    snprintf(tensor->shape, sizeof tensor->shape, "[10, 9223372036854775807]");
    check_bad("dimension 1 is 9223372036854775807", "model.layers.0.mlp.up_proj.weight");
    snprintf(tensor->shape, sizeof tensor->shape, "[10, -8]");
    check_bad("dimension 1 is -8", "model.layers.0.mlp.up_proj.weight");
    snprintf(tensor->shape, sizeof tensor->shape, "[10, 8.0]");
    check_bad("dimension 1", "model.layers.0.mlp.up_proj.weight");
    snprintf(tensor->shape, sizeof tensor->shape, "80");
    check_bad("shape", "model.layers.0.mlp.up_proj.weight");
}

static void safetensors_offsets_outside_the_data_are_refused(void **state)
{
    (void)state;
    static const uint64_t offsets[][2] = {{0, 1u << 20},
                                          {1ull << 62, (1ull << 62) + 160},
                                          {160, 0},
                                          {9223372036854775647u, INT64_MAX}};
    st_tensor *tensor = st_find(&image, "model.layers.0.mlp.up_proj.weight");
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        char text[64];
        tensor->begin = offsets[i][0];
        tensor->end = offsets[i][1];
        snprintf(text, sizeof text, "[%llu, %llu]", (unsigned long long)offsets[i][0],
                 (unsigned long long)offsets[i][1]);
        check_bad("tensor model.layers.0.mlp.up_proj.weight", text);
    }
    tensor->begin = UINT64_MAX; /* no JSON integer of 64 bits with a sign */
    check_bad("", "");
}

static void safetensors_overlapping_tensors_are_named(void **state)
{
    (void)state;
    st_tensor *tensor = st_find(&image, "model.layers.0.mlp.up_proj.weight");
    tensor->begin -= 2;
    tensor->end -= 2;
    check_bad("model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.gate_proj.weight");
}

static void safetensors_missing_or_duplicate_tensor_is_named(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TINY; t++) {
        st_begin(&image, 0, N_TINY);
        st_remove(&image, tiny_tensors[t].name);
        st_write(&image, file);
        check_refused(test_folder, SOT_ERR_FORMAT, tiny_tensors[t].name, "missing", NULL);
    }
    st_begin(&image, 0, N_TINY);
    st_add_tiny(&image, 4, SOTI_TYPE_F16);
    check_bad("\"model.layers.0.self_attn.v_proj.weight\" is there twice", "");
}

static void safetensors_malformed_headers_are_refused(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "",
        "[]",
        "{",
        "{}x",
        "null",
        "{\"a\":1}",
        "{\"a\":{}}",
        "{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,2]}}",
        "{\"a\":{\"dtype\":\"F16\",\"data_offsets\":[0,2]}}",
        "{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0]}}",
        "{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2,3]}}",
        "{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,\"2\"]}}",
        "{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":{\"x\":1}}}",
        "{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[-2,0]}}",
        "{\"a\":{\"dtype\":\"F16\",\"shape\":[1]}}",
        "{\"\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}",
        "{\"\\u0007\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}",
        "{\"a\xFF\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}",
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        st_write_raw(file, strlen(headers[i]), headers[i], strlen(headers[i]), &image.data);
        check_refused(test_folder, SOT_ERR_FORMAT, file, NULL);
    }
}

static void safetensors_lying_header_length_is_refused(void **state)
{
    (void)state;
    static const int64_t errors[] = {1,         2000,  1ll << 31, 1ll << 40, INT64_MAX / 2,
                                     INT64_MIN, -1000, -16};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        image.length_error = errors[i];
        check_bad("", "");
    }
}

static void safetensors_truncated_at_any_byte_is_refused(void **state)
{
    (void)state;
    const char *path = path_of(file);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_true(open_survives(test_folder));
    off_t header = info.st_size - (off_t)image.data.size; /* every byte of it; the data in steps */
    for (off_t size = info.st_size - 1; size > 0; size -= size > header ? 7 : 1) {
        assert_int_equal(truncate(path, size), 0);
        assert_false(open_survives(test_folder));
        assert_non_null(strstr(soti_fail_message(), file));
    }
    assert_int_equal(truncate(path, 0), 0);
    check_refused(test_folder, SOT_ERR_FORMAT, file, "empty", NULL);
}

static void safetensors_random_damage_is_survived(void **state)
{
    (void)state;
    static uint8_t whole[8192];
    FILE *stream = fopen(path_of(file), "rb");
    assert_non_null(stream);
    size_t size = fread(whole, 1, sizeof whole, stream);
    fclose(stream);
    uint32_t random = 54321;
    for (int i = 0; i < 1000; i++) {
        static uint8_t damaged[8192];
        memcpy(damaged, whole, size);
        for (int j = 0; j <= i % 3; j++) {
            random = random * 1664525u + 1013904223u;
            damaged[(random >> 8) % (size - image.data.size)] = (uint8_t)(random >> 4);
        }
        write_file(path_of(file), damaged, size);
        open_survives(test_folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(safetensors_every_float_type_is_read, begin_folder),
        cmocka_unit_test_setup(safetensors_data_at_an_odd_address_is_read, begin_folder),
        cmocka_unit_test_setup(safetensors_other_tensors_of_any_type_are_ignored, begin_folder),
        cmocka_unit_test_setup(safetensors_another_type_is_unsupported, begin_folder),
        cmocka_unit_test_setup(safetensors_wrong_shape_is_named_with_both, begin_folder),
        cmocka_unit_test_setup(safetensors_offsets_outside_the_data_are_refused, begin_folder),
        cmocka_unit_test_setup(safetensors_overlapping_tensors_are_named, begin_folder),
        cmocka_unit_test_setup(safetensors_missing_or_duplicate_tensor_is_named, begin_folder),
        cmocka_unit_test_setup(safetensors_malformed_headers_are_refused, begin_folder),
        cmocka_unit_test_setup(safetensors_lying_header_length_is_refused, begin_folder),
        cmocka_unit_test_setup(safetensors_truncated_at_any_byte_is_refused, begin_folder),
        cmocka_unit_test_setup(safetensors_random_damage_is_survived, begin_folder),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
