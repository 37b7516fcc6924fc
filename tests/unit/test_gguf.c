/* GGUF files: what they mean when they are right, and that every way of being wrong is refused. */
#include "gguf_image.h"

static gguf_image image;
static soti_checkpoint checkpoint;

static int begin_image(void **state)
{
    (void)state;
    image_begin(&image);
    return 0;
}

static const soti_shape *opened(void)
{
    const char *path = image_write(&image);
    if (open_model(path, &checkpoint) != SOT_OK) {
        fail_msg("%s", soti_fail_message());
    }
    return &checkpoint.shape;
}

static void gguf_good_file_gives_shape_and_tensors(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        image.version = version;
        const soti_shape *shape = opened();
        check_tiny_shape(shape);
        assert_int_equal(shape->rope_layout, SOTI_ROPE_INTERLEAVED);
        assert_true(shape->rope_theta == 10000.0f);
        assert_true(shape->rope_scale == 1.0f);
        assert_int_equal(checkpoint.n_ctx_train, 64);
        assert_int_equal(checkpoint.tied_output, 0);
        assert_int_equal(checkpoint.bos_id, -1);
        assert_int_equal(checkpoint.vocabulary.n_pieces, 0);
        assert_string_equal(checkpoint.name, "tiny");
        assert_string_equal(checkpoint.conversation, "none");
        check_tiny_tensors(&checkpoint);
        assert_int_equal(soti_checkpoint_find(&checkpoint, "lm_head.weight")->type, SOTI_TYPE_F16);
        assert_int_equal(soti_checkpoint_find(&checkpoint, "model.norm.weight")->type,
                         SOTI_TYPE_F32);
        soti_checkpoint_close(&checkpoint);
    }
}

static void gguf_every_float_type_is_read(void **state)
{
    (void)state;
    for (uint32_t type = SOTI_TYPE_F16; type <= SOTI_TYPE_F32; type++) {
        image.n_tensors = 0;
        image.data.size = 0;
        for (size_t t = 0; t < N_TINY; t++) {
            image_add_tiny(&image, t, type);
        }
        opened();
        check_tiny_tensors(&checkpoint);
        assert_int_equal(checkpoint.tensors[0].type, type);
        soti_checkpoint_close(&checkpoint);
    }
}

static void gguf_without_output_ties_it(void **state)
{
    (void)state;
    image_remove_tensor(&image, "output.weight");
    opened();
    assert_int_equal(checkpoint.tied_output, 1);
    assert_null(soti_checkpoint_find(&checkpoint, "lm_head.weight"));
    check_tiny_tensors(&checkpoint);
    soti_checkpoint_close(&checkpoint);
}

static void gguf_optional_keys_have_their_defaults(void **state)
{
    (void)state;
    image_remove_pair(&image, "general.name");
    image_remove_pair(&image, "llama.context_length");
    image_remove_pair(&image, "llama.vocab_size"); /* the embedding's rows say it */
    check_tiny_shape(opened());
    assert_int_equal(checkpoint.n_ctx_train, 0);
    assert_string_equal(checkpoint.name, "");
    soti_checkpoint_close(&checkpoint);
}

static void gguf_head_size_is_derived_when_not_stated(void **state)
{
    (void)state;
    image_remove_pair(&image, "llama.attention.key_length");
    image_tensor(&image, "blk.0.attn_q.weight")->dims[1] = 8; /* the bytes behind stay unused */
    image_tensor(&image, "blk.0.attn_k.weight")->dims[1] = 4;
    image_tensor(&image, "blk.0.attn_v.weight")->dims[1] = 4;
    image_tensor(&image, "blk.0.attn_output.weight")->dims[0] = 8;
    assert_int_equal(opened()->d_head, 4);
    soti_checkpoint_close(&checkpoint);

    image_remove_pair(&image, "llama.attention.head_count_kv"); /* then as many as heads */
    image_tensor(&image, "blk.0.attn_k.weight")->dims[1] = 8;
    image_tensor(&image, "blk.0.attn_k.weight")->dims[0] = 8;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tensor blk.0.attn_v.weight",
                  "shape [4, 8], expected [8, 8]", NULL);

    image_set_number(&image, "llama.attention.head_count", U32, 3);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", "8", "3", NULL);
    image_set_number(&image, "llama.attention.head_count", U32, 0);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", NULL);
}

