/* Structs of other versions, in every function that reads or fills one: an older, shorter one is
 * read no further than it goes; a newer, longer one is taken while what this library does not know
 * is zero, and refused with a sentence otherwise; of a result as much is filled as there is room
 * for. test_layout_complete.py looks for functions that are missing here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <sot/sot.h>

#include "../guarded_memory.h"

enum { NEWER_MAX = 256, RESULT_MAX = 512, MARK = 0xA5 };

static const char tiny[] = "random:64x2x4x96x300";
static const char question[] = "Why is the sky blue?";
static const char skeleton[] = "1. Light.\n2. Air.\n";
static char chat_path[64];
static sot_model *model;
static sot_session *session;
static sot_session *short_session; /* has room for few cells of a profile */
static sot_points *points;
static sot_profile *profile;
static sot_answer *answer;

static void fill_generate(void *params)
{
    sot_generate_params *generate = params;
    *generate = (sot_generate_params)SOT_GENERATE_PARAMS_INIT;
    generate->mode = SOT_MODE_NORMAL; /* where there is a choice: the shortest prompt */
    generate->max_tokens = 4;
    generate->max_skeleton_tokens = 4;
    generate->max_point_tokens = 2;
}

static void fill_profile(void *params)
{
    sot_profile_params *measure = params;
    *measure = (sot_profile_params)SOT_PROFILE_PARAMS_INIT;
    measure->max_batch = 1;
    measure->max_context = 4;
    measure->n_decode_repeats = 1;
    measure->n_prefill_repeats = 3;
    measure->cell_ns = 1;
}

static void fill_lengths(void *params)
{
    static const uint32_t tails[] = {5, 6}, tokens[] = {7, 8};
    const sot_lengths lengths = {.struct_size = sizeof lengths,
                                 .normal_prompt = 10,
                                 .normal_tokens = 20,
                                 .skeleton_prompt = 30,
                                 .skeleton_tokens = 10,
                                 .common_prompt = 9,
                                 .point_prompt_tails = tails,
                                 .point_tokens = tokens,
                                 .n_points = 2};
    memcpy(params, &lengths, sizeof lengths);
}

static int open_objects(void **state)
{
    (void)state;
    sot_session_params sizes = SOT_SESSION_PARAMS_INIT;
    sizes.n_threads = 1;
    sizes.max_batch = 4;
    sot_profile_params measure;
    sot_generate_params generate;
    fill_profile(&measure);
    fill_generate(&generate);
    snprintf(chat_path, sizeof chat_path, "/tmp/sot_other_sizes_%ld.jsonl", (long)getpid());
    sot_chat *chat = NULL;
    sot_status status = sot_chat_create(NULL, &chat);
    status = status ? status : sot_chat_append(chat, question, "It scatters.");
    status = status ? status : sot_chat_save(chat, chat_path);
    sot_chat_free(chat);
    status = status ? status : sot_model_load(tiny, NULL, &model);
    status = status ? status : sot_session_create(model, &sizes, &session);
    sizes.max_batch = 1;
    sizes.n_ctx = 16;
    status = status ? status : sot_session_create(model, &sizes, &short_session);
    status = status ? status : sot_points_parse(skeleton, sizeof skeleton - 1, 0, &points);
    status = status ? status : sot_profile_measure(short_session, &measure, &profile);
    generate.mode = SOT_MODE_ROUTED;
    generate.router = SOT_ROUTER_ALWAYS;
    return status ? status : sot_generate(session, question, &generate, &answer);
}

static int close_objects(void **state)
{
    (void)state;
    sot_answer_free(answer);
    sot_profile_free(profile);
    sot_points_free(points);
    sot_session_free(short_session);
    sot_session_free(session);
    sot_model_free(model);
    return unlink(chat_path);
}

/* ---- Functions that read a struct ---- */

/* A call that makes an object with params, and what it must be with this status. */
#define MAKE(type, name, ...)                                                                      \
    static sot_status name(const void *params)                                                     \
    {                                                                                              \
        type *made = (type *)&made;                                                                \
        sot_status status = __VA_ARGS__;                                                           \
        assert_int_equal(status == SOT_OK, made != NULL);                                          \
        type##_free(made);                                                                         \
        return status;                                                                             \
    }
