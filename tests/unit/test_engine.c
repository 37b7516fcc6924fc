/* One step at a time over the fake backend, whose logits are a hash of the sequence's whole text.
 * tests/property/test_engine_random.c mixes everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "fake_backend.h"
#include "model/engine.h"

static soti_device_weights weights;
static sot_model model; /* never freed: the test's reference is not given up */

static const soti_engine_params usual = {.n_threads = 1,
                                         .n_ctx = 100,
                                         .max_batch = 4,
                                         .kv_tokens = 320,
                                         .chunk_rows = 20,
                                         .n_sequences = 6};

static soti_engine *make_engine(const soti_engine_params *params)
{
    fake = (fake_control){.fail_after_calls = -1, .cancel_at_layer = -1};
    atomic_store(&model.n_references, 1);
    model.placement.backend = &fake_backend;
    model.placement.weights = &weights;
    model.checkpoint.shape.n_layer = FAKE_LAYERS;
    model.checkpoint.shape.n_vocab = FAKE_VOCAB;
    soti_engine *engine;
    assert_int_equal(soti_engine_create(&model, params, &engine), SOT_OK);
    return engine;
}

static void end_engine(soti_engine *engine)
{
    soti_engine_free(engine);
    assert_int_equal(weights.n_contexts, 0);
    assert_int_equal(atomic_load(&model.n_references), 1);
}

static void fill_tokens(int32_t *tokens, uint32_t n, int32_t salt)
{
    for (uint32_t i = 0; i < n; i++) {
        tokens[i] = ((int32_t)i * 7 + salt) % FAKE_VOCAB;
    }
}

static soti_work make_work(soti_sequence *sequence, const int32_t *tokens, uint32_t n)
{
    return (soti_work){
        .sequence = sequence, .tokens = tokens, .n_tokens = n, .is_prompt = n > 1, .want_pick = 1};
}

static void engine_prompt_longer_than_a_pass_is_taken_in_pieces(void **state)
{
    (void)state;
    soti_engine *engine = make_engine(&usual);
    int32_t tokens[53];
    fill_tokens(tokens, 53, 1);
    soti_sequence *sequence = soti_sequence_create(soti_engine_kv(engine));
    const uint32_t expected_taken[] = {20, 20, 13};
    uint32_t n_done = 0;
    for (int step = 0; step < 3; step++) {
        soti_work item = make_work(sequence, tokens + n_done, 53 - n_done);
        assert_int_equal(soti_engine_step(engine, &item, 1, NULL, NULL), SOT_OK);
        assert_int_equal(item.n_taken, expected_taken[step]);
        assert_int_equal(item.has_picked, step == 2);
        n_done += item.n_taken;
        assert_int_equal(soti_sequence_length(sequence), n_done);
        if (step == 2) {
            assert_int_equal(item.picked, fake_expected_greedy(tokens, 53));
        }
    }
    end_engine(engine);
}

static void engine_decode_rows_come_before_other_prompts_rest(void **state)
{
    (void)state;
    soti_engine *engine = make_engine(&usual);
    soti_kv *kv = soti_engine_kv(engine);
    int32_t tokens[60];
    fill_tokens(tokens, 60, 2);
    soti_work items[4] = {
        make_work(soti_sequence_create(kv), tokens, 15),
        make_work(soti_sequence_create(kv), tokens + 5, 30),
        make_work(soti_sequence_create(kv), tokens + 9, 8),
        make_work(soti_sequence_create(kv), tokens + 30, 1),
    };
    assert_int_equal(soti_engine_step(engine, items, 4, NULL, NULL), SOT_OK);
    assert_int_equal(items[0].n_taken, 15);
    assert_int_equal(items[1].n_taken, 4);
    assert_int_equal(items[2].n_taken, 0);
    assert_int_equal(items[3].n_taken, 1);
    assert_int_equal(items[0].has_picked, 1);
    assert_int_equal(items[0].picked, fake_expected_greedy(tokens, 15));
    assert_int_equal(items[1].has_picked, 0);
    assert_int_equal(items[2].has_picked, 0);
    assert_int_equal(items[3].picked, fake_expected_greedy(tokens + 30, 1));
    assert_int_equal(soti_sequence_length(items[2].sequence), 0);
    end_engine(engine);
}

