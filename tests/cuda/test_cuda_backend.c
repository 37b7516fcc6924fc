/* CUDA's table against the CPU's: the same random models, the same batches, logits close to each
 * other; and what must agree to the bit: a row alone and among others, grouped and flat, a prompt
 * cut here or there, a step replayed and launched kernel by kernel. */
#include "cuda/cuda_context.h"
#include "cuda_rig.h"

enum { N_SHARED_PAGES = 9, N_POINTS = 11 };

static const soti_shape shapes[] = {
    {2, 4, 2, 16, 33, 47, 53, SOTI_ROPE_INTERLEAVED, 10000.0f, 1.0f, 1e-5f},
    {1, 3, 3, 48, 96, 100, 61, SOTI_ROPE_HALF_SPLIT, 10000.0f, 1.0f, 1e-6f},
    {2, 4, 1, 64, 129, 77, 127, SOTI_ROPE_HALF_SPLIT, 500000.0f, 2.0f, 1e-5f},
    {1, 2, 1, 128, 66, 130, 40, SOTI_ROPE_INTERLEAVED, 10000.0f, 1.0f, 1e-5f},
};

enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static rig_batch batch;

/* CUDA rounds the activations in front of each product to FP16, the CPU does not: 2^-12 of each on
 * average, in a few products behind each other, over random signs; against the largest logit. */
static void check_close(const float *found, const float *expected, uint32_t n)
{
    double largest = 0;
    double worst = 0;
    for (uint32_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)expected[i]));
        worst = fmax(worst, fabs((double)found[i] - (double)expected[i]));
    }
    if (!(worst <= 4e-3 * largest)) {
        fail_msg("logits are up to %g off, the largest is %g", worst, largest);
    }
}

static void compare_steps(rig *cuda, rig *cpu)
{
    float found[RIG_VOCAB_MAX];
    float expected[RIG_VOCAB_MAX];
    rig_step(cuda, &batch);
    rig_step(cpu, &batch);
    for (uint32_t i = 0; i < batch.rows.n_logits; i++) {
        rig_read(cuda, i, found);
        rig_read(cpu, i, expected);
        check_close(found, expected, cpu->n_vocab);
    }
}

/* A prompt, another prompt beside a generated row, then generated rows alone. */
static void compare_backends(const soti_shape *shape, int is_tied)
{
    static rig_sequence a, b;
    cpu_model model;
    rig cuda;
    rig cpu;
    cpu_model_make(&model, shape, is_tied);
    rig_open(&cuda, soti_cuda_plugin(SOTI_BACKEND_VERSION), &model);
    rig_open(&cpu, soti_cpu_backend(), &model);
    rig_sequence_make(&a, NULL, 0, 3, 5, 1, shape->n_vocab);
    rig_sequence_make(&b, NULL, 0, 3, 1, 2, shape->n_vocab);
    rig_batch_clear(&batch);
    rig_batch_add(&batch, &a, 0, 19, 1);
    compare_steps(&cuda, &cpu);
    rig_batch_clear(&batch);
    rig_batch_add(&batch, &b, 0, 33, 1);
    rig_batch_add(&batch, &a, 19, 1, 0);
    compare_steps(&cuda, &cpu);
    for (uint32_t i = 0; i < 3; i++) {
        rig_batch_clear(&batch);
        rig_batch_add(&batch, &a, 20 + i, 1, 0);
        rig_batch_add(&batch, &b, 33 + i, 1, 0);
        compare_steps(&cuda, &cpu);
    }
    rig_close(&cuda);
    rig_close(&cpu);
    cpu_model_free(&model);
}

static void backend_of_any_shape_is_close_to_the_cpu(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < N_SHAPES; i++) {
        compare_backends(&shapes[i], i % 2 == 1);
    }
}

/* A prefix that N_POINTS sequences share, each with a few positions of its own. */
typedef struct fork_case {
    cpu_model model;
    rig cuda;
    rig_sequence prefix;
    rig_sequence points[N_POINTS];
    uint32_t lengths[N_POINTS]; /* positions before the step that is compared */
} fork_case;

static void fork_open(fork_case *all, const soti_shape *shape)
{
    uint32_t n_prefix = N_SHARED_PAGES * SOTI_PAGE_TOKENS;
    cpu_model_make(&all->model, shape, 0);
    rig_open(&all->cuda, soti_cuda_plugin(SOTI_BACKEND_VERSION), &all->model);
    rig_sequence_make(&all->prefix, NULL, 0, N_SHARED_PAGES, 2, 3, shape->n_vocab);
    rig_feed(&all->cuda, &all->prefix, 0, n_prefix, 1, NULL);
    for (uint32_t i = 0; i < N_POINTS; i++) {
        rig_sequence_make(&all->points[i], &all->prefix, N_SHARED_PAGES, 2, 20 + 2 * i, 10 + i,
                          shape->n_vocab);
        all->lengths[i] = n_prefix + 1 + i % 5;
        rig_feed(&all->cuda, &all->points[i], n_prefix, 1 + i % 5, 1, NULL);
    }
}

