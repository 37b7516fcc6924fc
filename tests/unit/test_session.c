/* Opening sessions, the guard around calls, and the beginnings kept between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scripted_model.h"
#include "sot/session.h"

static sot_session *open_session(uint32_t n_ctx, uint32_t kv_tokens)
{
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    sot_session *session = NULL;
    params.n_ctx = n_ctx;
    params.kv_tokens = kv_tokens;
    assert_int_equal(soti_session_open(&scripted_model, &params, &session), SOT_OK);
    return session;
}

/* A sequence of n positions, and the tokens first, first + 1, … that stand in them. */
static soti_sequence *write_sequence(sot_session *session, int32_t first, uint32_t n,
                                     soti_tokens *tokens)
{
    soti_kv *kv = soti_engine_kv(session->engine);
    soti_sequence *sequence = soti_sequence_create(kv);
    assert_non_null(sequence);
    assert_int_equal(soti_sequence_reserve(kv, sequence, n), SOT_OK);
    soti_sequence_advance(sequence, n);
    for (uint32_t i = 0; i < n; i++) {
        int32_t id = first + (int32_t)i;
        assert_int_equal(soti_tokens_append(tokens, &id, 1), SOT_OK);
    }
    return sequence;
}

static void keep(sot_session *session, int32_t first, uint32_t n)
{
    soti_tokens tokens = {0};
    soti_sequence *sequence = write_sequence(session, first, n, &tokens);
    soti_session_keep_beginning(session, sequence, &tokens, n);
    assert_null(tokens.ids);
}

static void keep_conversation(sot_session *session, uint64_t chat_id, int32_t first, uint32_t n)
{
    soti_tokens tokens = {0};
    soti_sequence *sequence = write_sequence(session, first, n, &tokens);
    session->chat_id = chat_id;
    soti_session_keep_conversation(session, sequence, &tokens, n);
    session->chat_id = 0;
    assert_null(tokens.ids);
}

static uint32_t find(sot_session *session, int32_t first, uint32_t n)
{
    int32_t ids[256];
    uint32_t n_shared;
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = first + (int32_t)i;
    }
    soti_sequence *sequence = soti_session_fork_beginning(session, ids, n, &n_shared);
    assert_int_equal(sequence != NULL, n_shared > 0);
    assert_int_equal(sequence != NULL ? soti_sequence_length(sequence) : 0, n_shared);
    soti_sequence_free(soti_engine_kv(session->engine), sequence);
    return n_shared;
}

static void open_defaults_follow_the_model(void **state)
{
    (void)state;
    static const struct {
        uint32_t n_train, n_ctx;
    } cases[] = {{0, 2048}, {512, 512}, {4096, 4096}, {100000, 4096}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scripted_model.checkpoint.n_ctx_train = cases[i].n_train;
        sot_session *session = open_session(0, 0);
        assert_int_equal(soti_engine_context_size(session->engine), cases[i].n_ctx);
        assert_int_equal(soti_engine_max_batch(session->engine), 16);
        assert_int_equal(soti_engine_chunk_rows(session->engine), 128);
        assert_int_equal(soti_kv_page_count(soti_engine_kv(session->engine)) * SOTI_PAGE_TOKENS,
                         cases[i].n_ctx + 256 * 16 + 1024);
        soti_session_close(session);
    }
}