/* The batch's order is not the items': each item still gets its own pick and logits. */
static void engine_prompts_go_before_what_was_generated(void **state)
{
    (void)state;
    soti_engine *engine = make_engine(&usual);
    soti_kv *kv = soti_engine_kv(engine);
    int32_t tokens[40];
    float logits[FAKE_VOCAB];
    fill_tokens(tokens, 40, 12);
    soti_work items[4] = {
        make_work(soti_sequence_create(kv), tokens, 1),
        make_work(soti_sequence_create(kv), tokens + 3, 5),
        make_work(soti_sequence_create(kv), tokens + 10, 1),
        make_work(soti_sequence_create(kv), tokens + 20, 1),
    };
    items[3].is_prompt = 1; /* a prompt's last row is no generated one */
    items[2].want_pick = 0;
    items[2].logits = logits;
    assert_int_equal(soti_engine_step(engine, items, 4, NULL, NULL), SOT_OK);
    assert_int_equal(fake.n_prompt_rows, 6);
    assert_int_equal(items[0].picked, fake_expected_greedy(tokens, 1));
    assert_int_equal(items[1].picked, fake_expected_greedy(tokens + 3, 5));
    assert_int_equal(items[2].has_picked, 0);
    assert_int_equal(items[3].picked, fake_expected_greedy(tokens + 20, 1));
    uint64_t x = fake_expected(tokens + 10, 1);
    for (uint32_t id = 0; id < FAKE_VOCAB; id++) {
        assert_true(logits[id] == fake_logit(x, id));
    }
    assert_int_equal(soti_engine_step(engine, items, 1, NULL, NULL), SOT_OK);
    assert_int_equal(fake.n_prompt_rows, 0);
    end_engine(engine);
}

static void engine_item_that_wants_nothing_only_advances(void **state)
{
    (void)state;
    soti_engine *engine = make_engine(&usual);
    int32_t tokens[5];
    fill_tokens(tokens, 5, 3);
    soti_work item = make_work(soti_sequence_create(soti_engine_kv(engine)), tokens, 5);
    item.want_pick = 0;
    item.has_picked = 1;
    assert_int_equal(soti_engine_step(engine, &item, 1, NULL, NULL), SOT_OK);
    assert_int_equal(item.n_taken, 5);
    assert_int_equal(item.has_picked, 0);
    end_engine(engine);
}

static void engine_logits_are_those_behind_the_last_token(void **state)
{
    (void)state;
    soti_engine *engine = make_engine(&usual);
    int32_t tokens[18];
    float logits[FAKE_VOCAB];
    fill_tokens(tokens, 18, 4);
    soti_work item = make_work(soti_sequence_create(soti_engine_kv(engine)), tokens, 18);
    item.want_pick = 0;
    item.logits = logits;
    assert_int_equal(soti_engine_step(engine, &item, 1, NULL, NULL), SOT_OK);
    uint64_t x = fake_expected(tokens, 18);
    for (uint32_t id = 0; id < FAKE_VOCAB; id++) {
        assert_true(logits[id] == fake_logit(x, id));
    }
    end_engine(engine);
}