static void gguf_rope_keys_are_read(void **state)
{
    (void)state;
    image_set_number(&image, "llama.rope.dimension_count", U32, 6);
    image_set_real(&image, "llama.rope.freq_base", F32, 500000.0);
    image_set_text(&image, "llama.rope.scaling.type", "linear");
    image_set_real(&image, "llama.rope.scaling.factor", F32, 4.0);
    assert_true(opened()->rope_theta == 500000.0f);
    assert_true(checkpoint.shape.rope_scale == 4.0f);
    soti_checkpoint_close(&checkpoint);

    image_set_text(&image, "llama.rope.scaling.type", "none");
    assert_true(opened()->rope_scale == 1.0f);
    soti_checkpoint_close(&checkpoint);

    image_remove_pair(&image, "llama.rope.scaling.type");
    assert_true(opened()->rope_scale == 4.0f);
    soti_checkpoint_close(&checkpoint);

    image_remove_pair(&image, "llama.rope.scaling.factor");
    image_set_real(&image, "llama.rope.scale_linear", F32, 2.0);
    assert_true(opened()->rope_scale == 2.0f);
    soti_checkpoint_close(&checkpoint);
}

static void gguf_what_we_cannot_compute_is_unsupported(void **state)
{
    (void)state;
    image_set_text(&image, "llama.rope.scaling.type", "yarn");
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "tiny.gguf", "yarn", NULL);
    begin_image(NULL);
    image_set_number(&image, "llama.rope.dimension_count", U32, 4);
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "dimension_count", "4", "6", NULL);
    begin_image(NULL);
    image_set_number(&image, "llama.attention.value_length", U32, 4);
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "value_length", "4", "6", NULL);
    begin_image(NULL);
    image_set_number(&image, "llama.expert_count", U32, 8);
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "8 experts", NULL);
    begin_image(NULL);
    image_set_number(&image, "split.count", U16, 3);
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "one of 3 parts", NULL);
    begin_image(NULL);
    image_set_text(&image, "general.architecture", "mamba");
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "tiny.gguf", "mamba", "llama", NULL);
    begin_image(NULL);
    image_tensor(&image, "blk.0.ffn_up.weight")->type = 2;
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "tiny.gguf", "blk.0.ffn_up.weight",
                  "Q4_0", NULL);
    image_tensor(&image, "blk.0.ffn_up.weight")->type = 4000000000u;
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "blk.0.ffn_up.weight", "4000000000",
                  NULL);
    begin_image(NULL);
    image_add_tiny(&image, 1, SOTI_TYPE_F32);
    image.tensors[image.n_tensors - 1].name = "rope_freqs.weight";
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "rope_freqs.weight", NULL);
    image.tensors[image.n_tensors - 1].name = "blk.0.attn_q.bias";
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "blk.0.attn_q.bias", NULL);
}

static void count_lines(int32_t level, const char *line, void *user)
{
    (void)level;
    if (strstr(line, "tiny.gguf: tensor blk.7.extra.weight is not used") != NULL) {
        ++*(int *)user;
    }
}

static void gguf_unknown_tensor_is_logged_and_ignored(void **state)
{
    (void)state;
    int n_lines = 0;
    soti_log log = {count_lines, &n_lines};
    image.tensors[image.n_tensors] = (gguf_tensor){
        .name = "blk.7.extra.weight", .n_dims = 4, .dims = {1, 2, 3, 4}, .offset = image.data.size};
    image.tensors[image.n_tensors].offset += 32 - image.data.size % 32;
    image.n_tensors++;
    image.data.size += 32 + 4 * 24;
    assert_int_equal(soti_checkpoint_open(image_write(&image), 0, &log, NULL, NULL, &checkpoint),
                     SOT_OK);
    assert_int_equal(n_lines, 1);
    check_tiny_tensors(&checkpoint);
    soti_checkpoint_close(&checkpoint);
}

