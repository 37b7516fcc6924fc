/* A program of the first release: it is compiled with that release's headers, which
 * tests/abi/0.1.0/ keeps, and linked with today's shared library. It uses every struct and every
 * kind of call as its readers then were told to, and knows nothing of what came later. This file
 * changes with the headers it includes: never, once 0.1.0 is released. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <sot/sot.h>

_Static_assert(SOT_VERSION_MAJOR == 0 && SOT_VERSION_MINOR == 1 && SOT_VERSION_PATCH == 0,
               "these are not the headers of the first release");

static const char question[] = "What makes a good neighbour?";
static const char skeleton[] = "1. Kindness.\n2. Quiet evenings.\n3. Sugar to lend.\n";
static sot_model *model;
static sot_session *session;

static int open_objects(void **state)
{
    (void)state;
    sot_model_params loading = SOT_MODEL_PARAMS_INIT;
    sot_session_params sizes = SOT_SESSION_PARAMS_INIT;
    loading.device = "cpu";
    sizes.n_threads = 2;
    sizes.n_ctx = 1024;
    sizes.max_batch = 4;
    sizes.isa = "auto";
    return sot_model_load("random:64x2x4x96x300?seed=3", &loading, &model) ||
           sot_session_create(model, &sizes, &session);
}

static int close_objects(void **state)
{
    (void)state;
    sot_model_free(model); /* before the session, as the header allows */
    sot_session_free(session);
    return 0;
}

/* An old struct with what lies behind it in an old program's memory. */
#define WITH_MARK(type)                                                                            \
    struct {                                                                                       \
        type it;                                                                                   \
        uint64_t mark[32];                                                                         \
    }
#define CHECK_MARK(what)                                                                           \
    for (size_t i_mark = 0; i_mark < 32; i_mark++) {                                               \
        assert_true((what).mark[i_mark] == 0x5A5A5A5A5A5A5A5Au);                                   \
    }                                                                                              \
    assert_int_equal((what).it.struct_size, sizeof(what).it)

#define FILL_STAYS_INSIDE(type, ...)                                                               \
    {                                                                                              \
        WITH_MARK(type) old;                                                                       \
        memset(&old, 0x5A, sizeof old);                                                            \
        old.it = (type)SOT_STRUCT_INIT(type);                                                      \
        type *filled = &old.it;                                                                    \
        assert_int_equal(__VA_ARGS__, SOT_OK);                                                     \
        CHECK_MARK(old);                                                                           \
    }

static sot_generate_params small_params(void)
{
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.max_tokens = 8;
    params.max_skeleton_tokens = 8;
    params.max_point_tokens = 6;
    params.flags = SOT_GENERATE_IGNORE_STOPS;
    return params;
}

typedef struct heard {
    uint32_t n_points, n_ended, n_stages;
    size_t text_bytes;
} heard;

static int32_t listen(const sot_event *event, void *user)
{
    heard *ears = user;
    assert_in_range(event->struct_size, sizeof *event, 1 << 16);
    ears->n_stages += event->type == SOT_EVENT_STAGE;
    ears->n_points += event->type == SOT_EVENT_POINT;
    ears->n_ended += event->type == SOT_EVENT_POINT_END;
    if (event->type == SOT_EVENT_EXPANSION) {
        assert_int_equal(strlen(event->text), event->text_size);
        ears->text_bytes += event->text_size;
    }
    return 0;
}

static void answer_of_points_is_what_the_header_says(void **state)
{
    (void)state;
    heard ears = {0};
    sot_points *points = NULL;
    sot_answer *answer = NULL;
    sot_generate_params params = small_params();
    params.on_event = listen;
    params.event_user = &ears;
    assert_int_equal(sot_points_parse(skeleton, strlen(skeleton), 0, &points), SOT_OK);
    assert_int_equal(sot_points_count(points), 3);
    assert_string_equal(sot_points_index(points, 1), "2");
    assert_int_equal(sot_expand_batch(session, question, points, &params, &answer), SOT_OK);
    assert_int_equal(sot_answer_point_count(answer), 3);
    size_t bytes = 0;
    for (size_t i = 0; i < 3; i++) {
        bytes += sot_answer_point_size(answer, i);
        assert_int_equal(sot_answer_point_finish(answer, i), SOT_FINISH_LENGTH);
        assert_int_equal(sot_answer_point_tokens(answer, i), 6);
    }
    assert_int_equal(ears.text_bytes, bytes);
    assert_int_equal(ears.n_ended, 3);
    assert_int_equal(ears.n_stages, 1);
    FILL_STAYS_INSIDE(sot_stats, sot_answer_get_stats(answer, filled))
    FILL_STAYS_INSIDE(sot_decision, sot_answer_get_decision(answer, filled))
    sot_stats stats = SOT_STATS_INIT;
    assert_int_equal(sot_answer_get_stats(answer, &stats), SOT_OK);
    assert_int_equal(stats.mode, SOT_MODE_SOT);
    assert_int_equal(stats.n_points, 3);
    assert_int_equal(stats.decode_tokens[SOT_STAGE_EXPAND - 1], 18);
    sot_answer_free(answer);
    sot_points_free(points);
}