MAKE(sot_model, call_load, sot_model_load(tiny, params, &made))
MAKE(sot_session, call_session, sot_session_create(model, params, &made))
MAKE(sot_answer, call_generate, sot_generate(session, question, params, &made))
MAKE(sot_points, call_skeleton, sot_skeleton(session, question, params, &made))
MAKE(sot_answer, call_expand, sot_expand_batch(session, question, points, params, &made))
MAKE(sot_chat, call_chat, sot_chat_create(params, &made))
MAKE(sot_chat, call_chat_load, sot_chat_load(chat_path, params, &made))
MAKE(sot_profile, call_profile, sot_profile_measure(short_session, params, &made))

static sot_status call_route(const void *params)
{
    sot_decision decision = SOT_DECISION_INIT;
    return sot_route(session, question, params, &decision);
}

static sot_status call_chat_generate(const void *params)
{
    sot_chat *chat = NULL;
    sot_answer *made = (sot_answer *)&made;
    assert_int_equal(sot_chat_create(NULL, &chat), SOT_OK);
    sot_status status = sot_chat_generate(chat, session, question, params, &made);
    assert_int_equal(status == SOT_OK, made != NULL);
    assert_int_equal(sot_chat_count(chat), status == SOT_OK ? 1 : 0);
    sot_answer_free(made);
    sot_chat_free(chat);
    return status;
}

static sot_status call_measure(const void *params)
{
    uint64_t times[5];
    return sot_session_measure(session, params, times);
}

static sot_status call_estimate(const void *params)
{
    sot_estimate estimate = SOT_ESTIMATE_INIT;
    return sot_profile_estimate(profile, params, &estimate);
}

static sot_status call_break_even(const void *params)
{
    sot_break_even result = SOT_BREAK_EVEN_INIT;
    return sot_profile_break_even(profile, params, &result);
}

static sot_status call_with_conversation(const void *params)
{
    sot_generate_params generate;
    fill_generate(&generate);
    generate.custom_conversation = params;
    return call_generate(&generate);
}

static sot_status call_with_prompts(const void *params)
{
    sot_generate_params generate;
    fill_generate(&generate);
    generate.prompts = params;
    return call_generate(&generate);
}

#define FILL(type)                                                                                 \
    static void fill_##type(void *params)                                                          \
    {                                                                                              \
        *(type *)params = (type)SOT_STRUCT_INIT(type);                                             \
    }
FILL(sot_model_params)
FILL(sot_session_params)
FILL(sot_chat_params)
FILL(sot_measure_params)
FILL(sot_break_even_params)
FILL(sot_conversation)
FILL(sot_prompts)

typedef struct reader {
    const char *name;
    sot_status (*call)(const void *params); /* succeeds with what fill makes */
    void (*fill)(void *params);
    size_t size;
    size_t least; /* bytes without which the call does not succeed, or not soon */
} reader;

static const size_t limits_end = offsetof(sot_generate_params, stop_ids);
#define READER(call, fill, type, least)                                                            \
    {                                                                                              \
#call, call, fill, sizeof(type), least                                                     \
    }
static const reader readers[] = {
    READER(call_load, fill_sot_model_params, sot_model_params, 8),
    READER(call_session, fill_sot_session_params, sot_session_params, 8),
    READER(call_generate, fill_generate, sot_generate_params, limits_end),
    READER(call_skeleton, fill_generate, sot_generate_params, limits_end),
    READER(call_expand, fill_generate, sot_generate_params, limits_end),
    READER(call_route, fill_generate, sot_generate_params, 8),
    READER(call_chat_generate, fill_generate, sot_generate_params, limits_end),
    READER(call_chat, fill_sot_chat_params, sot_chat_params, 8),
    READER(call_chat_load, fill_sot_chat_params, sot_chat_params, 8),
    READER(call_measure, fill_sot_measure_params, sot_measure_params, 8),
    READER(call_profile, fill_profile, sot_profile_params, offsetof(sot_profile_params, machine)),
    READER(call_estimate, fill_lengths, sot_lengths, sizeof(sot_lengths)),
    READER(call_break_even, fill_sot_break_even_params, sot_break_even_params, 8),
    READER(call_with_conversation, fill_sot_conversation, sot_conversation, 8),
    READER(call_with_prompts, fill_sot_prompts, sot_prompts, 8),
};
enum { N_READERS = sizeof readers / sizeof *readers };

