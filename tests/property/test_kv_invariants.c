/* KV-1 to KV-5 over random operation sequences: a shadow of every sequence's contents, a simulated
 * page store, and all invariants looked at after each operation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "model/kv.h"
#include "random_source.h"

enum { PAGES_MAX = 24, SEQUENCES_MAX = 6, TABLE_MAX = 7, ROUNDS = 60, OPERATIONS = 400 };

typedef struct shadow_sequence {
    soti_sequence *sequence; /* NULL: does not exist */
    uint32_t length;
    uint64_t values[TABLE_MAX * SOTI_PAGE_TOKENS]; /* one unique number per written position */
} shadow_sequence;

typedef struct world {
    soti_kv *kv;
    uint32_t n_pages, n_sequences, n_table_max;
    shadow_sequence shadows[SEQUENCES_MAX];
    uint64_t store[PAGES_MAX][SOTI_PAGE_TOKENS];
    uint64_t next_value;
    uint32_t n_copies;
    bool copy_fails;
    uint32_t peak;
    random_source random;
} world;

static sot_status copy_in_store(void *user, uint32_t to, uint32_t from, uint32_t n_tokens)
{
    world *w = user;
    assert_in_range(n_tokens, 1, SOTI_PAGE_TOKENS - 1);
    assert_int_not_equal(to, from);
    w->n_copies++;
    if (w->copy_fails) {
        return SOT_ERR_DEVICE;
    }
    /* A page that comes from the pool holds anything: make what was not copied unlike all values.
     */
    memset(w->store[to], 0xFF, sizeof w->store[to]);
    memcpy(w->store[to], w->store[from], n_tokens * sizeof w->store[to][0]);
    return SOT_OK;
}

static void check_invariants(world *w)
{
    uint32_t references[PAGES_MAX] = {0};
    for (uint32_t s = 0; s < w->n_sequences; s++) {
        const shadow_sequence *shadow = &w->shadows[s];
        if (shadow->sequence == NULL) {
            continue;
        }
        const uint32_t *pages = soti_sequence_pages(shadow->sequence);
        uint32_t n_pages = soti_sequence_page_count(shadow->sequence);
        assert_int_equal(soti_sequence_length(shadow->sequence), shadow->length);
        assert_true(n_pages <= w->n_table_max);
        assert_true(n_pages * SOTI_PAGE_TOKENS >= shadow->length);
        for (uint32_t i = 0; i < n_pages; i++) {
            assert_true(pages[i] < w->n_pages);
            references[pages[i]]++;
        }
        for (uint32_t i = 0; i < shadow->length; i++) { /* KV-5 */
            uint64_t stored = w->store[pages[i / SOTI_PAGE_TOKENS]][i % SOTI_PAGE_TOKENS];
            assert_true(stored == shadow->values[i]);
        }
    }
    uint32_t n_used = 0;
    for (uint32_t i = 0; i < w->n_pages; i++) {
        assert_int_equal(soti_kv_references(w->kv, i), references[i]); /* KV-3 */
        n_used += references[i] > 0;
    }
    assert_int_equal(soti_kv_free_pages(w->kv) + n_used, w->n_pages); /* KV-4 */
    assert_true(soti_kv_peak_pages(w->kv) >= n_used);
}

static uint32_t pages_for(uint32_t n_tokens)
{
    return (n_tokens + SOTI_PAGE_TOKENS - 1) / SOTI_PAGE_TOKENS;
}

static shadow_sequence *any_shadow(world *w, bool existing)
{
    uint32_t first = random_between(&w->random, 0, w->n_sequences - 1);
    for (uint32_t i = 0; i < w->n_sequences; i++) {
        shadow_sequence *shadow = &w->shadows[(first + i) % w->n_sequences];
        if ((shadow->sequence != NULL) == existing) {
            return shadow;
        }
    }
    return NULL;
}

static void try_create(world *w)
{
    shadow_sequence *shadow = any_shadow(w, false);
    soti_sequence *sequence = soti_sequence_create(w->kv);
    assert_true((sequence != NULL) == (shadow != NULL));
    if (shadow != NULL) {
        shadow->sequence = sequence;
        shadow->length = 0;
    }
}

static void try_fork(world *w)
{
    shadow_sequence *parent = any_shadow(w, true);
    if (parent == NULL) {
        return;
    }
    shadow_sequence *child = any_shadow(w, false);
    uint32_t n = random_between(&w->random, 0, parent->length);
    uint32_t n_rest = n % SOTI_PAGE_TOKENS;
    uint32_t n_free = soti_kv_free_pages(w->kv);
    bool fits = child != NULL && (n_rest == 0 || n_free > 0);
    w->n_copies = 0;
    w->copy_fails = random_between(&w->random, 0, 9) == 0;
    sot_status expected = !fits                         ? SOT_ERR_CONTEXT_FULL
                          : w->copy_fails && n_rest > 0 ? SOT_ERR_DEVICE
                                                        : SOT_OK;
    soti_sequence *sequence;
    assert_int_equal(soti_sequence_fork(w->kv, parent->sequence, n, &sequence), expected);
    w->copy_fails = false;
    if (expected != SOT_OK) {
        assert_null(sequence);
        assert_int_equal(soti_kv_free_pages(w->kv), n_free);
        return;
    }
    assert_int_equal(w->n_copies, n_rest > 0 ? 1 : 0); /* KV-2 */
    assert_int_equal(n_free - soti_kv_free_pages(w->kv), n_rest > 0 ? 1 : 0);
    assert_int_equal(soti_sequence_shared_pages(parent->sequence, sequence), n / SOTI_PAGE_TOKENS);
    child->sequence = sequence;
    child->length = n;
    memcpy(child->values, parent->values, n * sizeof child->values[0]);
}

