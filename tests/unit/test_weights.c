/* From named tensors to pointers, over checkpoints made in memory. FP16 bit patterns are written
 * down from IEEE 754, not computed by the library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "model/weights.h"

enum { D_MODEL = 4, D_FF = 6, N_HEAD = 2, N_KV = 1, D_HEAD = 2, N_VOCAB = 5, TENSORS_MAX = 12 };

/* Names in the order of strcmp, as a checkpoint has them. */
static const struct {
    const char *name;
    uint32_t rows, columns; /* columns 0: one dimension */
} layout[TENSORS_MAX] = {
    {"lm_head.weight", N_VOCAB, D_MODEL},
    {"model.embed_tokens.weight", N_VOCAB, D_MODEL},
    {"model.layers.0.input_layernorm.weight", D_MODEL, 0},
    {"model.layers.0.mlp.down_proj.weight", D_MODEL, D_FF},
    {"model.layers.0.mlp.gate_proj.weight", D_FF, D_MODEL},
    {"model.layers.0.mlp.up_proj.weight", D_FF, D_MODEL},
    {"model.layers.0.post_attention_layernorm.weight", D_MODEL, 0},
    {"model.layers.0.self_attn.k_proj.weight", N_KV *D_HEAD, D_MODEL},
    {"model.layers.0.self_attn.o_proj.weight", D_MODEL, N_HEAD *D_HEAD},
    {"model.layers.0.self_attn.q_proj.weight", N_HEAD *D_HEAD, D_MODEL},
    {"model.layers.0.self_attn.v_proj.weight", N_KV *D_HEAD, D_MODEL},
    {"model.norm.weight", D_MODEL, 0},
};

enum {
    LM_HEAD = 0,
    EMBEDDING = 1,
    FIRST_NORM = 2,
    DOWN = 3,
    K_PROJ = 7,
    Q_PROJ = 9,
    LAST_NORM = 11
};

typedef struct fixture {
    soti_checkpoint checkpoint;
    soti_tensor tensors[TENSORS_MAX];
    char names[TENSORS_MAX][64];
    uint8_t *blocks[TENSORS_MAX];
} fixture;

/* Zeros of the given type, at an address with the given remainder by 2. */
static void set_type(fixture *f, int i, uint32_t type, size_t odd)
{
    soti_tensor *tensor = &f->tensors[i];
    size_t n = (size_t)tensor->dims[0] * (tensor->n_dims == 2 ? tensor->dims[1] : 1);
    free(f->blocks[i]);
    tensor->type = type;
    tensor->bytes = n * (type == SOTI_TYPE_F32 ? 4 : 2);
    f->blocks[i] = calloc(1, tensor->bytes + odd);
    assert_non_null(f->blocks[i]);
    tensor->data = f->blocks[i] + odd;
}

static void set_f32(fixture *f, int i, size_t element, float value)
{
    memcpy(f->blocks[i] + element * sizeof value, &value, sizeof value);
}

static fixture *make_fixture(uint32_t type)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    static char path[] = "a/model";
    f->checkpoint.path = path;
    f->checkpoint.shape = (soti_shape){.n_layer = 1,
                                       .n_head = N_HEAD,
                                       .n_kv = N_KV,
                                       .d_head = D_HEAD,
                                       .d_model = D_MODEL,
                                       .d_ff = D_FF,
                                       .n_vocab = N_VOCAB};
    f->checkpoint.tensors = f->tensors;
    f->checkpoint.n_tensors = TENSORS_MAX;
    for (int i = 0; i < TENSORS_MAX; i++) {
        snprintf(f->names[i], sizeof f->names[i], "%s", layout[i].name);
        f->tensors[i] = (soti_tensor){.name = f->names[i],
                                      .file = "a/model/part.safetensors",
                                      .n_dims = layout[i].columns ? 2 : 1,
                                      .dims = {layout[i].rows, layout[i].columns}};
        set_type(f, i, layout[i].columns ? type : SOTI_TYPE_F32, 0);
    }
    return f;
}

static void free_fixture(fixture *f)
{
    for (int i = 0; i < TENSORS_MAX; i++) {
        free(f->blocks[i]);
    }
    free(f);
}

static void assert_build_fails(const fixture *f, sot_status status, const char *words)
{
    soti_weight_set set;
    assert_int_equal(soti_weight_set_build(&f->checkpoint, 0, NULL, NULL, &set), status);
    assert_non_null(strstr(soti_fail_message(), words));
    assert_null(set.layers);
    assert_null(set.converted);
    assert_int_equal(set.converted_bytes, 0);
}