/* What a host of that size passes: behind it lies memory that nobody may touch. */
static void *params_of(const reader *tried, size_t size, uint32_t struct_size)
{
    unsigned char full[NEWER_MAX + RESULT_MAX] = {0};
    unsigned char *params = malloc(size);
    assert_in_range(tried->size, 8, RESULT_MAX);
    assert_non_null(params);
    tried->fill(full);
    memcpy(full, &struct_size, sizeof struct_size);
    memcpy(params, full, size);
    return params;
}

static void expect(const reader *tried, const void *params, sot_status expected,
                   const char *sentence)
{
    sot_status status = tried->call(params);
    if (status != expected || (sentence != NULL && strstr(sot_error_message(), sentence) == NULL)) {
        fail_msg("%s: %s, \"%s\"; expected %s, \"%s\"", tried->name, sot_status_name(status),
                 sot_error_message(), sot_status_name(expected), sentence ? sentence : "");
    }
}

static void params_of_an_older_version_are_read_no_further(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_READERS; i++) {
        size_t step = readers[i].fill == fill_generate ? 56 : 8; /* for the sake of emulators */
        for (size_t size = readers[i].least; size <= readers[i].size; size += step) {
            void *params = params_of(&readers[i], size, (uint32_t)size);
            expect(&readers[i], params, SOT_OK, NULL);
            free(params);
        }
    }
}

static void params_of_a_newer_version_are_taken_while_the_rest_is_zero(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_READERS; i++) {
        for (size_t more = 8; more <= NEWER_MAX; more *= NEWER_MAX / 8) {
            size_t size = readers[i].size + more;
            void *params = params_of(&readers[i], size, (uint32_t)size);
            expect(&readers[i], params, SOT_OK, NULL);
            free(params);
        }
    }
}

static void params_of_a_newer_version_are_refused_where_something_is_set(void **state)
{
    (void)state;
    char sentence[80];
    for (size_t i = 0; i < N_READERS; i++) {
        size_t size = readers[i].size + NEWER_MAX;
        const size_t places[] = {readers[i].size, readers[i].size + 7, size - 1};
        for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
            unsigned char *params = params_of(&readers[i], size, (uint32_t)size);
            params[places[k]] = 1;
            snprintf(sentence, sizeof sentence, "struct_size is %zu and byte %zu is set", size,
                     places[k]);
            expect(&readers[i], params, SOT_ERR_UNSUPPORTED, sentence);
            free(params);
        }
    }
}

static const uint32_t no_sizes[] = {0, 4, 12, 17, 1u << 20, UINT32_MAX};
enum { N_NO_SIZES = sizeof no_sizes / sizeof *no_sizes };

static void params_of_no_version_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_READERS; i++) {
        for (size_t k = 0; k < N_NO_SIZES; k++) {
            void *params = params_of(&readers[i], readers[i].size, no_sizes[k]);
            expect(&readers[i], params, SOT_ERR_ARGUMENT, "struct_size");
            free(params);
        }
    }
}

/* ---- Functions that fill a struct ---- */

static sot_status fill_model_info(void *result)
{
    return sot_model_get_info(model, result);
}

static sot_status fill_session_info(void *result)
{
    return sot_session_get_info(session, result);
}

static sot_status fill_stats(void *result)
{
    return sot_answer_get_stats(answer, result);
}

static sot_status fill_answer_decision(void *result)
{
    return sot_answer_get_decision(answer, result);
}

static sot_status fill_route_decision(void *result)
{
    sot_generate_params generate;
    fill_generate(&generate);
    generate.router = SOT_ROUTER_ALWAYS;
    return sot_route(session, question, &generate, result);
}