static void engine_fork_continues_the_parents_text(void **state)
{
    (void)state;
    soti_engine *engine = make_engine(&usual);
    soti_kv *kv = soti_engine_kv(engine);
    int32_t tokens[19];
    fill_tokens(tokens, 19, 5);
    soti_work prompt = make_work(soti_sequence_create(kv), tokens, 18);
    assert_int_equal(soti_engine_step(engine, &prompt, 1, NULL, NULL), SOT_OK);
    soti_sequence *child;
    assert_int_equal(soti_sequence_fork(kv, prompt.sequence, 18, &child), SOT_OK);
    assert_int_equal(fake.n_page_copies, 1);
    const int32_t other = (tokens[18] + 1) % FAKE_VOCAB;
    soti_work items[2] = {make_work(prompt.sequence, &other, 1), make_work(child, tokens + 18, 1)};
    assert_int_equal(soti_engine_step(engine, items, 2, NULL, NULL), SOT_OK);
    assert_int_equal(fake.n_groups, 1);
    assert_int_equal(items[1].picked, fake_expected_greedy(tokens, 19));
    tokens[18] = other;
    assert_int_equal(items[0].picked, fake_expected_greedy(tokens, 19));
    end_engine(engine);
}

static void engine_without_grouping_reads_each_page_for_each_row(void **state)
{
    (void)state;
    uint64_t n_reads[2];
    for (uint32_t grouping = 0; grouping < 2; grouping++) {
        soti_engine *engine = make_engine(&usual);
        soti_engine_set_grouping(engine, grouping);
        soti_kv *kv = soti_engine_kv(engine);
        int32_t tokens[19];
        fill_tokens(tokens, 19, 6);
        soti_work prompt = make_work(soti_sequence_create(kv), tokens, 16);
        assert_int_equal(soti_engine_step(engine, &prompt, 1, NULL, NULL), SOT_OK);
        soti_sequence *child;
        assert_int_equal(soti_sequence_fork(kv, prompt.sequence, 16, &child), SOT_OK);
        soti_work items[2] = {make_work(prompt.sequence, tokens, 1), make_work(child, tokens, 1)};
        fake.n_page_reads = 0;
        assert_int_equal(soti_engine_step(engine, items, 2, NULL, NULL), SOT_OK);
        n_reads[grouping] = fake.n_page_reads;
        end_engine(engine);
    }
    assert_int_equal(n_reads[0], FAKE_LAYERS * 4); /* two rows of two pages */
    assert_int_equal(n_reads[1], FAKE_LAYERS * 3); /* the first page once for both */
}

static void assert_step_refused(soti_engine *engine, soti_work *items, uint32_t n_items,
                                sot_status status, const char *words)
{
    uint32_t n_steps = fake.n_steps;
    assert_int_equal(soti_engine_step(engine, items, n_items, NULL, NULL), status);
    assert_non_null(strstr(soti_fail_message(), words));
    assert_int_equal(fake.n_steps, n_steps); /* nothing was computed */
}

static void engine_bad_items_are_refused_before_computing(void **state)
{
    (void)state;
    soti_engine *engine = make_engine(&usual);
    soti_kv *kv = soti_engine_kv(engine);
    int32_t tokens[5] = {1, 2, 3, FAKE_VOCAB, 4};
    soti_work items[5];
    for (int i = 0; i < 5; i++) {
        items[i] = make_work(soti_sequence_create(kv), tokens, 1);
    }
    assert_step_refused(engine, items, 0, SOT_ERR_ARGUMENT, "0 items");
    assert_step_refused(engine, items, 5, SOT_ERR_ARGUMENT, "from 1 to 4");
    items[1].n_tokens = 0;
    assert_step_refused(engine, items, 2, SOT_ERR_ARGUMENT, "item 1");
    items[1].n_tokens = 2;
    assert_step_refused(engine, items, 2, SOT_ERR_ARGUMENT, "item 1 of the step has 2 generated");
    items[1].n_tokens = 5;
    items[1].is_prompt = 1;
    assert_step_refused(engine, items, 2, SOT_ERR_ARGUMENT, "token 3 is 37");
    tokens[3] = -1;
    assert_step_refused(engine, items, 2, SOT_ERR_ARGUMENT, "token 3 is -1");
    assert_int_equal(soti_kv_free_pages(kv), soti_kv_page_count(kv));
    end_engine(engine);
}