static int32_t route(const char *asked, sot_decision *decision, void *user)
{
    (void)user;
    assert_string_equal(asked, question);
    decision->label = SOT_LABEL_NORMAL;
    decision->score = 0.25f;
    return 0;
}

static void routed_answer_with_every_pointer_set_is_taken(void **state)
{
    (void)state;
    static const char *const history[] = {"Hello?", "Good day."};
    static const char *const stops[] = {"\n\n\n"};
    static const int32_t stop_ids[] = {2};
    static const uint32_t limits[] = {3, 0};
    sot_conversation own = SOT_CONVERSATION_INIT;
    sot_prompts prompts = SOT_PROMPTS_INIT;
    own.user_tag = "Q: ";
    own.assistant_tag = "A:";
    prompts.skeleton = "Outline: {request}";
    sot_generate_params params = small_params();
    params.mode = SOT_MODE_ROUTED;
    params.temperature = 0.5f;
    params.top_p = 0.9f;
    params.top_k = 40;
    params.seed = 7;
    params.stop_ids = stop_ids;
    params.n_stop_ids = 1;
    params.stop_strings = stops;
    params.n_stop_strings = 1;
    params.custom_conversation = &own;
    params.system_message = "Be brief.";
    params.prompts = &prompts;
    params.history = history;
    params.n_history = 2;
    params.point_limits = limits;
    params.n_point_limits = 2;
    params.router = SOT_ROUTER_CALLBACK;
    params.on_route = route;
    sot_answer *answer = NULL;
    assert_int_equal(sot_generate(session, question, &params, &answer), SOT_OK);
    assert_int_equal(sot_answer_finish(answer), SOT_FINISH_LENGTH);
    sot_decision decision = SOT_DECISION_INIT;
    assert_int_equal(sot_answer_get_decision(answer, &decision), SOT_OK);
    assert_int_equal(decision.router, SOT_ROUTER_CALLBACK);
    assert_int_equal(decision.label, SOT_LABEL_NORMAL);
    assert_true(decision.score == 0.25f);
    FILL_STAYS_INSIDE(sot_decision, sot_route(session, question, &params, filled))
    sot_answer_free(answer);
}

static void chat_tokens_and_logits_work(void **state)
{
    (void)state;
    sot_chat_params keeping = SOT_CHAT_PARAMS_INIT;
    keeping.flags = SOT_CHAT_KEEP_ALL;
    keeping.reserve_tokens = 64;
    sot_generate_params params = small_params();
    params.mode = SOT_MODE_NORMAL;
    sot_chat *chat = NULL;
    sot_answer *answer = NULL;
    assert_int_equal(sot_chat_create(&keeping, &chat), SOT_OK);
    assert_int_equal(sot_chat_append(chat, "Hello?", "Good day."), SOT_OK);
    assert_int_equal(sot_chat_generate(chat, session, question, &params, &answer), SOT_OK);
    assert_int_equal(sot_chat_count(chat), 2);
    assert_string_equal(sot_chat_question(chat, 1), question);
    sot_answer_free(answer);
    sot_chat_free(chat);

    sot_model_info info = SOT_MODEL_INFO_INIT;
    assert_int_equal(sot_model_get_info(model, &info), SOT_OK);
    assert_int_equal(info.d_model, 64);
    assert_int_equal(info.n_layer, 2);
    assert_int_equal(info.n_vocab, 300);
    assert_string_equal(info.device, "cpu");
    FILL_STAYS_INSIDE(sot_model_info, sot_model_get_info(model, filled))
    FILL_STAYS_INSIDE(sot_session_info, sot_session_get_info(session, filled))
    int32_t tokens[64];
    float logits[300];
    size_t n_tokens = 0;
    assert_int_equal(sot_tokenize(model, "Hi.", 3, SOT_TOKENIZE_BOS, tokens, 64, &n_tokens),
                     SOT_OK);
    assert_int_equal(sot_logits(session, tokens, n_tokens, logits), SOT_OK);
    assert_int_equal(sot_tokenize(model, "Hi.", 3, 0, tokens, 0, &n_tokens), SOT_ERR_CAPACITY);
}