static sot_status expected_of_reserve(world *w, const shadow_sequence *shadow, uint32_t n)
{
    if (n == 0) {
        return SOT_OK;
    }
    if (shadow->length + n > w->n_table_max * SOTI_PAGE_TOKENS) {
        return SOT_ERR_CONTEXT_FULL;
    }
    uint32_t n_free = soti_kv_free_pages(w->kv);
    uint32_t n_pages = soti_sequence_page_count(shadow->sequence);
    uint32_t n_needed = pages_for(shadow->length + n);
    n_needed = n_needed > n_pages ? n_needed - n_pages : 0;
    uint32_t next = shadow->length / SOTI_PAGE_TOKENS;
    if (shadow->length % SOTI_PAGE_TOKENS > 0 &&
        soti_kv_references(w->kv, soti_sequence_pages(shadow->sequence)[next]) > 1) {
        if (n_free > 0 && w->copy_fails) {
            return SOT_ERR_DEVICE;
        }
        n_needed++;
    }
    return n_needed <= n_free ? SOT_OK : SOT_ERR_CONTEXT_FULL;
}

/* Reserves, and writes as a step would: all, some or (a cancelled step) none of it counts. */
static void try_write(world *w)
{
    shadow_sequence *shadow = any_shadow(w, true);
    if (shadow == NULL) {
        return;
    }
    uint32_t n = random_between(&w->random, 0, 40);
    w->copy_fails = random_between(&w->random, 0, 9) == 0;
    sot_status expected = expected_of_reserve(w, shadow, n);
    assert_int_equal(soti_sequence_reserve(w->kv, shadow->sequence, n), expected);
    w->copy_fails = false;
    if (expected != SOT_OK) {
        return;
    }
    const uint32_t *pages = soti_sequence_pages(shadow->sequence);
    uint64_t written[40];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t position = shadow->length + i;
        uint32_t page = pages[position / SOTI_PAGE_TOKENS];
        assert_int_equal(soti_kv_references(w->kv, page), 1); /* KV-1 */
        written[i] = w->next_value++;
        w->store[page][position % SOTI_PAGE_TOKENS] = written[i];
    }
    uint32_t n_counted = random_between(&w->random, 0, 4) == 0 ? 0 : n;
    soti_sequence_advance(shadow->sequence, n_counted);
    memcpy(shadow->values + shadow->length, written, n_counted * sizeof written[0]);
    shadow->length += n_counted;
}

static void try_truncate(world *w)
{
    shadow_sequence *shadow = any_shadow(w, true);
    if (shadow == NULL) {
        return;
    }
    shadow->length = random_between(&w->random, 0, shadow->length);
    soti_sequence_truncate(w->kv, shadow->sequence, shadow->length);
    assert_int_equal(soti_sequence_page_count(shadow->sequence), pages_for(shadow->length));
}

static void try_free(world *w)
{
    shadow_sequence *shadow = any_shadow(w, true);
    if (shadow != NULL) {
        soti_sequence_free(w->kv, shadow->sequence);
        shadow->sequence = NULL;
    }
}

static void kv_random_operations_keep_every_invariant(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        world w = {.next_value = 1, .random = {.state = seed}};
        w.n_pages = random_between(&w.random, 1, PAGES_MAX);
        w.n_sequences = random_between(&w.random, 1, SEQUENCES_MAX);
        w.n_table_max = random_between(&w.random, 1, TABLE_MAX);
        assert_int_equal(
            soti_kv_create(w.n_pages, w.n_sequences, w.n_table_max, copy_in_store, &w, &w.kv),
            SOT_OK);
        for (uint32_t i = 0; i < OPERATIONS; i++) {
            uint32_t dice = random_between(&w.random, 0, 99);
            if (dice < 10) {
                try_create(&w);
            } else if (dice < 30) {
                try_fork(&w);
            } else if (dice < 75) {
                try_write(&w);
            } else if (dice < 90) {
                try_truncate(&w);
            } else {
                try_free(&w);
            }
            check_invariants(&w);
        }
        for (uint32_t s = 0; s < w.n_sequences; s++) {
            soti_sequence_free(w.kv, w.shadows[s].sequence);
        }
        assert_int_equal(soti_kv_free_pages(w.kv), w.n_pages);
        soti_kv_free(w.kv);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kv_random_operations_keep_every_invariant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