static void weights_fp16_is_used_in_place(void **state)
{
    (void)state;
    fixture *f = make_fixture(SOTI_TYPE_F16);
    soti_weight_set set;
    assert_int_equal(soti_weight_set_build(&f->checkpoint, 0, NULL, NULL, &set), SOT_OK);
    assert_int_equal(set.converted_bytes, 0);
    assert_null(set.converted);
    assert_ptr_equal(set.view.embedding, f->tensors[EMBEDDING].data);
    assert_ptr_equal(set.view.output, f->tensors[LM_HEAD].data);
    assert_ptr_equal(set.view.layers[0].w_down, f->tensors[DOWN].data);
    assert_ptr_equal(set.view.layers[0].w_gate, f->tensors[4].data);
    assert_ptr_equal(set.view.layers[0].w_up, f->tensors[5].data);
    assert_ptr_equal(set.view.layers[0].wk, f->tensors[K_PROJ].data);
    assert_ptr_equal(set.view.layers[0].wo, f->tensors[8].data);
    assert_ptr_equal(set.view.layers[0].wq, f->tensors[Q_PROJ].data);
    assert_ptr_equal(set.view.layers[0].wv, f->tensors[10].data);
    soti_weight_set_free(&set);
    free_fixture(f);
}

static void weights_fp16_at_an_odd_address_is_copied(void **state)
{
    (void)state;
    fixture *f = make_fixture(SOTI_TYPE_F16);
    set_type(f, K_PROJ, SOTI_TYPE_F16, 1);
    for (size_t i = 0; i < f->tensors[K_PROJ].bytes; i++) {
        f->blocks[K_PROJ][1 + i] = (uint8_t)(i * 37); /* infinities too: FP16 is never judged */
    }
    soti_weight_set set;
    assert_int_equal(soti_weight_set_build(&f->checkpoint, 0, NULL, NULL, &set), SOT_OK);
    assert_ptr_equal(set.view.layers[0].wk, set.converted);
    assert_int_equal((uintptr_t)set.view.layers[0].wk % 2, 0);
    assert_memory_equal(set.converted, f->tensors[K_PROJ].data, f->tensors[K_PROJ].bytes);
    assert_true(set.converted_bytes >= f->tensors[K_PROJ].bytes);
    assert_ptr_equal(set.view.layers[0].wq, f->tensors[Q_PROJ].data);
    soti_weight_set_free(&set);
    free_fixture(f);
}

static void weights_f32_is_rounded_to_nearest_even(void **state)
{
    (void)state;
    const struct {
        float value;
        uint16_t half;
    } known[] = {
        {0.0f, 0x0000},
        {-0.0f, 0x8000},
        {1.0f, 0x3C00},
        {-2.0f, 0xC000},
        {65504.0f, 0x7BFF},
        {65519.99f, 0x7BFF},
        {0x1p-14f, 0x0400},
        {0x1p-24f, 0x0001},
        {0x1p-25f, 0x0000},
        {0x1.8p-24f, 0x0002},
        {1.0f + 0x1p-11f, 0x3C00},
        {1.0f + 0x3p-11f, 0x3C02},
        {0x1.000002p-25f, 0x0001},
        {0.1f, 0x2E66},
    };
    fixture *f = make_fixture(SOTI_TYPE_F16);
    set_type(f, DOWN, SOTI_TYPE_F32, 0);
    size_t n_known = sizeof known / sizeof *known;
    assert_true(n_known <= D_MODEL * D_FF);
    for (size_t i = 0; i < n_known; i++) {
        set_f32(f, DOWN, i, known[i].value);
    }
    soti_weight_set set;
    assert_int_equal(soti_weight_set_build(&f->checkpoint, 0, NULL, NULL, &set), SOT_OK);
    for (size_t i = 0; i < n_known; i++) {
        assert_int_equal(set.view.layers[0].w_down[i], known[i].half);
    }
    soti_weight_set_free(&set);
    free_fixture(f);
}

static void weights_bf16_is_converted_at_any_address(void **state)
{
    (void)state;
    fixture *f = make_fixture(SOTI_TYPE_BF16);
    set_type(f, Q_PROJ, SOTI_TYPE_BF16, 1);
    const uint16_t bf16[] = {0x3F80, 0xBF00, 0x4049, 0x0001}; /* 1, -0.5, 3.140625, 9.2e-41 */
    const uint16_t half[] = {0x3C00, 0xB800, 0x4248, 0x0000};
    memcpy(f->blocks[Q_PROJ] + 1, bf16, sizeof bf16);
    soti_weight_set set;
    assert_int_equal(soti_weight_set_build(&f->checkpoint, 0, NULL, NULL, &set), SOT_OK);
    assert_memory_equal(set.view.layers[0].wq, half, sizeof half);
    soti_weight_set_free(&set);
    free_fixture(f);
}