static void gguf_missing_tensor_is_named(void **state)
{
    (void)state;
    for (size_t t = 0; t + 1 < N_TINY; t++) { /* the last one, output, may be missing */
        begin_image(NULL);
        image_remove_tensor(&image, tiny_tensors[t].gguf_name);
        check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", tiny_tensors[t].gguf_name,
                      "missing", NULL);
    }
}

static void gguf_duplicate_tensor_is_named(void **state)
{
    (void)state;
    image_add_tiny(&image, 3, SOTI_TYPE_F16);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", "blk.0.attn_k.weight", "twice",
                  NULL);
}

static void gguf_wrong_shape_is_named_with_both(void **state)
{
    (void)state;
    image_tensor(&image, "blk.0.ffn_up.weight")->dims[1] = 9;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf: tensor blk.0.ffn_up.weight",
                  "shape [9, 8], expected [10, 8]", NULL);
    begin_image(NULL);
    image_tensor(&image, "blk.0.ffn_up.weight")->n_dims = 1;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "shape [8], expected [10, 8]", NULL);
    begin_image(NULL);
    image_tensor(&image, "output_norm.weight")->n_dims = 2;
    image_tensor(&image, "output_norm.weight")->dims[1] = 1;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "shape [1, 8], expected [8]", NULL);
}

static void gguf_overlapping_tensors_are_named(void **state)
{
    (void)state;
    image_tensor(&image, "blk.0.ffn_up.weight")->offset =
        image_tensor(&image, "blk.0.ffn_down.weight")->offset;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "blk.0.ffn_up.weight",
                  "blk.0.ffn_down.weight", "overlap", NULL);
    begin_image(NULL);
    image_tensor(&image, "output_norm.weight")->offset -= 32; /* the tail of the one before */
    check_refused(image_write(&image), SOT_ERR_FORMAT, "output_norm.weight", "overlap", NULL);
}

static void gguf_offsets_outside_the_file_are_refused(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {1u << 20, 1ull << 40, UINT64_MAX - 31, (1ull << 63)};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        begin_image(NULL);
        image_tensor(&image, "blk.0.attn_q.weight")->offset = offsets[i];
        char text[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)offsets[i]);
        check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf",
                      "tensor blk.0.attn_q.weight", text, NULL);
    }
    begin_image(NULL);
    image_tensor(&image, "blk.0.attn_q.weight")->offset += 2;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "blk.0.attn_q.weight", "alignment", "32",
                  NULL);
}

static void gguf_alignment_is_obeyed(void **state)
{
    (void)state;
    image.alignment = 256;
    image.n_tensors = 0;
    image.data.size = 0;
    for (size_t t = 0; t < N_TINY; t++) {
        image_add_tiny(&image, t, SOTI_TYPE_F16);
    }
    image_set_number(&image, "general.alignment", U32, 256);
    opened();
    check_tiny_tensors(&checkpoint);
    soti_checkpoint_close(&checkpoint);
    image_set_number(&image, "general.alignment", U32, 0);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "general.alignment", "0", NULL);
    image_set_number(&image, "general.alignment", U32, 48);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "general.alignment", "48", NULL);
    image_set_number(&image, "general.alignment", U32, 0x80000000u);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", NULL);
}

static void gguf_other_magic_or_version_is_refused(void **state)
{
    (void)state;
    image.version = 1;
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "tiny.gguf", "version 1", NULL);
    image.version = 4;
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "tiny.gguf", "version 4", NULL);
    image.version = 0x03000000u;
    check_refused(image_write(&image), SOT_ERR_UNSUPPORTED, "version 3", "big-endian", NULL);
    memcpy(image.magic, "PK\3\4", 4);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", "not a GGUF", "50 4b 03 04",
                  NULL);
}

