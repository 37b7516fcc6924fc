/* Whatever is done to sequences, in whatever batches: every token picked is the one that follows
 * from the sequence's text alone. The fake backend reads through page tables and groups; the
 * expectation is computed from a plain list of tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "fake_backend.h"
#include "model/engine.h"
#include "random_source.h"

enum { SEQUENCES_MAX = 8, N_CTX_MAX = 120, ROUNDS = 40, OPERATIONS = 150 };

typedef struct text {
    soti_sequence *sequence; /* NULL: does not exist */
    int32_t tokens[N_CTX_MAX];
    uint32_t length;
} text;

typedef struct world {
    soti_engine *engine;
    soti_engine_params params;
    text texts[SEQUENCES_MAX];
    random_source random;
} world;

static soti_device_weights weights;
static sot_model model;

static text *any_text(world *w, bool existing)
{
    uint32_t first = random_between(&w->random, 0, w->params.n_sequences - 1);
    for (uint32_t i = 0; i < w->params.n_sequences; i++) {
        text *t = &w->texts[(first + i) % w->params.n_sequences];
        if ((t->sequence != NULL) == existing) {
            return t;
        }
    }
    return NULL;
}

static void create_or_fork(world *w)
{
    text *child = any_text(w, false);
    text *parent = any_text(w, true);
    if (child == NULL) {
        return;
    }
    soti_kv *kv = soti_engine_kv(w->engine);
    if (parent == NULL || random_between(&w->random, 0, 3) == 0) {
        child->sequence = soti_sequence_create(kv);
        child->length = 0;
        return;
    }
    uint32_t n = random_between(&w->random, parent->length / 2, parent->length);
    if (soti_sequence_fork(kv, parent->sequence, n, &child->sequence) == SOT_OK) {
        memcpy(child->tokens, parent->tokens, n * sizeof child->tokens[0]);
        child->length = n;
    }
}

static void cut_or_free(world *w)
{
    text *t = any_text(w, true);
    if (t == NULL) {
        return;
    }
    if (random_between(&w->random, 0, 1) == 0) {
        t->length = random_between(&w->random, 0, t->length);
        soti_sequence_truncate(soti_engine_kv(w->engine), t->sequence, t->length);
    } else {
        soti_sequence_free(soti_engine_kv(w->engine), t->sequence);
        t->sequence = NULL;
    }
}

/* Every existing sequence takes part with even odds, in random order. */
static uint32_t choose_items(world *w, text **members, soti_work *items,
                             int32_t fed[SEQUENCES_MAX][N_CTX_MAX])
{
    uint32_t n = 0;
    uint32_t first = random_between(&w->random, 0, w->params.n_sequences - 1);
    for (uint32_t i = 0; i < w->params.n_sequences && n < w->params.max_batch; i++) {
        text *t = &w->texts[(first + i) % w->params.n_sequences];
        if (t->sequence == NULL || random_between(&w->random, 0, 1) == 0) {
            continue;
        }
        uint32_t n_tokens =
            random_between(&w->random, 0, 2) ? 1 : random_between(&w->random, 1, 50);
        for (uint32_t k = 0; k < n_tokens; k++) {
            fed[n][k] = (int32_t)random_between(&w->random, 0, FAKE_VOCAB - 1);
        }
        items[n] = (soti_work){.sequence = t->sequence,
                               .tokens = fed[n],
                               .n_tokens = n_tokens,
                               .is_prompt = n_tokens > 1 || random_between(&w->random, 0, 1),
                               .want_pick = random_between(&w->random, 0, 3) > 0};
        members[n++] = t;
    }
    return n;
}

static void check_outcome(text **members, const soti_work *items, uint32_t n, uint32_t chunk_rows)
{
    uint32_t n_rows = 0;
    for (uint32_t i = 0; i < n; i++) {
        text *t = members[i];
        memcpy(t->tokens + t->length, items[i].tokens, items[i].n_taken * sizeof t->tokens[0]);
        t->length += items[i].n_taken;
        n_rows += items[i].n_taken;
        bool complete = items[i].n_taken == items[i].n_tokens;
        assert_true(complete || items[i].n_tokens > 1);
        assert_int_equal(items[i].has_picked, complete && items[i].want_pick);
        if (items[i].has_picked) {
            assert_int_equal(items[i].picked, fake_expected_greedy(t->tokens, t->length));
        }
    }
    assert_in_range(n_rows, 1, chunk_rows);
    uint32_t n_prompt_rows = 0;
    for (uint32_t i = 0; i < n; i++) {
        n_prompt_rows += items[i].is_prompt ? items[i].n_taken : 0;
    }
    assert_int_equal(fake.n_prompt_rows, n_prompt_rows);
}

static void step(world *w)
{
    text *members[SEQUENCES_MAX];
    soti_work items[SEQUENCES_MAX];
    int32_t fed[SEQUENCES_MAX][N_CTX_MAX];
    uint32_t n = choose_items(w, members, items, fed);
    if (n == 0) {
        return;
    }
    soti_engine_set_grouping(w->engine, random_between(&w->random, 0, 1));
    atomic_int cancel = 0;
    fake.cancel = &cancel;
    fake.cancel_at_layer = random_between(&w->random, 0, 19) == 0 ? 1 : -1;
    fake.fail_after_calls =
        random_between(&w->random, 0, 19) == 0 ? (int)random_between(&w->random, 0, 25) : -1;
    uint32_t i_failed = UINT32_MAX;
    sot_status status = soti_engine_step(w->engine, items, n, &cancel, &i_failed);
    fake.fail_after_calls = -1;
    if (status == SOT_OK) {
        check_outcome(members, items, n, w->params.chunk_rows);
        return;
    }
    assert_true(status == SOT_ERR_CONTEXT_FULL || status == SOT_ERR_CANCELLED ||
                status == SOT_ERR_DEVICE);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(items[i].n_taken, 0);
    }
    if (status == SOT_ERR_CONTEXT_FULL) { /* as a job would: the one that failed ends */
        assert_true(i_failed < n);
        soti_sequence_free(soti_engine_kv(w->engine), members[i_failed]->sequence);
        members[i_failed]->sequence = NULL;
    }
}

static void engine_random_batches_pick_what_the_text_implies(void **state)
{
    (void)state;
    atomic_store(&model.n_references, 1);
    model.placement.backend = &fake_backend;
    model.placement.weights = &weights;
    model.checkpoint.shape.n_layer = FAKE_LAYERS;
    model.checkpoint.shape.n_vocab = FAKE_VOCAB;
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        world w = {.random = {.state = seed}};
        w.params.n_threads = 1;
        w.params.n_ctx = random_between(&w.random, 20, N_CTX_MAX);
        w.params.max_batch = random_between(&w.random, 1, SEQUENCES_MAX);
        w.params.chunk_rows = w.params.max_batch + random_between(&w.random, 0, 40);
        w.params.kv_tokens = random_between(&w.random, 50, 500);
        w.params.n_sequences = SEQUENCES_MAX;
        assert_int_equal(soti_engine_create(&model, &w.params, &w.engine), SOT_OK);
        for (uint32_t i = 0; i < OPERATIONS; i++) {
            uint32_t dice = random_between(&w.random, 0, 9);
            if (dice < 3) {
                create_or_fork(&w);
            } else if (dice < 4) {
                cut_or_free(&w);
            } else {
                step(&w);
            }
        }
        soti_engine_free(w.engine);
    }
    assert_int_equal(weights.n_contexts, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engine_random_batches_pick_what_the_text_implies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