static void weights_values_beyond_fp16_are_refused_by_name(void **state)
{
    (void)state;
    fixture *f = make_fixture(SOTI_TYPE_F32);
    set_f32(f, DOWN, 17, -65520.0f);
    assert_build_fails(f, SOT_ERR_RANGE,
                       "a/model/part.safetensors: tensor model.layers.0.mlp.down_proj.weight: "
                       "element 17 is -65520");
    set_f32(f, DOWN, 17, NAN);
    assert_build_fails(f, SOT_ERR_RANGE, "element 17 is");
    set_f32(f, DOWN, 5, INFINITY);
    assert_build_fails(f, SOT_ERR_RANGE, "element 5 is inf");
    set_f32(f, DOWN, 5, 0);
    set_f32(f, DOWN, 17, 0);
    soti_weight_set set;
    assert_int_equal(soti_weight_set_build(&f->checkpoint, 0, NULL, NULL, &set), SOT_OK);
    soti_weight_set_free(&set);
    free_fixture(f);
}

/* Large enough that every thread of a pool has a share: the first bad element is named whichever
 * thread is first. */
static void weights_first_bad_element_of_many_is_named(void **state)
{
    (void)state;
    fixture *f = make_fixture(SOTI_TYPE_F16);
    const uint32_t n_vocab = 100000;
    f->checkpoint.shape.n_vocab = n_vocab;
    f->tensors[LM_HEAD].dims[0] = f->tensors[EMBEDDING].dims[0] = n_vocab;
    set_type(f, LM_HEAD, SOTI_TYPE_F32, 0);
    set_type(f, EMBEDDING, SOTI_TYPE_F16, 0);
    const size_t bad[] = {399999, 300000, 200001, 100001, 12345};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char words[40];
        set_f32(f, LM_HEAD, bad[i], 1e6f);
        snprintf(words, sizeof words, "element %zu is 1e+06", bad[i]);
        assert_build_fails(f, SOT_ERR_RANGE, words);
    }
    free_fixture(f);
}

static void weights_norms_become_f32_from_every_type(void **state)
{
    (void)state;
    fixture *f = make_fixture(SOTI_TYPE_F16);
    const uint16_t half[D_MODEL] = {0x3C00, 0x3800, 0xC000, 0x0001};
    const uint16_t bf16[D_MODEL] = {0x3F80, 0x3F00, 0x7F00, 0x0001};
    set_type(f, FIRST_NORM, SOTI_TYPE_F16, 1);
    memcpy(f->blocks[FIRST_NORM] + 1, half, sizeof half);
    set_type(f, 6, SOTI_TYPE_BF16, 0);
    memcpy(f->blocks[6], bf16, sizeof bf16);
    set_f32(f, LAST_NORM, 3, 1e30f); /* FP32 holds what FP16 does not */
    soti_weight_set set;
    assert_int_equal(soti_weight_set_build(&f->checkpoint, 0, NULL, NULL, &set), SOT_OK);
    const float first[D_MODEL] = {1.0f, 0.5f, -2.0f, 0x1p-24f};
    const float second[D_MODEL] = {1.0f, 0.5f, 0x1p127f, 0x1p-133f};
    assert_memory_equal(set.view.layers[0].attention_norm, first, sizeof first);
    assert_memory_equal(set.view.layers[0].ffn_norm, second, sizeof second);
    assert_true(set.view.output_norm[3] == 1e30f);
    soti_weight_set_free(&set);
    set_f32(f, LAST_NORM, 2, NAN);
    assert_build_fails(f, SOT_ERR_RANGE, "tensor model.norm.weight: element 2 is");
    free_fixture(f);
}

static void weights_tied_output_is_the_embedding(void **state)
{
    (void)state;
    const uint32_t types[] = {SOTI_TYPE_F16, SOTI_TYPE_F32};
    for (int i = 0; i < 2; i++) {
        fixture *f = make_fixture(types[i]);
        f->checkpoint.tied_output = 1;
        f->checkpoint.tensors = f->tensors + 1; /* no lm_head.weight */
        f->checkpoint.n_tensors = TENSORS_MAX - 1;
        soti_weight_set set;
        assert_int_equal(soti_weight_set_build(&f->checkpoint, 0, NULL, NULL, &set), SOT_OK);
        assert_ptr_equal(set.view.output, set.view.embedding);
        soti_weight_set_free(&set);
        free_fixture(f);
    }
}

