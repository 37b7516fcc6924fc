/* Structs and texts at the border: sizes of other versions, defaults, what is refused and how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>

#include <cmocka.h>

#include "api/api_params.h"
#include "scripted_model.h"
#include "sot/routing.h"
#include "sot/wordings.h"

/* A version of a struct, and a later one. */
typedef struct old_params {
    uint32_t struct_size;
    uint32_t a;
    uint64_t b;
} old_params;

typedef struct new_params {
    uint32_t struct_size;
    uint32_t a;
    uint64_t b;
    uint64_t c;
    const char *d;
} new_params;

static soti_complete_params complete;

static void refuse(const sot_generate_params *params, sot_status expected, const char *sentence)
{
    assert_int_equal(soti_generate_params_read(&scripted_model, params, &complete), expected);
    if (strstr(soti_fail_message(), sentence) == NULL) {
        fail_msg("\"%s\" has no \"%s\"", soti_fail_message(), sentence);
    }
}

static void read_older_struct_gives_zero_for_what_it_lacks(void **state)
{
    (void)state;
    const old_params old = {sizeof old, 1, 2};
    new_params out;
    memset(&out, 0xFF, sizeof out);
    assert_int_equal(soti_params_read("test", &old, sizeof out, &out), SOT_OK);
    assert_int_equal(out.struct_size, sizeof out);
    assert_int_equal(out.a, 1);
    assert_int_equal(out.b, 2);
    assert_int_equal(out.c, 0);
    assert_null(out.d);
}

static void read_newer_struct_is_fine_while_the_rest_is_zero(void **state)
{
    (void)state;
    new_params newer = {.struct_size = sizeof newer, .a = 1, .b = 2};
    old_params out;
    assert_int_equal(soti_params_read("test", &newer, sizeof out, &out), SOT_OK);
    assert_int_equal(out.b, 2);
    newer.d = "set";
    assert_int_equal(soti_params_read("test", &newer, sizeof out, &out), SOT_ERR_UNSUPPORTED);
    assert_non_null(strstr(soti_fail_message(), "test: struct_size is 32"));
    assert_non_null(strstr(soti_fail_message(), "knows 16"));
}

static void read_struct_size_of_no_version_is_refused(void **state)
{
    (void)state;
    new_params out;
    static const uint32_t sizes[] = {0, 3, 4 + 8, 17, 1u << 20, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const new_params params = {.struct_size = sizes[i]};
        assert_int_equal(soti_params_read("test", &params, sizeof out, &out), SOT_ERR_ARGUMENT);
        assert_non_null(strstr(soti_fail_message(), "test: struct_size"));
    }
}

static void read_null_gives_all_defaults(void **state)
{
    (void)state;
    new_params out;
    memset(&out, 0xFF, sizeof out);
    assert_int_equal(soti_params_read("test", NULL, sizeof out, &out), SOT_OK);
    assert_int_equal(out.a, 0);
    assert_int_equal(out.struct_size, sizeof out);
}

static void write_fills_what_the_caller_has(void **state)
{
    (void)state;
    const new_params values = {sizeof values, 1, 2, 3, "x"};
    struct {
        old_params params;
        uint64_t behind;
    } old = {.params = {.struct_size = sizeof(old_params)}, .behind = 99};
    assert_int_equal(soti_params_write("test", &values, sizeof values, &old.params), SOT_OK);
    assert_int_equal(old.params.struct_size, sizeof(old_params));
    assert_int_equal(old.params.b, 2);
    assert_int_equal(old.behind, 99);
    new_params newer;
    memset(&newer, 0xFF, sizeof newer);
    newer.struct_size = sizeof newer;
    const old_params old_values = {sizeof old_values, 4, 5};
    assert_int_equal(soti_params_write("test", &old_values, sizeof old_values, &newer), SOT_OK);
    assert_int_equal(newer.struct_size, sizeof newer);
    assert_int_equal(newer.b, 5);
    assert_int_equal(newer.c, 0);
    newer.struct_size = 0;
    assert_int_equal(soti_params_write("test", &old_values, sizeof old_values, &newer),
                     SOT_ERR_ARGUMENT);
}