static void engine_context_ends_exactly_at_n_ctx(void **state)
{
    (void)state;
    soti_engine *engine = make_engine(&usual); /* n_ctx 100 is no multiple of the page */
    int32_t tokens[101];
    fill_tokens(tokens, 101, 7);
    soti_sequence *sequence = soti_sequence_create(soti_engine_kv(engine));
    for (uint32_t n_done = 0; n_done < 100;) {
        soti_work item = make_work(sequence, tokens + n_done, 100 - n_done);
        assert_int_equal(soti_engine_step(engine, &item, 1, NULL, NULL), SOT_OK);
        n_done += item.n_taken;
    }
    soti_work items[2] = {make_work(soti_sequence_create(soti_engine_kv(engine)), tokens, 1),
                          make_work(sequence, tokens + 100, 1)};
    uint32_t i_failed = 99;
    assert_int_equal(soti_engine_step(engine, items, 2, NULL, &i_failed), SOT_ERR_CONTEXT_FULL);
    assert_int_equal(i_failed, 1);
    assert_non_null(strstr(soti_fail_message(), "item 1"));
    assert_non_null(strstr(soti_fail_message(), "n_ctx is 100"));
    assert_int_equal(items[0].n_taken, 0);
    assert_int_equal(soti_sequence_length(items[0].sequence), 0);
    assert_int_equal(soti_engine_step(engine, items, 1, NULL, &i_failed), SOT_OK);
    end_engine(engine);
}

static void engine_full_pool_names_the_item(void **state)
{
    (void)state;
    soti_engine_params params = usual;
    params.kv_tokens = 17; /* two pages */
    soti_engine *engine = make_engine(&params);
    soti_kv *kv = soti_engine_kv(engine);
    assert_int_equal(soti_kv_page_count(kv), 2);
    int32_t tokens[20];
    fill_tokens(tokens, 20, 8);
    soti_work items[3];
    for (int i = 0; i < 3; i++) {
        items[i] = make_work(soti_sequence_create(kv), tokens, 5);
    }
    uint32_t i_failed = 99;
    assert_int_equal(soti_engine_step(engine, items, 3, NULL, &i_failed), SOT_ERR_CONTEXT_FULL);
    assert_int_equal(i_failed, 2);
    assert_non_null(strstr(soti_fail_message(), "page pool"));
    soti_sequence_free(kv, items[2].sequence);
    assert_int_equal(soti_engine_step(engine, items, 2, NULL, &i_failed), SOT_OK);
    assert_int_equal(items[1].picked, fake_expected_greedy(tokens, 5));
    end_engine(engine);
}

static void engine_cancelled_step_can_be_repeated(void **state)
{
    (void)state;
    soti_engine *engine = make_engine(&usual);
    atomic_int cancel = 0;
    fake.cancel = &cancel;
    fake.cancel_at_layer = 0;
    int32_t tokens[18];
    fill_tokens(tokens, 18, 9);
    soti_work item = make_work(soti_sequence_create(soti_engine_kv(engine)), tokens, 18);
    assert_int_equal(soti_engine_step(engine, &item, 1, &cancel, NULL), SOT_ERR_CANCELLED);
    assert_int_equal(fake.n_layers_run, 1);
    assert_int_equal(item.n_taken, 0);
    assert_int_equal(item.has_picked, 0);
    assert_int_equal(soti_sequence_length(item.sequence), 0);
    cancel = 0;
    fake.cancel_at_layer = -1;
    assert_int_equal(soti_engine_step(engine, &item, 1, &cancel, NULL), SOT_OK);
    assert_int_equal(item.picked, fake_expected_greedy(tokens, 18));
    end_engine(engine);
}

