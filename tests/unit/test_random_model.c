/* random: models: the specification's grammar, and weights that are the same every time. */
#include "model_files.h"

#include <fenv.h>
#include <math.h>
#include <sched.h>

#include "base/random.h"

static soti_checkpoint checkpoint;

static const soti_shape *opened(const char *spec)
{
    if (open_model(spec, &checkpoint) != SOT_OK) {
        fail_msg("%s: %s", spec, soti_fail_message());
    }
    return &checkpoint.shape;
}

/* FNV-1a over every tensor in order of name. */
static uint64_t hash_of(const soti_checkpoint *model)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < model->n_tensors; i++) {
        for (size_t j = 0; j < model->tensors[i].bytes; j++) {
            hash = (hash ^ model->tensors[i].data[j]) * 1099511628211u;
        }
    }
    return hash;
}

static uint64_t hash_of_spec(const char *spec)
{
    opened(spec);
    uint64_t hash = hash_of(&checkpoint);
    soti_checkpoint_close(&checkpoint);
    return hash;
}

static void random_spec_gives_its_shape(void **state)
{
    (void)state;
    const soti_shape *shape = opened("random:48x3x4x100x300");
    assert_int_equal(shape->d_model, 48);
    assert_int_equal(shape->n_layer, 3);
    assert_int_equal(shape->n_head, 4);
    assert_int_equal(shape->n_kv, 4);
    assert_int_equal(shape->d_head, 12);
    assert_int_equal(shape->d_ff, 100);
    assert_int_equal(shape->n_vocab, 300);
    assert_int_equal(shape->rope_layout, SOTI_ROPE_HALF_SPLIT);
    assert_int_equal(checkpoint.n_ctx_train, 4096);
    assert_int_equal(checkpoint.tied_output, 0);
    assert_int_equal(checkpoint.n_tensors, 3 * 9 + 3);
    assert_int_equal(checkpoint.n_maps, 0);
    assert_int_equal(checkpoint.vocabulary.n_pieces, 300);
    assert_int_equal(checkpoint.bos_id, 1);
    assert_int_equal(checkpoint.eos_id, 2);
    assert_string_equal(checkpoint.name, "random:48x3x4x100x300");
    assert_string_equal(checkpoint.conversation, "none");
    for (size_t i = 0; i < checkpoint.n_tensors; i++) {
        const soti_tensor *tensor = &checkpoint.tensors[i];
        const uint8_t *owned = checkpoint.owned;
        assert_int_equal(tensor->type, SOTI_TYPE_F16);
        assert_true(tensor->data >= owned);
        assert_true(tensor->data + tensor->bytes <= owned + checkpoint.owned_bytes);
        assert_int_equal((uintptr_t)tensor->data % 64, 0);
    }
    soti_checkpoint_close(&checkpoint);
}

static void random_small_vocabulary_has_no_tokenizer(void **state)
{
    (void)state;
    opened("random:8x1x2x8x258");
    assert_int_equal(checkpoint.vocabulary.n_pieces, 0);
    assert_int_equal(checkpoint.bos_id, -1);
    assert_int_equal(checkpoint.eos_id, -1);
    soti_checkpoint_close(&checkpoint);
}

static int32_t cancel_at_once(uint64_t done, uint64_t total, void *user)
{
    *(uint64_t *)user = total;
    return done > 0;
}

static void random_presets_have_published_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        uint64_t n_parameters; /* as Transformers counts them */
    } presets[] = {
        {"random:7b", 6738415616}, {"random:13b", 13015864320}, {"random:33b?seed=9", 32528943616}};
    for (size_t i = 0; i < 3; i++) {
        uint64_t total = 0;
        sot_status status =
            soti_checkpoint_open(presets[i].spec, 0, &no_log, cancel_at_once, &total, &checkpoint);
        if (status == SOT_ERR_MEMORY) {
            print_message("[ SKIPPED  ] %s: %s\n", presets[i].spec, soti_fail_message());
            continue;
        }
        assert_int_equal(status, SOT_ERR_CANCELLED);
        assert_non_null(strstr(soti_fail_message(), presets[i].spec));
        assert_null(checkpoint.owned);
        assert_true(total >= 2 * presets[i].n_parameters);
        assert_true(total < 2 * presets[i].n_parameters + 64 * 1024);
    }
}