static void gguf_required_keys_are_named_when_missing_or_mistyped(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "general.architecture",       "llama.embedding_length",
        "llama.block_count",          "llama.feed_forward_length",
        "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon",
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        begin_image(NULL);
        image_remove_pair(&image, keys[i]);
        check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", keys[i], "missing", NULL);
        begin_image(NULL);
        image_set_number(&image, keys[i], BOOL, 1);
        check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", keys[i], "bool", NULL);
    }
}

static void gguf_numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "llama.embedding_length",     "llama.block_count",          "llama.feed_forward_length",
        "llama.attention.head_count", "llama.attention.key_length", "llama.attention.head_count_kv",
        "llama.vocab_size",
    };
    static const uint64_t numbers[] = {0, 3, 11, 1u << 31, UINT32_MAX, 1ull << 32, UINT64_MAX};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        for (size_t j = 0; j < sizeof numbers / sizeof numbers[0]; j++) {
            begin_image(NULL);
            image_set_number(&image, keys[i], U64, numbers[j]);
            check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", NULL);
        }
        image_set_number(&image, keys[i], I32, UINT32_MAX);
        check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", keys[i], "negative", NULL);
    }
    begin_image(NULL);
    image_set_real(&image, "llama.attention.layer_norm_rms_epsilon", F64, 1e300);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", "epsilon", NULL);
    begin_image(NULL);
    image_set_real(&image, "llama.rope.freq_base", F32, -1.0);
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", "theta", "-1", NULL);
}

static void gguf_impossible_dimensions_are_refused(void **state)
{
    (void)state;
    static const uint64_t dims[] = {0, 1ull << 62, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        begin_image(NULL);
        image_tensor(&image, "blk.0.attn_q.weight")->dims[0] = dims[i];
        check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf",
                      "tensor blk.0.attn_q.weight", NULL);
    }
    begin_image(NULL);
    image_tensor(&image, "blk.0.attn_q.weight")->dims[0] = 1ull << 33;
    image_tensor(&image, "blk.0.attn_q.weight")->dims[1] = 1ull << 33;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tensor blk.0.attn_q.weight", NULL);
    image_tensor(&image, "blk.0.attn_q.weight")->n_dims = 5;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tensor blk.0.attn_q.weight", "5 dimensions",
                  NULL);
    image_tensor(&image, "blk.0.attn_q.weight")->n_dims = 0;
    check_refused(image_write(&image), SOT_ERR_FORMAT, "tensor blk.0.attn_q.weight", "0 dimensions",
                  NULL);
}

static void gguf_tensor_names_must_be_printable(void **state)
{
    (void)state;
    static const char *const names[] = {"", "bad\nname", "bad\xFF name"};
    for (size_t i = 0; i < 3; i++) {
        begin_image(NULL);
        image.tensors[2].name = names[i];
        check_refused(image_write(&image), SOT_ERR_FORMAT, "tiny.gguf", "tensor 2", "name", NULL);
    }
}

static void gguf_truncated_at_any_byte_is_refused(void **state)
{
    (void)state;
    static bytes whole;
    image_set_tokens(&image);
    image_write(&image);
    image_bytes(&image, &whole);
    const char *path = path_of("tiny.gguf");
    assert_true(open_survives(path));
    size_t header = whole.size - image.data.size; /* every byte of it; the data in steps */
    for (size_t size = whole.size - 1; size > 0; size -= size > header ? 7 : 1) {
        assert_int_equal(truncate(path, (off_t)size), 0);
        assert_false(open_survives(path));
        assert_non_null(strstr(soti_fail_message(), "tiny.gguf"));
    }
    assert_int_equal(truncate(path, 0), 0);
    check_refused(path, SOT_ERR_FORMAT, "tiny.gguf", "empty", NULL);
}