static void weights_sizes_are_those_of_the_shape(void **state)
{
    (void)state;
    const uint64_t layer = 2 * 4 * 4 + 2 * 2 * 4 + 3 * 4 * 6; /* q o, k v, gate up down */
    const uint64_t table = 5 * 4;
    const uint64_t norms = 3 * 4;
    fixture *f = make_fixture(SOTI_TYPE_F16);
    soti_weight_set set;
    assert_int_equal(soti_weight_set_build(&f->checkpoint, 0, NULL, NULL, &set), SOT_OK);
    assert_int_equal(set.n_parameters, layer + 2 * table + norms);
    assert_int_equal(set.weight_bytes, 2 * (layer + table));
    soti_weight_set_free(&set);
    f->checkpoint.tied_output = 1;
    assert_int_equal(soti_weight_set_build(&f->checkpoint, 0, NULL, NULL, &set), SOT_OK);
    assert_int_equal(set.n_parameters, layer + table + norms);
    assert_int_equal(set.weight_bytes, 2 * (layer + table));
    soti_weight_set_free(&set);
    free_fixture(f);
}

typedef struct progress_log {
    uint32_t n_calls, stop_at;
    uint64_t done, total;
} progress_log;

static int32_t log_progress(uint64_t done, uint64_t total, void *user)
{
    progress_log *log = user;
    assert_true(done > log->done);
    assert_true(log->n_calls == 0 || total == log->total);
    log->done = done;
    log->total = total;
    return ++log->n_calls == log->stop_at;
}

static void weights_progress_ends_at_all_bytes(void **state)
{
    (void)state;
    fixture *f = make_fixture(SOTI_TYPE_F32);
    progress_log log = {0};
    soti_weight_set set;
    assert_int_equal(soti_weight_set_build(&f->checkpoint, 0, log_progress, &log, &set), SOT_OK);
    assert_int_equal(log.n_calls, 9); /* one per matrix */
    assert_int_equal(log.done, log.total);
    assert_int_equal(log.total, 4 * (2 * 5 * 4 + 2 * 4 * 4 + 2 * 2 * 4 + 3 * 4 * 6));
    soti_weight_set_free(&set);
    free_fixture(f);
}

static void weights_progress_cancels_at_any_tensor(void **state)
{
    (void)state;
    fixture *f = make_fixture(SOTI_TYPE_F32);
    for (uint32_t stop_at = 1; stop_at <= 9; stop_at++) {
        progress_log log = {.stop_at = stop_at};
        soti_weight_set set;
        assert_int_equal(soti_weight_set_build(&f->checkpoint, 0, log_progress, &log, &set),
                         SOT_ERR_CANCELLED);
        assert_int_equal(log.n_calls, stop_at);
        assert_null(set.converted);
        assert_non_null(strstr(soti_fail_message(), "a/model"));
    }
    free_fixture(f);
}

static void weights_missing_tensor_is_named(void **state)
{
    (void)state;
    for (int i = 0; i < TENSORS_MAX; i++) {
        fixture *f = make_fixture(SOTI_TYPE_F16);
        char name[64];
        memcpy(name, f->names[i], sizeof name);
        memset(f->names[i] + strlen(f->names[i]) - 1, '_', 1); /* "weigh_": the order stays */
        assert_build_fails(f, SOT_ERR_FORMAT, name);
        free_fixture(f);
    }
}

static void weights_build_survives_every_failed_allocation(void **state)
{
    (void)state;
    fixture *f = make_fixture(SOTI_TYPE_F32);
    long n = 0;
    for (;; n++) {
        soti_weight_set set;
        soti_alloc_fail_at(n);
        sot_status status = soti_weight_set_build(&f->checkpoint, 0, NULL, NULL, &set);
        bool passed_all = soti_alloc_fail_at(-1) >= 0;
        assert_int_equal(status, passed_all ? SOT_OK : SOT_ERR_MEMORY);
        if (passed_all) {
            soti_weight_set_free(&set);
            break;
        }
        assert_null(set.layers);
    }
    assert_true(n >= 4); /* layers, norms, converted, pool */
    free_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_fp16_is_used_in_place),
        cmocka_unit_test(weights_fp16_at_an_odd_address_is_copied),
        cmocka_unit_test(weights_f32_is_rounded_to_nearest_even),
        cmocka_unit_test(weights_bf16_is_converted_at_any_address),
        cmocka_unit_test(weights_values_beyond_fp16_are_refused_by_name),
        cmocka_unit_test(weights_first_bad_element_of_many_is_named),
        cmocka_unit_test(weights_norms_become_f32_from_every_type),
        cmocka_unit_test(weights_tied_output_is_the_embedding),
        cmocka_unit_test(weights_sizes_are_those_of_the_shape),
        cmocka_unit_test(weights_progress_ends_at_all_bytes),
        cmocka_unit_test(weights_progress_cancels_at_any_tensor),
        cmocka_unit_test(weights_missing_tensor_is_named),
        cmocka_unit_test(weights_build_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