static void random_bad_specs_say_what_is_wrong(void **state)
{
    (void)state;
    static const char *const specs[][2] = {
        {"random:", "DIM is not a number"},
        {"random:8b", "LAYERS"},
        {"random:x", "DIM is not a number"},
        {"random:64", "LAYERS"},
        {"random:64x", "LAYERS is not a number"},
        {"random:64x2x4", "FF"},
        {"random:64x2x4x128", "VOCAB"},
        {"random:64x2x4x128x", "VOCAB is not a number"},
        {"random:64x2x4x128x300x5", "unexpected \"x5\""},
        {"random:64x2x4x128x300 ", "unexpected \" \""},
        {"random:-64x2x4x128x300", "DIM is not a number"},
        {"random:64x2x0x128x300", "HEADS 0"},
        {"random:64x2x5x128x300", "DIM 64 cannot be divided by HEADS 5"},
        {"random:0x2x4x128x300", "0"},
        {"random:64x0x4x128x300", "layers is 0"},
        {"random:64x2x64x128x300", "size of a head is 1"},
        {"random:64x2x4x0x300", "feed-forward"},
        {"random:64x2x4x128x0", "vocabulary"},
        {"random:64x2x4x128x99999999999999999999", "VOCAB"},
        {"random:4294967296x2x4x128x300", "DIM"},
        {"random:64x2x4x128x300?", "?seed="},
        {"random:64x2x4x128x300?seed=", "?seed="},
        {"random:64x2x4x128x300?seed=-1", "?seed="},
        {"random:64x2x4x128x300?seed=1x", "?seed="},
        {"random:64x2x4x128x300?seed=18446744073709551616", "?seed="},
        {"random:7b?speed=1", "?seed="},
    };
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        check_refused(specs[i][0], SOT_ERR_ARGUMENT, specs[i][0], specs[i][1], NULL);
    }
    check_refused("random:1048576x4096x4096x4194304x16777216", SOT_ERR_MEMORY, NULL);
}

static void random_weights_are_the_same_every_time(void **state)
{
    (void)state;
    uint64_t hash = hash_of_spec("random:64x2x4x120x300");
    assert_true(hash == hash_of_spec("random:64x2x4x120x300"));
    assert_true(hash == hash_of_spec("random:64x2x4x120x300?seed=0"));
    assert_true(hash != hash_of_spec("random:64x2x4x120x300?seed=1"));
    assert_true(hash_of_spec("random:64x2x4x120x300?seed=18446744073709551615") !=
                hash_of_spec("random:64x2x4x120x300?seed=1"));
}

static void random_weights_do_not_depend_on_the_number_of_threads(void **state)
{
    (void)state;
    cpu_set_t all;
    cpu_set_t one;
    uint64_t hash = hash_of_spec("random:64x2x4x121x301?seed=5");
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    if (CPU_COUNT(&all) < 2) {
        print_message("only one CPU: nothing to compare\n");
        skip();
    }
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &one);
        }
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    uint64_t hash_of_one = hash_of_spec("random:64x2x4x121x301?seed=5");
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_true(hash == hash_of_one);
}

/* Mean 0 and the deviation that the tensor's role asks for: the bounds are five standard errors,
 * computed for a uniform distribution of n values. */
static void check_spread(const char *name, double deviation)
{
    const soti_tensor *tensor = soti_checkpoint_find(&checkpoint, name);
    size_t n = tensor->bytes / 2;
    double sum = 0;
    double squares = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, tensor->data + 2 * i, 2);
        double value = (double)soti_half_to_float(half);
        sum += value;
        squares += value * value;
        assert_true(fabs(value) <= deviation * 1.7330); /* sqrt(3), and rounding to FP16 */
    }
    double found = sqrt(squares / (double)n);
    assert_true(fabs(sum / (double)n) < 5 * deviation / sqrt((double)n));
    assert_true(fabs(found / deviation - 1) < 5 * 0.45 / sqrt((double)n) + 1e-3);
}