static void measuring_and_estimating_work(void **state)
{
    (void)state;
    static const uint32_t tails[] = {4, 4}, expansions[] = {9, 12};
    uint64_t times[2];
    sot_measure_params step = SOT_MEASURE_PARAMS_INIT;
    step.n_sequences = 2;
    step.n_past = 16;
    step.n_repeats = 2;
    assert_int_equal(sot_session_measure(session, &step, times), SOT_OK);
    sot_profile_params cells = SOT_PROFILE_PARAMS_INIT;
    cells.max_batch = 2;
    cells.max_context = 8;
    cells.n_decode_repeats = 1;
    cells.n_prefill_repeats = 3;
    cells.cell_ns = 1;
    cells.machine = "a machine of then";
    sot_profile *profile = NULL;
    assert_int_equal(sot_profile_measure(session, &cells, &profile), SOT_OK);
    sot_profile_info info = SOT_PROFILE_INFO_INIT;
    assert_int_equal(sot_profile_get_info(profile, &info), SOT_OK);
    assert_string_equal(info.machine, "a machine of then");
    FILL_STAYS_INSIDE(sot_profile_info, sot_profile_get_info(profile, filled))
    sot_lengths lengths = SOT_LENGTHS_INIT;
    lengths.normal_prompt = 10;
    lengths.normal_tokens = 30;
    lengths.skeleton_prompt = 20;
    lengths.skeleton_tokens = 10;
    lengths.common_prompt = 15;
    lengths.point_prompt_tails = tails;
    lengths.point_tokens = expansions;
    lengths.n_points = 2;
    FILL_STAYS_INSIDE(sot_estimate, sot_profile_estimate(profile, &lengths, filled))
    sot_break_even_params kind = SOT_BREAK_EVEN_PARAMS_INIT;
    kind.point_tokens = 20;
    FILL_STAYS_INSIDE(sot_break_even, sot_profile_break_even(profile, &kind, filled))
    sot_profile_free(profile);
}

#define FILE_OF_THEN(name) SOT_TEST_DIR "/abi/0.1.0/files/" name

static void files_of_then_are_read(void **state)
{
    (void)state;
    sot_chat *chat = NULL;
    assert_int_equal(sot_chat_load(FILE_OF_THEN("chat.jsonl"), NULL, &chat), SOT_OK);
    assert_int_equal(sot_chat_count(chat), 2);
    assert_string_equal(sot_chat_question(chat, 1), "And a \"bad\" one?");
    assert_string_equal(sot_chat_answer(chat, 1), "Noise \xe2\x80\x93 at night.");
    sot_chat_free(chat);
    sot_profile *profile = NULL;
    assert_int_equal(sot_profile_load(FILE_OF_THEN("profile.json"), &profile), SOT_OK);
    sot_profile_info info = SOT_PROFILE_INFO_INIT;
    assert_int_equal(sot_profile_get_info(profile, &info), SOT_OK);
    assert_string_equal(info.machine, "a machine of then");
    assert_int_equal(info.n_vocab, 300);
    assert_float_equal(sot_profile_decode_ns(profile, 2, 16), 22572, 0);
    sot_profile_free(profile);
    sot_prompts *prompts = NULL;
    assert_int_equal(sot_prompts_load(FILE_OF_THEN("prompts.json"), &prompts), SOT_OK);
    assert_string_equal(prompts->skeleton, "List what there is to say about "
                                           "{request}[ROLESWITCHING assistant:]1.");
    assert_int_equal(prompts->flags, 0);
    sot_prompts_free(prompts);
}

static void failure_has_the_number_and_the_name_of_then(void **state)
{
    (void)state;
    sot_model *none = NULL;
    sot_status status = sot_model_load("/nowhere/at/all.gguf", NULL, &none);
    assert_int_equal(status, -3);
    assert_string_equal(sot_status_name(status), "SOT_ERR_IO");
    assert_non_null(strstr(sot_error_message(), "/nowhere/at/all.gguf"));
    assert_true(sot_version_number() >= 1000);           /* not older than the headers */
    assert_int_equal(sot_version_number() / 1000000, 0); /* whose soname it has */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answer_of_points_is_what_the_header_says),
        cmocka_unit_test(routed_answer_with_every_pointer_set_is_taken),
        cmocka_unit_test(chat_tokens_and_logits_work),
        cmocka_unit_test(measuring_and_estimating_work),
        cmocka_unit_test(files_of_then_are_read),
        cmocka_unit_test(failure_has_the_number_and_the_name_of_then),
    };
    print_message("compiled with the headers of 0.1.0, running with %s\n", sot_version_string());
    return cmocka_run_group_tests(tests, open_objects, close_objects);
}