static void fork_close(fork_case *all)
{
    rig_close(&all->cuda);
    cpu_model_free(&all->model);
}

/* The next position of points first .. first + n in one batch; logits (n, RIG_VOCAB_MAX). */
static void fork_step(fork_case *all, uint32_t first, uint32_t n, uint32_t n_shared, float *logits)
{
    rig_batch_clear(&batch);
    for (uint32_t i = first; i < first + n; i++) {
        rig_batch_add(&batch, &all->points[i], all->lengths[i], 1, 0);
    }
    if (n_shared > 0) {
        rig_batch_group(&batch, 0, n_shared);
    }
    rig_step(&all->cuda, &batch);
    for (uint32_t i = 0; i < n; i++) {
        rig_read(&all->cuda, i, logits + i * RIG_VOCAB_MAX);
    }
}

static void check_same(const fork_case *all, const float *a, const float *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        assert_memory_equal(a + i * RIG_VOCAB_MAX, b + i * RIG_VOCAB_MAX,
                            all->cuda.n_vocab * sizeof(float));
    }
}

static void generated_rows_have_the_same_bits_in_any_batch(void **state)
{
    static fork_case all;
    static float together[N_POINTS * RIG_VOCAB_MAX];
    static float other[N_POINTS * RIG_VOCAB_MAX];
    (void)state;
    for (uint32_t s = 0; s < N_SHAPES; s++) {
        fork_open(&all, &shapes[s]);
        fork_step(&all, 0, N_POINTS, 0, together);
        for (uint32_t i = 0; i < N_POINTS; i += 3) {
            fork_step(&all, i, 1, 0, other);
            check_same(&all, other, together + i * RIG_VOCAB_MAX, 1);
        }
        fork_step(&all, 2, 5, 0, other);
        check_same(&all, other, together + 2 * RIG_VOCAB_MAX, 5);
        fork_close(&all);
    }
}

static void grouped_rows_have_the_same_bits_as_flat_ones(void **state)
{
    static fork_case all;
    static float flat[N_POINTS * RIG_VOCAB_MAX];
    static float grouped[N_POINTS * RIG_VOCAB_MAX];
    (void)state;
    for (uint32_t s = 0; s < N_SHAPES; s++) {
        fork_open(&all, &shapes[s]);
        fork_step(&all, 0, N_POINTS, 0, flat);
        fork_step(&all, 0, N_POINTS, N_SHARED_PAGES, grouped);
        check_same(&all, grouped, flat, N_POINTS);
        fork_close(&all);
    }
}

static void replayed_steps_have_the_same_bits_as_launched_ones(void **state)
{
    static fork_case all;
    static float launched[N_POINTS * RIG_VOCAB_MAX];
    static float replayed[N_POINTS * RIG_VOCAB_MAX];
    static const uint32_t counts[] = {1, 8, 9, N_POINTS};
    (void)state;
    for (uint32_t s = 0; s < N_SHAPES; s++) {
        fork_open(&all, &shapes[s]);
        for (uint32_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            assert_int_equal(all.cuda.context->use_graphs, 1);
            fork_step(&all, 0, counts[i], N_SHARED_PAGES, replayed);
            assert_int_equal(all.cuda.context->is_replayed, 1);
            all.cuda.context->use_graphs = 0;
            fork_step(&all, 0, counts[i], N_SHARED_PAGES, launched);
            assert_int_equal(all.cuda.context->is_replayed, 0);
            all.cuda.context->use_graphs = 1;
            check_same(&all, replayed, launched, counts[i]);
        }
        fork_close(&all);
    }
}

/* A graph copies the page tables of as many sequences as it has rows. */
static void steps_of_sequences_without_rows_read_their_own_pages(void **state)
{
    static fork_case all;
    float expected[RIG_VOCAB_MAX];
    float found[RIG_VOCAB_MAX];
    (void)state;
    fork_open(&all, &shapes[1]);
    fork_step(&all, 0, 1, 0, expected);
    rig_batch_clear(&batch);
    batch.rows.n_sequences = RIG_SEQUENCES - 1;
    rig_batch_add(&batch, &all.points[0], all.lengths[0], 1, 0);
    rig_step(&all.cuda, &batch);
    rig_read(&all.cuda, 0, found);
    assert_memory_equal(expected, found, all.cuda.n_vocab * sizeof *found);
    fork_close(&all);
}