static void random_weights_have_the_spread_of_their_role(void **state)
{
    (void)state;
    opened("random:64x2x4x200x300");
    check_spread("model.embed_tokens.weight", 1.0);
    check_spread("lm_head.weight", 1 / sqrt(64));
    check_spread("model.layers.0.self_attn.q_proj.weight", 1 / sqrt(64));
    check_spread("model.layers.1.mlp.up_proj.weight", 1 / sqrt(64));
    check_spread("model.layers.0.self_attn.o_proj.weight", 1 / sqrt(64 * 4));
    check_spread("model.layers.1.mlp.down_proj.weight", 1 / sqrt(200 * 4));
    const soti_tensor *norm = soti_checkpoint_find(&checkpoint, "model.norm.weight");
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(norm->data[2 * i], 0x00);
        assert_int_equal(norm->data[2 * i + 1], 0x3C); /* 1.0 */
    }
    soti_checkpoint_close(&checkpoint);
}

/* Value i of tensor t comes from block i / 8 of stream t: a GPU, or another program, can make the
 * same weights. Embedding: stream 0, deviation 1, levels (2k - 4095) / 4096 * sqrt(3). */
static void random_weights_follow_the_documented_formula(void **state)
{
    (void)state;
    opened("random:64x2x4x200x300?seed=77");
    const soti_tensor *tensor = soti_checkpoint_find(&checkpoint, "model.embed_tokens.weight");
    for (size_t i = 0; i < 300 * 64; i++) {
        uint32_t words[4];
        uint16_t half;
        soti_random_block(77, 0, i / 8, words);
        uint32_t k = words[i % 8 / 2] >> (i % 2 * 16) & 4095;
        memcpy(&half, tensor->data + 2 * i, 2);
        double exact = (2.0 * k - 4095) / 4096 * sqrt(3.0);
        assert_int_equal(half, soti_half_from_float((float)exact));
    }
    soti_checkpoint_close(&checkpoint);
}

static int32_t record_progress(uint64_t done, uint64_t total, void *user)
{
    uint64_t *last = user;
    assert_true(done > *last);
    assert_true(done <= total);
    *last = done;
    return 0;
}

static void random_progress_grows(void **state)
{
    (void)state;
    uint64_t last = 0;
    assert_int_equal(soti_checkpoint_open("random:64x2x4x200x300", 0, &no_log, record_progress,
                                          &last, &checkpoint),
                     SOT_OK);
    assert_true(last > 0 && last <= checkpoint.owned_bytes);
    soti_checkpoint_close(&checkpoint);
}

static void random_any_allocation_may_fail(void **state)
{
    (void)state;
    check_every_allocation("random:16x1x2x16x260");
}

static void random_weights_do_not_depend_on_the_rounding_of_the_host(void **state)
{
    (void)state;
    uint64_t usual = hash_of_spec("random:48x3x4x100x300");
    assert_int_equal(fesetround(FE_UPWARD), 0);
    uint64_t upward = hash_of_spec("random:48x3x4x100x300");
    fesetround(FE_TONEAREST);
    assert_true(upward == usual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_weights_do_not_depend_on_the_rounding_of_the_host),
        cmocka_unit_test(random_spec_gives_its_shape),
        cmocka_unit_test(random_small_vocabulary_has_no_tokenizer),
        cmocka_unit_test(random_presets_have_published_sizes),
        cmocka_unit_test(random_bad_specs_say_what_is_wrong),
        cmocka_unit_test(random_weights_are_the_same_every_time),
        cmocka_unit_test(random_weights_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(random_weights_have_the_spread_of_their_role),
        cmocka_unit_test(random_weights_follow_the_documented_formula),
        cmocka_unit_test(random_progress_grows),
        cmocka_unit_test(random_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