static void text_that_is_no_utf8_is_refused_with_its_place(void **state)
{
    (void)state;
    assert_int_equal(soti_check_text("t", NULL), SOT_OK);
    assert_int_equal(soti_check_text("t", "gr\xc3\xbc\xc3\x9f"), SOT_OK);
    assert_int_equal(soti_check_text("t", "abc\xc3"), SOT_ERR_ARGUMENT);
    assert_string_equal(soti_fail_message(), "t: byte 3 is not UTF-8");
    assert_int_equal(soti_check_question(NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(soti_check_question(""), SOT_ERR_ARGUMENT);
    assert_int_equal(soti_check_question("\xff"), SOT_ERR_ARGUMENT);
    assert_int_equal(soti_check_question("?"), SOT_OK);
}

static void generate_params_null_gives_the_documented_defaults(void **state)
{
    (void)state;
    assert_int_equal(soti_generate_params_read(&scripted_model, NULL, &complete), SOT_OK);
    const sot_generate_params *params = &complete.params;
    assert_int_equal(params->mode, SOT_MODE_SOT);
    assert_int_equal(params->max_tokens, 1024);
    assert_int_equal(params->max_skeleton_tokens, 512);
    assert_int_equal(params->max_point_tokens, 256);
    assert_ptr_equal(params->custom_conversation, &complete.conversation);
    assert_ptr_equal(params->prompts, &complete.prompts);
    assert_ptr_equal(complete.prompts.skeleton, soti_wording_find(NULL)->skeleton);
    assert_ptr_equal(complete.prompts.point, soti_wording_find(NULL)->point);
    assert_ptr_equal(complete.prompts.router, soti_prompt_router);
}

static void prompts_go_before_the_wording(void **state)
{
    (void)state;
    sot_prompts prompts = {.struct_size = sizeof prompts, .skeleton = "Plan {request}"};
    const sot_generate_params params = {
        .struct_size = sizeof params, .wording = "chained", .prompts = &prompts};
    const soti_wording *chained = soti_wording_find("chained");
    assert_int_equal(soti_generate_params_read(&scripted_model, &params, &complete), SOT_OK);
    assert_string_equal(complete.prompts.skeleton, "Plan {request}");
    assert_ptr_equal(complete.prompts.point, chained->point);
    assert_int_equal(complete.prompts.flags, SOT_PROMPTS_CHAINED);
    prompts.point =
        "{request}{outline}{point}{point_outline}"; /* not chained, as it does not say so */
    prompts.skeleton = NULL;
    assert_int_equal(soti_generate_params_read(&scripted_model, &params, &complete), SOT_OK);
    assert_ptr_equal(complete.prompts.skeleton, chained->skeleton);
    assert_int_equal(complete.prompts.flags, 0);
    prompts.flags = SOT_PROMPTS_CHAINED;
    prompts.point = "{point}{point_outline}";
    assert_int_equal(soti_generate_params_read(&scripted_model, &params, &complete), SOT_OK);
    assert_int_equal(complete.prompts.flags, SOT_PROMPTS_CHAINED);
}

static void conversation_default_is_the_model_s(void **state)
{
    (void)state;
    static char vicuna[] = "vicuna";
    static char unheard_of[] = "unheard-of";
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    scripted_model.checkpoint.conversation = vicuna;
    assert_int_equal(soti_generate_params_read(&scripted_model, &params, &complete), SOT_OK);
    assert_string_equal(complete.conversation.user_tag, "USER: ");
    params.conversation = "ultralm";
    assert_int_equal(soti_generate_params_read(&scripted_model, &params, &complete), SOT_OK);
    assert_string_equal(complete.conversation.user_tag, "User: ");
    sot_conversation custom = SOT_CONVERSATION_INIT;
    custom.user_tag = "Me: ";
    custom.stop = "";
    params.custom_conversation = &custom; /* goes before the name */
    assert_int_equal(soti_generate_params_read(&scripted_model, &params, &complete), SOT_OK);
    assert_string_equal(complete.conversation.user_tag, "Me: ");
    assert_null(complete.conversation.stop);
    scripted_model.checkpoint.conversation = unheard_of;
    assert_int_equal(soti_generate_params_read(&scripted_model, NULL, &complete), SOT_OK);
}

static void conversation_unknown_lists_the_known(void **state)
{
    (void)state;
    static const char *const names[] = {"vicuna",   "llama2-chat",  "ultralm",
                                        "openchat", "stablevicuna", "none"};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.conversation = "alpaca";
    refuse(&params, SOT_ERR_ARGUMENT, "\"alpaca\"");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        refuse(&params, SOT_ERR_ARGUMENT, names[i]);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        params.conversation = names[i]; /* and every name listed is known */
        assert_int_equal(soti_generate_params_read(&scripted_model, &params, &complete), SOT_OK);
    }
}

static void generate_params_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
#define PARAMS(...)                                                                                \
    {                                                                                              \
        .struct_size = sizeof(sot_generate_params), __VA_ARGS__                                    \
    }
    static const char *const one_null[] = {"a", NULL};
    static const char *const one_empty[] = {"a", ""};
    static const char *const one_invalid[] = {"a", "b\xff"};
    static const sot_conversation flagged = {.struct_size = sizeof flagged, .flags = 1};
    static const sot_conversation invalid = {.struct_size = sizeof invalid, .user_end = "\x80"};
    static const sot_conversation unsized = {.user_end = "x"};
    static const sot_prompts flagged_prompts = {.struct_size = sizeof flagged_prompts, .flags = 8};
    static const sot_prompts chained_without = {.struct_size = sizeof chained_without,
                                                .flags = SOT_PROMPTS_CHAINED};
    static const sot_prompts chained_full = {.struct_size = sizeof chained_full,
                                             .flags = SOT_PROMPTS_CHAINED,
                                             .point = "{request}{outline}{point}{point_outline}"};
    static const sot_prompts router_without = {.struct_size = sizeof router_without,
                                               .router = "A, B or C?"};
    static const sot_prompts invalid_router = {.struct_size = sizeof invalid_router,
                                               .router = "{request}\xff"};
    static const sot_prompts no_request = {.struct_size = sizeof no_request, .skeleton = "hello"};
    static const sot_prompts no_point = {.struct_size = sizeof no_point, .point = "{request}"};
    static const sot_prompts invalid_prompts = {.struct_size = sizeof invalid_prompts,
                                                .point = "{request}\xc0"};
    const struct {
        sot_generate_params params;
        sot_status status;
        const char *sentence;
    } cases[] = {
        {PARAMS(.flags = 6), SOT_ERR_UNSUPPORTED, "generate parameters: flags 0x6, only 0x3"},
        {PARAMS(.n_point_limits = 3), SOT_ERR_ARGUMENT, "point_limits: is NULL, its count is 3"},
        {PARAMS(.mode = 4), SOT_ERR_ARGUMENT, "mode is 4"},
        {PARAMS(.reserved = 1), SOT_ERR_UNSUPPORTED, "reserved is 1"},
        {PARAMS(.temperature = -1.0f), SOT_ERR_ARGUMENT, "temperature"},
        {PARAMS(.temperature = NAN), SOT_ERR_ARGUMENT, "temperature"},
        {PARAMS(.temperature = INFINITY), SOT_ERR_ARGUMENT, "temperature"},
        {PARAMS(.top_p = 1.5f), SOT_ERR_ARGUMENT, "top_p"},
        {PARAMS(.repetition_penalty = -0.5f), SOT_ERR_ARGUMENT, "repetition_penalty"},
        {PARAMS(.n_stop_ids = 1), SOT_ERR_ARGUMENT, "stop_ids"},
        {PARAMS(.n_stop_strings = 1), SOT_ERR_ARGUMENT, "stop_strings"},
        {PARAMS(.stop_strings = one_null, .n_stop_strings = 2), SOT_ERR_ARGUMENT,
         "stop_strings[1]: is NULL"},
        {PARAMS(.stop_strings = one_empty, .n_stop_strings = 2), SOT_ERR_ARGUMENT,
         "stop_strings[1]: is empty"},
        {PARAMS(.stop_strings = one_invalid, .n_stop_strings = 2), SOT_ERR_ARGUMENT,
         "stop_strings[1]: byte 1"},
        {PARAMS(.n_history = 2), SOT_ERR_ARGUMENT, "history"},
        {PARAMS(.history = one_invalid, .n_history = 2), SOT_ERR_ARGUMENT, "history[1]: byte 1"},
        {PARAMS(.history = one_null, .n_history = 2), SOT_ERR_ARGUMENT, "history[1]: is NULL"},
        {PARAMS(.history = one_empty, .n_history = 1), SOT_ERR_ARGUMENT, "n_history: is 1"},
        {PARAMS(.system_message = "\xfe"), SOT_ERR_ARGUMENT, "system_message: byte 0"},
        {PARAMS(.custom_conversation = &flagged), SOT_ERR_UNSUPPORTED, "flags"},
        {PARAMS(.custom_conversation = &invalid), SOT_ERR_ARGUMENT, "custom_conversation: byte 0"},
        {PARAMS(.custom_conversation = &unsized), SOT_ERR_ARGUMENT, "struct_size"},
        {PARAMS(.prompts = &flagged_prompts), SOT_ERR_UNSUPPORTED, "flags"},
        {PARAMS(.prompts = &no_request), SOT_ERR_ARGUMENT, "{request}"},
        {PARAMS(.prompts = &no_point), SOT_ERR_ARGUMENT, "{outline}"},
        {PARAMS(.prompts = &invalid_prompts), SOT_ERR_ARGUMENT, "prompts.point: byte 9"},
        {PARAMS(.prompts = &chained_without), SOT_ERR_ARGUMENT,
         "prompts: SOT_PROMPTS_CHAINED is set, point is NULL"},
        {PARAMS(.prompts = &chained_full), SOT_ERR_ARGUMENT,
         "chained point template: {request} has no meaning here"},
        {PARAMS(.prompts = &router_without), SOT_ERR_ARGUMENT, "router template: {request}"},
        {PARAMS(.prompts = &invalid_router), SOT_ERR_ARGUMENT, "prompts.router: byte 9"},
        {PARAMS(.wording = "terse"), SOT_ERR_ARGUMENT,
         "wording: \"terse\" is none of two-shot, zero-shot, compact, chained"},
        {PARAMS(.wording = ""), SOT_ERR_ARGUMENT, "wording: \"\" is none of"},
        {PARAMS(.forced_skeleton = ""), SOT_ERR_ARGUMENT, "forced_skeleton: is empty"},
        {PARAMS(.forced_skeleton = " A\xff"), SOT_ERR_ARGUMENT, "forced_skeleton: byte 2"},
        {{.struct_size = 0}, SOT_ERR_ARGUMENT, "generate parameters: struct_size is 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        refuse(&cases[i].params, cases[i].status, cases[i].sentence);
    }
    const sot_generate_params fine = PARAMS(.history = one_empty, .n_history = 2, .top_p = 1.0f,
                                            .flags = SOT_GENERATE_IGNORE_STOPS);
    assert_int_equal(soti_generate_params_read(&scripted_model, &fine, &complete), SOT_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scripted_setup, scripted_teardown)
    const struct CMUnitTest tests[] = {
        TEST(read_older_struct_gives_zero_for_what_it_lacks),
        TEST(read_newer_struct_is_fine_while_the_rest_is_zero),
        TEST(read_struct_size_of_no_version_is_refused),
        TEST(read_null_gives_all_defaults),
        TEST(write_fills_what_the_caller_has),
        TEST(text_that_is_no_utf8_is_refused_with_its_place),
        TEST(generate_params_null_gives_the_documented_defaults),
        TEST(prompts_go_before_the_wording),
        TEST(conversation_default_is_the_model_s),
        TEST(conversation_unknown_lists_the_known),
        TEST(generate_params_out_of_range_are_refused_by_name),
    };
    return cmocka_run_group_tests_name("api_params", tests, NULL, NULL);
}