static void open_impossible_parameters_names_them(void **state)
{
    (void)state;
    static const struct {
        sot_session_params params;
        const char *name;
    } cases[] = {
        {{.n_ctx = UINT32_MAX}, "n_ctx"},
        {{.max_batch = 5000}, "max_batch"},
        {{.kv_tokens = UINT32_MAX}, "kv_tokens"},
        {{.chunk_rows = UINT32_MAX}, "chunk_rows"},
        {{.chunk_rows = 8}, "fewer than max_batch"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sot_session *session = (sot_session *)&scripted;
        assert_int_equal(soti_session_open(&scripted_model, &cases[i].params, &session),
                         SOT_ERR_ARGUMENT);
        assert_null(session);
        assert_non_null(strstr(soti_fail_message(), cases[i].name));
    }
    sot_session_params params = {.max_batch = 200}; /* the default chunk grows with it */
    sot_session *session = NULL;
    assert_int_equal(soti_session_open(&scripted_model, &params, &session), SOT_OK);
    assert_int_equal(soti_engine_chunk_rows(session->engine), 200);
    soti_session_close(session);
}

static void close_gives_the_model_back(void **state)
{
    (void)state;
    sot_session *a = open_session(64, 0);
    sot_session *b = open_session(64, 0);
    assert_true(atomic_load(&scripted_model.n_references) > 1);
    soti_session_close(a);
    soti_session_close(b);
    assert_int_equal(atomic_load(&scripted_model.n_references), 1);
    soti_session_close(NULL);
}

static void enter_twice_is_busy(void **state)
{
    (void)state;
    sot_session *session = open_session(64, 0);
    assert_int_equal(soti_session_enter(session), SOT_OK);
    assert_int_equal(soti_session_enter(session), SOT_ERR_BUSY);
    atomic_store(&session->cancel, 1);
    soti_session_leave(session);
    assert_int_equal(atomic_load(&session->cancel), 0); /* used up */
    assert_int_equal(soti_session_enter(session), SOT_OK);
    soti_session_leave(session);
    soti_session_close(session);
}

static void beginning_most_shared_is_found(void **state)
{
    (void)state;
    sot_session *session = open_session(512, 0);
    assert_int_equal(find(session, 10, 50), 0);
    keep(session, 10, 20);
    keep(session, 10, 40); /* takes the place of what it begins with */
    keep(session, 100, 30);
    assert_int_equal(find(session, 10, 50), 40);
    assert_int_equal(find(session, 10, 40), 39); /* something is left to compute */
    assert_int_equal(find(session, 10, 5), 4);
    assert_int_equal(find(session, 100, 100), 30);
    assert_int_equal(find(session, 11, 50), 0);
    assert_int_equal(find(session, 10, 1), 0);
    soti_session_close(session);
}

static void beginning_kept_already_costs_no_second_one(void **state)
{
    (void)state;
    sot_session *session = open_session(512, 0);
    soti_kv *kv = soti_engine_kv(session->engine);
    keep(session, 10, 40);
    uint32_t n_free = soti_kv_free_pages(kv);
    keep(session, 10, 40);
    keep(session, 10, 25);
    assert_int_equal(soti_kv_free_pages(kv), n_free);
    assert_int_equal(find(session, 10, 50), 40);
    soti_session_close(session);
}

static void beginning_least_recently_used_goes_first(void **state)
{
    (void)state;
    sot_session *session = open_session(512, 0);
    for (int32_t i = 0; i < SOTI_BEGINNINGS_MAX; i++) {
        keep(session, 1000 * i, 20);
    }
    assert_int_equal(find(session, 0, 50), 20); /* 0 is used again: 1000 is the oldest now */
    keep(session, 9000, 20);
    assert_int_equal(find(session, 0, 50), 20);
    assert_int_equal(find(session, 1000, 50), 0);
    assert_int_equal(find(session, 9000, 50), 20);
    soti_session_close(session);
}

static void conversation_never_takes_a_template_s_slot(void **state)
{
    (void)state;
    sot_session *session = open_session(512, 0);
    for (int32_t i = 0; i < SOTI_BEGINNINGS_MAX; i++) {
        keep(session, 1000 * i, 20);
    }
    for (int32_t i = 0; i < SOTI_CONVERSATIONS_MAX + 2; i++) {
        keep_conversation(session, 100 + (uint64_t)i, 10000 + 1000 * i, 30);
    }
    for (int32_t i = 0; i < SOTI_BEGINNINGS_MAX; i++) {
        assert_int_equal(find(session, 1000 * i, 50), 20);
    }
    assert_int_equal(find(session, 10000, 50), 0); /* the two used longest ago had to go */
    assert_int_equal(find(session, 11000, 50), 0);
    assert_int_equal(find(session, 12000, 50), 30);
    for (int32_t i = 0; i < SOTI_BEGINNINGS_MAX + 2; i++) { /* nor a template a conversation's */
        keep(session, 30000 + 1000 * i, 20);
    }
    for (int32_t i = 2; i < SOTI_CONVERSATIONS_MAX + 2; i++) {
        assert_int_equal(find(session, 10000 + 1000 * i, 50), 30);
    }
    soti_session_close(session);
}

static void conversation_keeps_one_slot_as_it_changes(void **state)
{
    (void)state;
    sot_session *session = open_session(512, 0);
    soti_kv *kv = soti_engine_kv(session->engine);
    keep_conversation(session, 7, 10, 20);
    keep_conversation(session, 8, 10, 20); /* another that begins alike: nothing to add */
    assert_int_equal(soti_kv_free_pages(kv), soti_kv_page_count(kv) - 2);
    keep_conversation(session, 8, 10, 40);
    keep_conversation(session, 7, 500, 60); /* its oldest rounds were dropped */
    assert_int_equal(find(session, 10, 50), 40);
    assert_int_equal(find(session, 500, 90), 60);
    assert_int_equal(soti_kv_free_pages(kv), soti_kv_page_count(kv) - 3 - 4);
    keep_conversation(session, 8, 10, 25); /* known already */
    assert_int_equal(find(session, 10, 50), 40);
    soti_session_close(session);
}

static void make_room_knows_no_kind_but_age(void **state)
{
    (void)state;
    sot_session *session = open_session(512, 0);
    keep_conversation(session, 1, 10, 40);
    keep(session, 100, 40);
    keep_conversation(session, 2, 500, 40);
    assert_true(soti_session_make_room(session));
    assert_int_equal(find(session, 10, 50), 0);
    assert_true(soti_session_make_room(session));
    assert_int_equal(find(session, 100, 50), 0);
    assert_int_equal(find(session, 500, 50), 40);
    assert_true(soti_session_make_room(session));
    assert_false(soti_session_make_room(session));
    soti_session_close(session);
}

static void beginning_is_cut_to_what_was_written(void **state)
{
    (void)state;
    sot_session *session = open_session(512, 0);
    soti_tokens tokens = {0};
    soti_sequence *sequence = write_sequence(session, 10, 60, &tokens);
    soti_kv *kv = soti_engine_kv(session->engine);
    soti_sequence_truncate(kv, sequence, 33);
    soti_session_keep_beginning(session, sequence, &tokens, 50);
    assert_int_equal(find(session, 10, 60), 33);
    soti_session_keep_beginning(session, NULL, &tokens, 50); /* nothing was computed */
    tokens = (soti_tokens){0};
    sequence = write_sequence(session, 500, 20, &tokens);
    soti_session_keep_beginning(session, sequence, &tokens, 0); /* nothing is constant */
    assert_int_equal(find(session, 500, 20), 0);
    soti_session_close(session);
}

static void chain_is_the_last_one_and_takes_no_templates_place(void **state)
{
    (void)state;
    sot_session *session = open_session(512, 0);
    for (int32_t i = 0; i < SOTI_BEGINNINGS_MAX; i++) {
        keep(session, 1000 * (i + 1), 20);
    }
    for (int32_t i = 0; i < 3; i++) {
        soti_tokens tokens = {0};
        soti_sequence *sequence = write_sequence(session, 10000 * (i + 1), 40, &tokens);
        soti_sequence_truncate(soti_engine_kv(session->engine), sequence, 39);
        soti_session_keep_chain(session, sequence, &tokens); /* the last token was not fed */
        assert_null(tokens.ids);
    }
    for (int32_t i = 0; i < SOTI_BEGINNINGS_MAX; i++) {
        assert_int_equal(find(session, 1000 * (i + 1), 50), 20);
    }
    assert_int_equal(find(session, 10000, 50), 0);
    assert_int_equal(find(session, 20000, 50), 0);
    assert_int_equal(find(session, 30000, 50), 39);
    soti_tokens tokens = {0};
    assert_int_equal(soti_tokens_append(&tokens, (const int32_t[]){1, 2}, 2), SOT_OK);
    soti_session_keep_chain(session, NULL, &tokens); /* nothing was computed */
    assert_int_equal(find(session, 30000, 50), 39);
    scripted_session_close(session);
}

static void make_room_gives_every_page_back(void **state)
{
    (void)state;
    sot_session *session = open_session(512, 0);
    soti_kv *kv = soti_engine_kv(session->engine);
    int32_t ids[64];
    float logits[SCRIPT_VOCAB];
    for (int i = 0; i < 64; i++) {
        ids[i] = i;
    }
    assert_int_equal(sot_logits(session, ids, 64, logits), SOT_OK);
    keep(session, 10, 40);
    keep(session, 100, 40);
    assert_int_equal(soti_kv_free_pages(kv), soti_kv_page_count(kv) - 4 - 3 - 3);
    assert_true(soti_session_make_room(session)); /* the logits' first */
    assert_int_equal(soti_kv_free_pages(kv), soti_kv_page_count(kv) - 3 - 3);
    assert_int_equal(find(session, 10, 50), 40);
    assert_true(soti_session_make_room(session)); /* then the oldest */
    assert_int_equal(find(session, 10, 50), 40);
    assert_int_equal(find(session, 100, 50), 0);
    assert_true(soti_session_make_room(session));
    assert_false(soti_session_make_room(session));
    assert_int_equal(soti_kv_free_pages(kv), soti_kv_page_count(kv));
    soti_session_close(session);
}

/* A page that two kept sequences hold comes back once, one that a text holds, too, does not. */
static void room_is_what_giving_all_up_gives(void **state)
{
    (void)state;
    sot_session *session = open_session(512, 0);
    soti_kv *kv = soti_engine_kv(session->engine);
    uint32_t n_free = soti_kv_free_pages(kv);
    assert_int_equal(soti_session_room(session), 0);
    soti_tokens tokens = {0};
    soti_sequence *text = write_sequence(session, 10, 64, &tokens);
    soti_tokens_free(&tokens);
    const uint32_t n_shared[] = {40, 33}; /* two full pages and a copy each */
    for (int i = 0; i < 2; i++) {
        soti_sequence *fork = NULL;
        assert_int_equal(soti_sequence_fork(kv, text, n_shared[i], &fork), SOT_OK);
        soti_tokens kept = {0};
        for (int32_t id = 0; id < 40; id++) {
            assert_int_equal(soti_tokens_append(&kept, &(int32_t){100 * i + id}, 1), SOT_OK);
        }
        soti_session_keep_beginning(session, fork, &kept, n_shared[i]);
    }
    assert_int_equal(soti_kv_free_pages(kv), n_free - 4 - 2);
    assert_int_equal(soti_session_room(session), 2);
    soti_sequence_free(kv, text);
    assert_int_equal(soti_kv_free_pages(kv), n_free - 4);
    assert_int_equal(soti_session_room(session), 4);
    int32_t ids[20] = {0};
    float logits[SCRIPT_VOCAB];
    assert_int_equal(sot_logits(session, ids, 20, logits), SOT_OK);
    assert_int_equal(soti_session_room(session), 4 + 2);
    scripted_session_close(session);
}

static void beginning_without_a_page_to_spare_is_not_forked(void **state)
{
    (void)state;
    sot_session *session = open_session(64, 64);
    keep(session, 10, 20);
    soti_tokens tokens = {0};
    soti_sequence *rest = write_sequence(session, 100, 32, &tokens); /* the other two pages */
    assert_int_equal(find(session, 10, 40), 0);
    soti_sequence_free(soti_engine_kv(session->engine), rest);
    assert_int_equal(find(session, 10, 40), 20);
    soti_tokens_free(&tokens);
    soti_session_close(session);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scripted_setup, scripted_teardown)
    const struct CMUnitTest tests[] = {
        TEST(open_defaults_follow_the_model),
        TEST(open_impossible_parameters_names_them),
        TEST(close_gives_the_model_back),
        TEST(enter_twice_is_busy),
        TEST(beginning_most_shared_is_found),
        TEST(beginning_kept_already_costs_no_second_one),
        TEST(beginning_least_recently_used_goes_first),
        TEST(conversation_never_takes_a_template_s_slot),
        TEST(conversation_keeps_one_slot_as_it_changes),
        TEST(make_room_knows_no_kind_but_age),
        TEST(beginning_is_cut_to_what_was_written),
        TEST(chain_is_the_last_one_and_takes_no_templates_place),
        TEST(make_room_gives_every_page_back),
        TEST(room_is_what_giving_all_up_gives),
        TEST(beginning_without_a_page_to_spare_is_not_forked),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
