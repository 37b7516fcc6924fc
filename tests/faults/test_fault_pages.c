/* Every reservation of pages fails, by page pools that are one page larger each time, from too
 * small for a token to large enough for all: a status each time, with what could be said, the same
 * texts as far as they go, all pages back, and a session that goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sot/session.h"
#include "sot/sot.h"

/* Ways of asking. Where there is little room, routed answers become normal ones without their
 * router's decision, and a conversation loses its oldest rounds: those say something else then. */
enum { NORMAL, SOT, ROUTED, AT_ONCE, CHAT, EXPAND, SKELETON, N_WAYS };
enum { N_TEXTS = 5, TEXT_BYTES = 2048 };

static const char skeleton_prompt[] = "List {request}[ROLESWITCHING assistant:]1. Ab\n2. Cd\n3.";
static const char point_prompt[] =
    "On {request} {outline} write {point}[ROLESWITCHING assistant:]{point}. {point_outline}";
static const sot_prompts prompts = {.struct_size = sizeof prompts,
                                    .skeleton = skeleton_prompt,
                                    .point = point_prompt,
                                    .router = "Is {request} fit?"};

static sot_model *model;

/* What was said: a normal answer, or a skeleton, and expansions. */
typedef struct said {
    sot_status status;
    char texts[N_TEXTS][TEXT_BYTES];
} said;

static int setup(void **state)
{
    (void)state;
    return sot_model_load("random:32x1x2x32x300", NULL, &model) == SOT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    sot_model_free(model);
    return 0;
}

static void keep_text(said *out, size_t i, const char *text, size_t size)
{
    assert_true(i < N_TEXTS && size < TEXT_BYTES);
    memcpy(out->texts[i], text, size);
    out->texts[i][size] = '\0';
}

static void keep_answer(said *out, sot_answer *answer)
{
    const sot_points *points = sot_answer_points(answer);
    if (points != NULL) {
        keep_text(out, 0, sot_points_source(points), sot_points_source_size(points));
    } else {
        keep_text(out, 0, sot_answer_text(answer), sot_answer_text_size(answer));
    }
    for (size_t i = 0; i < sot_answer_point_count(answer); i++) {
        keep_text(out, i + 1, sot_answer_point(answer, i), sot_answer_point_size(answer, i));
    }
}

static sot_status converse(sot_session *session, const sot_generate_params *params,
                           sot_answer **answer)
{
    sot_chat *chat = NULL;
    assert_int_equal(sot_chat_create(NULL, &chat), SOT_OK);
    sot_status status = sot_chat_append(chat, "before", "1. A b");
    if (status == SOT_OK) {
        status = sot_chat_generate(chat, session, "things", params, answer);
    }
    sot_chat_free(chat);
    return status;
}

static sot_status expand(sot_session *session, const sot_generate_params *params,
                         sot_answer **answer)
{
    sot_points *points = NULL;
    assert_int_equal(sot_points_parse("1. One\n2. Two\n3. Three", 22, 0, &points), SOT_OK);
    sot_status status = sot_expand_batch(session, "things", points, params, answer);
    sot_points_free(points);
    return status;
}

static sot_status ask(sot_session *session, uint32_t way, said *out)
{
    static const uint32_t modes[N_WAYS] = {
        [NORMAL] = SOT_MODE_NORMAL, [ROUTED] = SOT_MODE_ROUTED, [AT_ONCE] = SOT_MODE_ROUTED};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_answer *answer = NULL;
    params.prompts = &prompts;
    params.conversation = "vicuna";
    params.max_tokens = params.max_skeleton_tokens = params.max_point_tokens = 24;
    params.max_points = N_TEXTS - 1;
    params.mode = modes[way];
    params.flags = way == AT_ONCE ? SOT_GENERATE_CONCURRENT : 0;
    memset(out, 0, sizeof *out);
    if (way < CHAT) {
        out->status = sot_generate(session, "things", &params, &answer);
    } else if (way == CHAT) {
        out->status = converse(session, &params, &answer);
    } else if (way == EXPAND) {
        out->status = expand(session, &params, &answer);
    } else {
        sot_points *points = NULL;
        out->status = sot_skeleton(session, "things", &params, &points);
        assert_non_null(points);
        keep_text(out, 0, sot_points_source(points), sot_points_source_size(points));
        sot_points_free(points);
        return out->status;
    }
    assert_non_null(answer);
    keep_answer(out, answer);
    sot_answer_free(answer);
    return out->status;
}

static void check_pages(sot_session *session)
{
    soti_kv *kv = soti_engine_kv(session->engine);
    while (soti_session_make_room(session)) {
    }
    assert_int_equal(soti_kv_free_pages(kv), soti_kv_page_count(kv));
}

/* Each text is the beginning of what it is where there is room; the bytes of a character that was
 * cut short are U+FFFD. */
static void check_texts(const said *found, const said *whole)
{
    static const char cut[] = "\xEF\xBF\xBD";
    for (size_t i = 0; i < N_TEXTS; i++) {
        size_t n = strlen(found->texts[i]);
        if (found->status == SOT_OK) {
            assert_string_equal(found->texts[i], whole->texts[i]);
        } else if (n >= 3 && memcmp(found->texts[i] + n - 3, cut, 3) == 0) {
            n -= 3;
        }
        assert_memory_equal(found->texts[i], whole->texts[i], n);
    }
}

static sot_session *open_session(uint32_t n_pages)
{
    sot_session *session = NULL;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_threads = 1;
    params.n_ctx = 512;
    params.max_batch = 3;
    params.kv_tokens = n_pages * SOTI_PAGE_TOKENS;
    assert_int_equal(sot_session_create(model, &params, &session), SOT_OK);
    assert_int_equal(soti_kv_page_count(soti_engine_kv(session->engine)), n_pages);
    return session;
}

static void reservations_failing_anywhere_leave_what_was_said(void **state)
{
    (void)state;
    static said whole;
    static said found;
    for (uint32_t way = 0; way < N_WAYS; way++) {
        uint32_t n_full = 0;
        sot_session *roomy = open_session(512);
        assert_int_equal(ask(roomy, way, &whole), SOT_OK);
        sot_session_free(roomy);
        for (uint32_t n_pages = 1;; n_pages++) {
            sot_session *session = open_session(n_pages);
            for (int i = 0; i < 2; i++) { /* the second time with what the first left in pages */
                sot_status status = ask(session, way, &found);
                assert_true(status == SOT_OK || status == SOT_ERR_CONTEXT_FULL);
                assert_true(status == SOT_OK || strstr(sot_error_message(), "page pool") != NULL);
                if (way != ROUTED && way != AT_ONCE && way != CHAT) {
                    check_texts(&found, &whole);
                }
            }
            /* Whatever was full: what needs fewer pages than there are is done. */
            float logits[300];
            const int32_t token = 5;
            assert_int_equal(sot_logits(session, &token, 1, logits), SOT_OK);
            check_pages(session);
            sot_session_free(session);
            n_full += found.status != SOT_OK;
            if (found.status == SOT_OK && n_pages > 64) {
                break;
            }
        }
        print_message("way %u: %u pools are too small\n", way, n_full);
        assert_true(n_full >= 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reservations_failing_anywhere_leave_what_was_said),
    };
    return cmocka_run_group_tests_name("failing reservations", tests, setup, teardown);
}