/* Logits behind a prompt of 290 rows: more than a chunk, in one batch or in several, alone or with
 * generated rows behind it. */
static void prompts_have_the_same_bits_however_they_are_cut(void **state)
{
    static const uint32_t cuts[][4] = {{290, 290, 290, 290},
                                       {1, 2, 290, 290},
                                       {64, 130, 131, 290},
                                       {256, 290, 290, 290},
                                       {17, 257, 289, 290}};
    static rig_sequence prompt;
    static fork_case all;
    float first[RIG_VOCAB_MAX];
    float logits[RIG_VOCAB_MAX];
    (void)state;
    fork_open(&all, &shapes[0]);
    rig_sequence_make(&prompt, NULL, 0, 19, 100, 50, shapes[0].n_vocab);
    for (uint32_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
        uint32_t done = 0;
        for (uint32_t i = 0; i < 4 && done < cuts[c][i]; i++) {
            rig_batch_clear(&batch);
            uint32_t i_logit = rig_batch_add(&batch, &prompt, done, cuts[c][i] - done, 1);
            for (uint32_t p = 0; p < c; p++) {
                rig_batch_add(&batch, &all.points[p], all.lengths[p], 1, 0);
            }
            rig_step(&all.cuda, &batch);
            rig_read(&all.cuda, i_logit, c == 0 ? first : logits);
            done = cuts[c][i];
        }
        if (c > 0) {
            assert_memory_equal(first, logits, all.cuda.n_vocab * sizeof *first);
        }
    }
    fork_close(&all);
}

/* A generated row beside a prompt: launched, with its sums of squares made anew. */
static void generated_rows_have_the_same_bits_beside_prompts(void **state)
{
    static rig_sequence prompt;
    static fork_case all;
    static float alone[N_POINTS * RIG_VOCAB_MAX];
    float logits[RIG_VOCAB_MAX];
    (void)state;
    for (uint32_t s = 0; s < N_SHAPES; s++) {
        fork_open(&all, &shapes[s]);
        rig_sequence_make(&prompt, NULL, 0, 3, 100, 50, shapes[s].n_vocab);
        fork_step(&all, 0, N_POINTS, 0, alone);
        rig_batch_clear(&batch);
        rig_batch_add(&batch, &prompt, 0, 35, 1);
        for (uint32_t i = 0; i < N_POINTS; i++) {
            rig_batch_add(&batch, &all.points[i], all.lengths[i], 1, 0);
        }
        rig_batch_group(&batch, 35, N_SHARED_PAGES);
        rig_step(&all.cuda, &batch);
        for (uint32_t i = 0; i < N_POINTS; i++) {
            rig_read(&all.cuda, 1 + i, logits);
            assert_memory_equal(logits, alone + i * RIG_VOCAB_MAX,
                                all.cuda.n_vocab * sizeof *logits);
        }
        fork_close(&all);
    }
}

static void page_copies_serve_as_their_originals(void **state)
{
    static fork_case all;
    float before[RIG_VOCAB_MAX];
    float after[RIG_VOCAB_MAX];
    (void)state;
    fork_open(&all, &shapes[0]);
    rig_sequence *point = &all.points[4];
    fork_step(&all, 4, 1, 0, before);
    uint32_t page = all.lengths[4] / SOTI_PAGE_TOKENS;
    assert_int_equal(all.cuda.backend->page_copy(all.cuda.context, 150, point->pages[page],
                                                 all.lengths[4] % SOTI_PAGE_TOKENS),
                     SOT_OK);
    point->pages[page] = 150;
    fork_step(&all, 4, 1, 0, after);
    assert_memory_equal(before, after, all.cuda.n_vocab * sizeof *before);
    assert_int_equal(all.cuda.backend->page_copy(all.cuda.context, RIG_PAGES, 0, 1),
                     SOT_ERR_DEVICE);
    rig_check_said(SOT_ERR_DEVICE, "of 160 pages");
    fork_close(&all);
}