static void gguf_any_field_that_lies_is_refused(void **state)
{
    (void)state;
    static bytes whole;
    static const uint64_t lies[] = {0,          1,          UINT32_MAX,     1ull << 31,
                                    1ull << 32, 1ull << 63, UINT64_MAX - 7, UINT64_MAX};
    image_set_tokens(&image);
    image_bytes(&image, &whole);
    size_t n_tried = 0;
    for (size_t i = 0; i < image.n_fields; i++) {
        const gguf_field *field = &image.fields[i];
        for (size_t j = 0; j < sizeof lies / sizeof lies[0]; j++) {
            uint64_t mask = field->n_bytes == 8 ? UINT64_MAX : UINT32_MAX;
            bool type = strcmp(field->what, "type of a tensor") == 0 && lies[j] < 2;
            if ((lies[j] & mask) == field->value || type) { /* 0 and 1: types that we read */
                continue;
            }
            bytes wrong = {.size = 0};
            put(&wrong, whole.data, whole.size);
            wrong.size = field->offset;
            put_number(&wrong, lies[j], field->n_bytes);
            wrong.size = whole.size;
            write_file(path_of("tiny.gguf"), wrong.data, wrong.size);
            if (open_survives(path_of("tiny.gguf"))) {
                fail_msg("%s at %zu: %llu is accepted", field->what, field->offset,
                         (unsigned long long)lies[j]);
            }
            assert_non_null(strstr(soti_fail_message(), "tiny.gguf"));
            n_tried++;
        }
    }
    assert_true(n_tried > 500);
}

static void gguf_random_damage_is_survived(void **state)
{
    (void)state;
    static bytes whole;
    static bytes damaged;
    image_set_tokens(&image);
    image_bytes(&image, &whole);
    size_t header = whole.size - image.data.size;
    uint32_t random = 12345;
    for (int i = 0; i < 1500; i++) {
        damaged = whole;
        for (int j = 0; j <= i % 4; j++) {
            random = random * 1664525u + 1013904223u;
            damaged.data[(random >> 8) % header] = (uint8_t)(random >> 4);
        }
        write_file(path_of("tiny.gguf"), damaged.data, damaged.size);
        open_survives(path_of("tiny.gguf"));
    }
}

static void gguf_any_allocation_may_fail(void **state)
{
    (void)state;
    image_set_tokens(&image);
    check_every_allocation(image_write(&image));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(gguf_good_file_gives_shape_and_tensors, begin_image),
        cmocka_unit_test_setup(gguf_every_float_type_is_read, begin_image),
        cmocka_unit_test_setup(gguf_without_output_ties_it, begin_image),
        cmocka_unit_test_setup(gguf_optional_keys_have_their_defaults, begin_image),
        cmocka_unit_test_setup(gguf_head_size_is_derived_when_not_stated, begin_image),
        cmocka_unit_test_setup(gguf_rope_keys_are_read, begin_image),
        cmocka_unit_test_setup(gguf_what_we_cannot_compute_is_unsupported, begin_image),
        cmocka_unit_test_setup(gguf_unknown_tensor_is_logged_and_ignored, begin_image),
        cmocka_unit_test_setup(gguf_missing_tensor_is_named, begin_image),
        cmocka_unit_test_setup(gguf_duplicate_tensor_is_named, begin_image),
        cmocka_unit_test_setup(gguf_wrong_shape_is_named_with_both, begin_image),
        cmocka_unit_test_setup(gguf_overlapping_tensors_are_named, begin_image),
        cmocka_unit_test_setup(gguf_offsets_outside_the_file_are_refused, begin_image),
        cmocka_unit_test_setup(gguf_alignment_is_obeyed, begin_image),
        cmocka_unit_test_setup(gguf_other_magic_or_version_is_refused, begin_image),
        cmocka_unit_test_setup(gguf_required_keys_are_named_when_missing_or_mistyped, begin_image),
        cmocka_unit_test_setup(gguf_numbers_out_of_range_are_refused, begin_image),
        cmocka_unit_test_setup(gguf_impossible_dimensions_are_refused, begin_image),
        cmocka_unit_test_setup(gguf_tensor_names_must_be_printable, begin_image),
        cmocka_unit_test_setup(gguf_truncated_at_any_byte_is_refused, begin_image),
        cmocka_unit_test_setup(gguf_any_field_that_lies_is_refused, begin_image),
        cmocka_unit_test_setup(gguf_random_damage_is_survived, begin_image),
        cmocka_unit_test_setup(gguf_any_allocation_may_fail, begin_image),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
