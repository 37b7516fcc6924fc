/* What the exported sot_chat functions ask of their arguments, and who may call them when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scripted_model.h"
#include "sot/sot.h"

static sot_session *session;
static sot_chat *chat;

static int setup(void **state)
{
    (void)state;
    scripted_model_open();
    session = scripted_session_open(NULL);
    return sot_chat_create(NULL, &chat);
}

static int teardown(void **state)
{
    (void)state;
    sot_chat_free(chat);
    scripted_session_close(session);
    scripted_model_close();
    return 0;
}

static void assert_message(const char *part)
{
    if (strstr(sot_error_message(), part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, sot_error_message());
    }
}

static void create_checks_its_parameters(void **state)
{
    (void)state;
    static const struct {
        sot_chat_params params;
        sot_status status;
        const char *part;
    } cases[] = {
        {{.struct_size = 0}, SOT_ERR_ARGUMENT, "struct_size is 0"},
        {{.struct_size = sizeof(sot_chat_params), .flags = 2}, SOT_ERR_UNSUPPORTED, "flags 0x2"},
        {{.struct_size = sizeof(sot_chat_params), .reserved = 1}, SOT_ERR_UNSUPPORTED, "reserved"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sot_chat *created = (sot_chat *)&scripted;
        assert_int_equal(sot_chat_create(&cases[i].params, &created), cases[i].status);
        assert_null(created);
        assert_message(cases[i].part);
        created = (sot_chat *)&scripted;
        assert_int_equal(sot_chat_load("missing", &cases[i].params, &created), cases[i].status);
        assert_null(created);
    }
    assert_int_equal(sot_chat_create(NULL, NULL), SOT_ERR_ARGUMENT);
}

static void null_chat_is_nothing_or_an_argument_error(void **state)
{
    (void)state;
    sot_answer *answer = (sot_answer *)&scripted;
    sot_chat_free(NULL);
    assert_int_equal(sot_chat_count(NULL), 0);
    assert_int_equal(sot_chat_dropped(NULL), 0);
    assert_null(sot_chat_question(NULL, 0));
    assert_null(sot_chat_answer(NULL, 0));
    assert_int_equal(sot_chat_append(NULL, "q", "a"), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_chat_clear(NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_chat_save(NULL, "x"), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_chat_save(chat, NULL), SOT_ERR_ARGUMENT);
    assert_message("path is NULL");
    assert_int_equal(sot_chat_load(NULL, NULL, &chat), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_chat_load("x", NULL, NULL), SOT_ERR_ARGUMENT);
    assert_int_equal(sot_chat_generate(NULL, session, "q", NULL, &answer), SOT_ERR_ARGUMENT);
    assert_message("chat is NULL");
    assert_null(answer);
    assert_int_equal(sot_chat_generate(chat, session, "q", NULL, NULL), SOT_ERR_ARGUMENT);
    answer = (sot_answer *)&scripted;
    assert_int_equal(sot_chat_generate(chat, NULL, "q", NULL, &answer), SOT_ERR_ARGUMENT);
    assert_message("session is NULL");
    assert_null(answer);
}

static void append_takes_text_alone(void **state)
{
    (void)state;
    static const struct {
        const char *question, *answer, *part;
    } cases[] = {
        {NULL, "a", "question: is NULL"},  {"", "a", "question: is empty"},
        {"\xff", "a", "question: byte 0"}, {"q", NULL, "answer: is NULL"},
        {"q", "a\xc3", "answer: byte 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(sot_chat_append(chat, cases[i].question, cases[i].answer),
                         SOT_ERR_ARGUMENT);
        assert_message(cases[i].part);
    }
    assert_int_equal(sot_chat_count(chat), 0);
    char question[] = "q";
    assert_int_equal(sot_chat_append(chat, question, ""), SOT_OK);
    question[0] = 'x'; /* it was copied */
    assert_string_equal(sot_chat_question(chat, 0), "q");
}

static void generate_refuses_a_history_of_the_caller_s(void **state)
{
    (void)state;
    static const char *const history[] = {"q", "a"};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    sot_answer *answer = NULL;
    params.history = history;
    params.n_history = 2;
    assert_int_equal(sot_chat_generate(chat, session, "q", &params, &answer), SOT_ERR_ARGUMENT);
    assert_message("n_history: is 2");
    assert_int_equal(sot_chat_generate(chat, session, "", NULL, &answer), SOT_ERR_ARGUMENT);
    assert_message("question: is empty");
    script_three_points(); /* the session is free again */
    assert_int_equal(sot_chat_generate(chat, session, "q", NULL, &answer), SOT_OK);
    sot_answer_free(answer);
    assert_int_equal(sot_chat_count(chat), 1);
}

static uint32_t n_called;

static int32_t use_the_chat(const sot_event *event, void *user)
{
    (void)event;
    (void)user;
    sot_answer *answer;
    n_called++;
    assert_int_equal(sot_chat_append(chat, "q", "a"), SOT_ERR_BUSY);
    assert_int_equal(sot_chat_clear(chat), SOT_ERR_BUSY);
    assert_int_equal(sot_chat_generate(chat, session, "q", NULL, &answer), SOT_ERR_BUSY);
    assert_message("a round of this chat");
    assert_int_equal(sot_chat_count(chat), 1); /* looking is allowed */
    return 0;
}

static void chat_is_busy_while_its_round_is_generated(void **state)
{
    (void)state;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.on_event = use_the_chat;
    script_three_points();
    sot_answer *answer = NULL;
    assert_int_equal(sot_chat_append(chat, "before", "this"), SOT_OK);
    assert_int_equal(sot_chat_generate(chat, session, "q", &params, &answer), SOT_OK);
    assert_true(n_called > 3);
    sot_answer_free(answer);
    assert_int_equal(sot_chat_append(chat, "q", "a"), SOT_OK);
    assert_int_equal(sot_chat_count(chat), 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(create_checks_its_parameters),
        TEST(null_chat_is_nothing_or_an_argument_error),
        TEST(append_takes_text_alone),
        TEST(generate_refuses_a_history_of_the_caller_s),
        TEST(chat_is_busy_while_its_round_is_generated),
    };
    return cmocka_run_group_tests_name("api_chat", tests, NULL, NULL);
}