static void engine_any_failing_device_call_advances_nothing(void **state)
{
    (void)state;
    soti_engine *engine = make_engine(&usual);
    int32_t tokens[6];
    float logits[FAKE_VOCAB];
    fill_tokens(tokens, 6, 10);
    soti_work item = make_work(soti_sequence_create(soti_engine_kv(engine)), tokens, 6);
    item.logits = logits;
    int n_failures = 0;
    for (;; n_failures++) {
        fake.fail_after_calls = n_failures;
        sot_status status = soti_engine_step(engine, &item, 1, NULL, NULL);
        if (status == SOT_OK) {
            break;
        }
        assert_int_equal(status, SOT_ERR_DEVICE);
        assert_int_equal(item.n_taken, 0);
        assert_int_equal(item.has_picked, 0);
        assert_int_equal(soti_sequence_length(item.sequence), 0);
    }
    /* batch_begin, embed, five a layer, logits, read_logits, and the read inside pick */
    assert_int_equal(n_failures, 2 + 5 * FAKE_LAYERS + 3);
    assert_int_equal(item.picked, fake_expected_greedy(tokens, 6));
    end_engine(engine);
}

static void engine_streams_give_the_same_tokens_in_any_batch(void **state)
{
    (void)state;
    int32_t alone[3];
    int32_t together[3];
    int32_t tokens[9];
    fill_tokens(tokens, 9, 11);
    for (int batched = 0; batched < 2; batched++) {
        soti_engine *engine = make_engine(&usual);
        soti_work items[3];
        for (int i = 0; i < 3; i++) {
            items[i] = make_work(soti_sequence_create(soti_engine_kv(engine)), tokens + i, 5);
            items[i].pick = (soti_pick){.temperature = 1, .seed = 5, .stream = (uint64_t)i};
        }
        if (batched) {
            assert_int_equal(soti_engine_step(engine, items, 3, NULL, NULL), SOT_OK);
        }
        for (int i = 2; i >= 0; i--) {
            if (!batched) {
                assert_int_equal(soti_engine_step(engine, &items[i], 1, NULL, NULL), SOT_OK);
            }
            (batched ? together : alone)[i] = items[i].picked;
        }
        end_engine(engine);
    }
    assert_memory_equal(alone, together, sizeof alone);
}

static void assert_params_refused(soti_engine_params params, const char *words)
{
    soti_engine *engine = (soti_engine *)&params;
    assert_int_equal(soti_engine_create(&model, &params, &engine), SOT_ERR_ARGUMENT);
    assert_null(engine);
    assert_non_null(strstr(soti_fail_message(), words));
}

static void engine_impossible_parameters_are_refused(void **state)
{
    (void)state;
    soti_engine_params params = usual;
    params.n_ctx = 0;
    assert_params_refused(params, "n_ctx 0");
    params = usual;
    params.max_batch = 0;
    assert_params_refused(params, "max_batch 0");
    params = usual;
    params.kv_tokens = 0;
    assert_params_refused(params, "kv_tokens 0");
    params = usual;
    params.n_sequences = 0;
    assert_params_refused(params, "n_sequences 0");
    params = usual;
    params.chunk_rows = 3;
    assert_params_refused(params, "chunk_rows 3 is less than max_batch 4");
}

