/* A host whose own functions, and those of a second library, have the names of everything inside
 * libsot and names that are usual in the field. Linked with libsot.a, and with libsot.so while the
 * program exports them all: either way each party gets its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sot/sot.h>

/* The second library, which clash.sh writes. */
int clash_count(void);
int clash_sum(void);

/* The host's. volatile: they are called, whatever the compiler knows of them. Version 14 lays
 * the list out otherwise each time. */
/* clang-format off */
#define HOST_FUNCTIONS(X)                                                                          \
    X(quantize)                                                                                    \
    X(dequantize) X(tokenize) X(detokenize) X(generate) X(sample) X(softmax) X(rmsnorm) X(matmul)  \
        X(attention) X(forward) X(half_to_float) X(pool_create) X(fail_with) X(json_parse)         \
            X(log_line) X(ggml_init) X(llama_decode) X(sot_i) X(sot_main)
/* clang-format on */

int soti_alloc(void);
int soti_free(void);
int soti_fail(void);
int soti_alloc(void)
{
    return 1001;
}
int soti_free(void)
{
    return 1002;
}
int soti_fail(void)
{
    return 1003;
}
#define DEFINE(name)                                                                               \
    int name(void);                                                                                \
    int name(void)                                                                                 \
    {                                                                                              \
        return (int)sizeof #name;                                                                  \
    }
HOST_FUNCTIONS(DEFINE)

static void host_and_second_library_call_their_own_functions(void **state)
{
    (void)state;
    int (*volatile own[])(void) = {soti_alloc, soti_free, soti_fail};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(own[i](), 1001 + i);
    }
#define CHECK(name)                                                                                \
    {                                                                                              \
        int (*volatile function)(void) = name;                                                     \
        assert_int_equal(function(), (int)sizeof #name);                                           \
    }
    HOST_FUNCTIONS(CHECK)
    assert_in_range(clash_count(), 300, 10000); /* so many names there are inside, or more */
    assert_int_equal(clash_sum(), clash_count());
}

static void libsot_answers_beside_them(void **state)
{
    (void)state;
    sot_model *model = NULL;
    sot_session *session = NULL;
    sot_answer *answer = NULL;
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_threads = 2;
    assert_int_equal(sot_model_load("random:64x2x4x96x300", NULL, &model), SOT_OK);
    assert_int_equal(sot_session_create(model, &params, &session), SOT_OK);
    sot_generate_params asked = SOT_GENERATE_PARAMS_INIT;
    asked.max_skeleton_tokens = 16;
    asked.max_point_tokens = 16;
    assert_int_equal(sot_generate(session, "Why?", &asked, &answer), SOT_OK);
    assert_int_equal(strlen(sot_answer_text(answer)), sot_answer_text_size(answer));
    sot_answer_free(answer);
    sot_session_free(session);
    sot_model_free(model);
    assert_int_equal(sot_model_load("/nowhere/at/all", NULL, &model), SOT_ERR_IO);
    assert_non_null(strstr(sot_error_message(), "/nowhere/at/all"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_and_second_library_call_their_own_functions),
        cmocka_unit_test(libsot_answers_beside_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