static sot_status fill_profile_info(void *result)
{
    return sot_profile_get_info(profile, result);
}

static sot_status fill_estimate(void *result)
{
    sot_lengths lengths;
    fill_lengths(&lengths);
    return sot_profile_estimate(profile, &lengths, result);
}

static sot_status fill_break_even(void *result)
{
    return sot_profile_break_even(profile, NULL, result);
}

static const struct {
    const char *name;
    sot_status (*call)(void *result);
    size_t size;
    size_t same; /* bytes that are the same in each call: not how long it took */
} fillers[] = {
    {"model info", fill_model_info, sizeof(sot_model_info), sizeof(sot_model_info)},
    {"session info", fill_session_info, sizeof(sot_session_info), sizeof(sot_session_info)},
    {"stats", fill_stats, sizeof(sot_stats), sizeof(sot_stats)},
    {"decision of an answer", fill_answer_decision, sizeof(sot_decision), sizeof(sot_decision)},
    {"decision of sot_route", fill_route_decision, sizeof(sot_decision),
     offsetof(sot_decision, latency_ns)},
    {"profile info", fill_profile_info, sizeof(sot_profile_info), sizeof(sot_profile_info)},
    {"estimate", fill_estimate, sizeof(sot_estimate), sizeof(sot_estimate)},
    {"break-even", fill_break_even, sizeof(sot_break_even), sizeof(sot_break_even)},
};
enum { N_FILLERS = sizeof fillers / sizeof *fillers };

static uint32_t struct_size_of(const void *result)
{
    uint32_t struct_size;
    memcpy(&struct_size, result, sizeof struct_size);
    return struct_size;
}

static void result_of_any_version_gets_what_it_has_room_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FILLERS; i++) {
        unsigned char full[RESULT_MAX] = {0};
        const uint32_t size = (uint32_t)fillers[i].size;
        assert_in_range(size, 8, sizeof full - NEWER_MAX);
        memcpy(full, &size, sizeof size);
        assert_int_equal(fillers[i].call(full), SOT_OK);
        for (uint32_t given = 8; given <= size + NEWER_MAX; given += 8) {
            size_t known = given < size ? given : size;
            size_t same = known < fillers[i].same ? known : fillers[i].same;
            unsigned char *result = malloc(given);
            assert_non_null(result);
            memset(result, MARK, given);
            memcpy(result, &given, sizeof given);
            assert_int_equal(fillers[i].call(result), SOT_OK);
            assert_int_equal(struct_size_of(result), given);
            if (memcmp(result + sizeof given, full + sizeof given, same - sizeof given) != 0) {
                fail_msg("%s: with struct_size %u it is filled otherwise", fillers[i].name, given);
            }
            for (size_t k = size; k < given; k++) {
                assert_int_equal(result[k], 0);
            }
            free(result);
        }
    }
}

static void result_of_no_version_is_refused_and_left_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FILLERS; i++) {
        for (size_t k = 0; k < N_NO_SIZES; k++) {
            unsigned char result[RESULT_MAX];
            memset(result, MARK, sizeof result);
            memcpy(result, &no_sizes[k], sizeof no_sizes[k]);
            assert_int_equal(fillers[i].call(result), SOT_ERR_ARGUMENT);
            assert_non_null(strstr(sot_error_message(), "struct_size"));
            assert_int_equal(struct_size_of(result), no_sizes[k]);
            for (size_t j = sizeof no_sizes[k]; j < sizeof result; j++) {
                assert_int_equal(result[j], MARK);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(params_of_an_older_version_are_read_no_further),
        cmocka_unit_test(params_of_a_newer_version_are_taken_while_the_rest_is_zero),
        cmocka_unit_test(params_of_a_newer_version_are_refused_where_something_is_set),
        cmocka_unit_test(params_of_no_version_are_refused),
        cmocka_unit_test(result_of_any_version_gets_what_it_has_room_for),
        cmocka_unit_test(result_of_no_version_is_refused_and_left_alone),
    };
    return cmocka_run_group_tests(tests, open_objects, close_objects);
}