static void engine_create_survives_every_failed_allocation(void **state)
{
    (void)state;
    end_engine(make_engine(&usual));
    long n = 0;
    for (;; n++) {
        soti_engine *engine;
        soti_alloc_fail_at(n);
        sot_status status = soti_engine_create(&model, &usual, &engine);
        if (soti_alloc_fail_at(-1) >= 0) {
            assert_int_equal(status, SOT_OK);
            end_engine(engine);
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
        assert_null(engine);
        assert_int_equal(atomic_load(&model.n_references), 1);
    }
    assert_true(n >= 18); /* engine, six of the pages, seven of the batch, four of its own */
}

static void engine_whose_context_fails_passes_the_status_on(void **state)
{
    (void)state;
    end_engine(make_engine(&usual));
    fake.context_fails = 1;
    soti_engine *engine;
    assert_int_equal(soti_engine_create(&model, &usual, &engine), SOT_ERR_THREAD);
    assert_null(engine);
    assert_int_equal(atomic_load(&model.n_references), 1);
    soti_engine_free(NULL);
}

/* Positions that were filled read as those of the page they were copied from. */
static void engine_filled_positions_are_copies_of_the_page(void **state)
{
    (void)state;
    soti_engine *engine = make_engine(&usual);
    soti_kv *kv = soti_engine_kv(engine);
    int32_t tokens[SOTI_PAGE_TOKENS];
    int32_t next = 3;
    fill_tokens(tokens, SOTI_PAGE_TOKENS, 1);
    soti_sequence *computed = soti_sequence_create(kv);
    soti_sequence *filled = soti_sequence_create(kv);
    soti_work item = make_work(computed, tokens, SOTI_PAGE_TOKENS);
    assert_int_equal(soti_engine_step(engine, &item, 1, NULL, NULL), SOT_OK);
    uint32_t page = soti_sequence_pages(computed)[0];
    uint32_t n_copies = fake.n_page_copies;
    assert_int_equal(soti_engine_fill(engine, filled, page, SOTI_PAGE_TOKENS), SOT_OK);
    assert_int_equal(soti_sequence_length(filled), SOTI_PAGE_TOKENS);
    assert_int_not_equal(soti_sequence_pages(filled)[0], page);
    soti_work items[] = {make_work(computed, &next, 1), make_work(filled, &next, 1)};
    assert_int_equal(soti_engine_step(engine, items, 2, NULL, NULL), SOT_OK);
    assert_int_equal(items[0].picked, items[1].picked);
    assert_int_equal(soti_engine_fill(engine, filled, page, 20),
                     SOT_OK); /* 17 + 20: 2 pages more */
    assert_int_equal(soti_sequence_length(filled), 37);
    assert_int_equal(fake.n_page_copies - n_copies, 2);
    assert_int_equal(soti_engine_fill(engine, filled, page, 0), SOT_OK);
    assert_int_equal(soti_engine_fill(engine, filled, page, 1000), SOT_ERR_CONTEXT_FULL);
    assert_int_equal(soti_sequence_length(filled), 37);
    soti_sequence_free(kv, computed);
    soti_sequence_free(kv, filled);
    end_engine(engine);
}

static void engine_tells_its_sizes(void **state)
{
    (void)state;
    soti_engine *engine = make_engine(&usual);
    assert_int_equal(soti_engine_context_size(engine), 100);
    assert_int_equal(soti_engine_max_batch(engine), 4);
    assert_int_equal(soti_engine_chunk_rows(engine), 20);
    assert_int_equal(soti_kv_page_count(soti_engine_kv(engine)), 20);
    assert_int_equal(soti_engine_info(engine).n_threads, 41); /* the fake's own count */
    assert_string_equal(soti_engine_info(engine).isa, "fake");
    assert_true(soti_engine_bytes(engine) > 320 * FAKE_LAYERS * sizeof(uint64_t));
    end_engine(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engine_prompt_longer_than_a_pass_is_taken_in_pieces),
        cmocka_unit_test(engine_decode_rows_come_before_other_prompts_rest),
        cmocka_unit_test(engine_prompts_go_before_what_was_generated),
        cmocka_unit_test(engine_item_that_wants_nothing_only_advances),
        cmocka_unit_test(engine_logits_are_those_behind_the_last_token),
        cmocka_unit_test(engine_fork_continues_the_parents_text),
        cmocka_unit_test(engine_without_grouping_reads_each_page_for_each_row),
        cmocka_unit_test(engine_bad_items_are_refused_before_computing),
        cmocka_unit_test(engine_context_ends_exactly_at_n_ctx),
        cmocka_unit_test(engine_full_pool_names_the_item),
        cmocka_unit_test(engine_cancelled_step_can_be_repeated),
        cmocka_unit_test(engine_any_failing_device_call_advances_nothing),
        cmocka_unit_test(engine_streams_give_the_same_tokens_in_any_batch),
        cmocka_unit_test(engine_impossible_parameters_are_refused),
        cmocka_unit_test(engine_create_survives_every_failed_allocation),
        cmocka_unit_test(engine_whose_context_fails_passes_the_status_on),
        cmocka_unit_test(engine_filled_positions_are_copies_of_the_page),
        cmocka_unit_test(engine_tells_its_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