/* Steps that want no logits are launched, too: nothing else would start them. */
static void steps_without_logits_write_their_positions(void **state)
{
    static fork_case all;
    float expected[RIG_VOCAB_MAX];
    float found[RIG_VOCAB_MAX];
    (void)state;
    fork_open(&all, &shapes[1]);
    const rig_sequence *point = &all.points[0];
    rig_feed(&all.cuda, point, all.lengths[0], 1, 0, expected);
    rig_feed(&all.cuda, point, all.lengths[0] + 1, 1, 0, expected);
    rig_sequence other = *point;
    other.pages[N_SHARED_PAGES] = 150; /* holds nothing yet but what follows */
    rig_feed(&all.cuda, &other, all.lengths[0] - 1, 1, 1, NULL);
    rig_batch_clear(&batch);
    rig_batch_add(&batch, &other, all.lengths[0], 1, 0);
    batch.rows.n_logits = 0;
    rig_step(&all.cuda, &batch);
    rig_feed(&all.cuda, &other, all.lengths[0] + 1, 1, 0, found);
    assert_memory_equal(expected, found, all.cuda.n_vocab * sizeof *found);
    fork_close(&all);
}

static uint32_t largest_of(const float *logits, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}

/* More picks than one launch takes, and recent tokens that repeat or are no tokens at all. */
static void picks_in_any_number_choose_the_largest(void **state)
{
    enum { N_PICKS = 3 * RIG_SEQUENCES + 1, N_RECENT = 1000 };
    static fork_case all;
    static float logits[N_POINTS * RIG_VOCAB_MAX];
    static int32_t recent[N_RECENT];
    soti_pick picks[N_PICKS];
    int32_t tokens[N_PICKS];
    (void)state;
    fork_open(&all, &shapes[2]);
    fork_step(&all, 0, N_POINTS, N_SHARED_PAGES, logits);
    for (uint32_t i = 0; i < N_RECENT; i++) {
        recent[i] = (int32_t)(i % 200) - 20; /* all of the vocabulary */
    }
    for (uint32_t i = 0; i < N_PICKS; i++) {
        picks[i] = (soti_pick){.i_logit = i * 7 % N_POINTS,
                               .top_p = 1,
                               .repetition_penalty = i % 2 ? 1.0f : 1.5f,
                               .recent = recent,
                               .n_recent = N_RECENT};
        float *row = logits + (size_t)picks[i].i_logit * RIG_VOCAB_MAX;
        assert_true(row[largest_of(row, all.cuda.n_vocab)] > 0);
    }
    assert_int_equal(all.cuda.backend->pick(all.cuda.context, picks, N_PICKS, tokens), SOT_OK);
    for (uint32_t i = 0; i < N_PICKS; i++) {
        const float *row = logits + (size_t)picks[i].i_logit * RIG_VOCAB_MAX;
        assert_int_equal(tokens[i], largest_of(row, all.cuda.n_vocab));
    }
    picks[1].i_logit = N_POINTS;
    assert_int_equal(all.cuda.backend->pick(all.cuda.context, picks, 2, tokens), SOT_ERR_DEVICE);
    rig_check_said(SOT_ERR_DEVICE, "pick 1: row 11 of 11 rows of logits was asked for");
    fork_close(&all);
}

static void penalised_picks_avoid_recent_tokens(void **state)
{
    static fork_case all;
    static float logits[RIG_VOCAB_MAX];
    int32_t tokens[1];
    int32_t recent[3];
    (void)state;
    fork_open(&all, &shapes[2]);
    fork_step(&all, 0, 1, 0, logits);
    uint32_t first = largest_of(logits, all.cuda.n_vocab);
    recent[0] = recent[1] = recent[2] = (int32_t)first;
    soti_pick pick = {.top_p = 1, .repetition_penalty = 1e6f, .recent = recent, .n_recent = 3};
    assert_int_equal(all.cuda.backend->pick(all.cuda.context, &pick, 1, tokens), SOT_OK);
    logits[first] = -INFINITY;
    assert_int_equal(tokens[0], largest_of(logits, all.cuda.n_vocab));
    fork_close(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backend_of_any_shape_is_close_to_the_cpu),
        cmocka_unit_test(generated_rows_have_the_same_bits_in_any_batch),
        cmocka_unit_test(grouped_rows_have_the_same_bits_as_flat_ones),
        cmocka_unit_test(replayed_steps_have_the_same_bits_as_launched_ones),
        cmocka_unit_test(steps_of_sequences_without_rows_read_their_own_pages),
        cmocka_unit_test(prompts_have_the_same_bits_however_they_are_cut),
        cmocka_unit_test(generated_rows_have_the_same_bits_beside_prompts),
        cmocka_unit_test(page_copies_serve_as_their_originals),
        cmocka_unit_test(steps_without_logits_write_their_positions),
        cmocka_unit_test(picks_in_any_number_choose_the_largest),
        cmocka_unit_test(penalised_picks_avoid_recent_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, rig_check_host);
}
