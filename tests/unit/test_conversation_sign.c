/* Names of published models and the conversation template each was trained with. */
#include "model_files.h"

#include "io/conversation_sign.h"

static const soti_vocabulary no_vocabulary;

static void sign_in_the_path_is_seen(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"/models/vicuna-7b-v1.3", "vicuna"},
        {"Vicuna-13B-v1.1/", "vicuna"},
        {"TheBloke_stable-vicuna-13B-HF", "stablevicuna"},
        {"stablevicuna.gguf", "stablevicuna"},
        {"llama-2-7b-chat.f16.gguf", "llama2-chat"},
        {"meta-llama/Llama-2-13b-chat-hf", "llama2-chat"},
        {"Llama2-chat", "llama2-chat"},
        {"meta-llama/Llama-2-13b-hf", "none"},
        {"UltraLM-13b", "ultralm"},
        {"openchat", "openchat"},
        {"openchat_8192", "openchat"},
        {"/home/vicuna/models/other-7b", "none"},
        {"cache/models--lmsys--vicuna-7b-v1.5/snapshots/de56c35b1763", "vicuna"},
        {"cache/models--lmsys--vicuna-7b-v1.5/other/de56c35b1763", "none"},
        {"", "none"},
        {"/", "none"},
        {"vicun", "none"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(soti_conversation_detect(cases[i][0], "", &no_vocabulary), cases[i][1]);
    }
}

static void sign_in_the_name_goes_before_the_path(void **state)
{
    (void)state;
    assert_string_equal(soti_conversation_detect("vicuna", "UltraLM 13B", &no_vocabulary),
                        "ultralm");
    assert_string_equal(soti_conversation_detect("vicuna", "my model", &no_vocabulary), "vicuna");
}

static void sign_in_the_vocabulary_comes_last(void **state)
{
    (void)state;
    soti_vocabulary vocabulary = {0};
    assert_int_equal(soti_vocabulary_append(&vocabulary, "<s>", 3, 0, SOTI_PIECE_CONTROL), SOT_OK);
    assert_string_equal(soti_conversation_detect("x", "", &vocabulary), "none");
    assert_int_equal(
        soti_vocabulary_append(&vocabulary, "<|end_of_turn|>", 15, 0, SOTI_PIECE_CONTROL), SOT_OK);
    assert_string_equal(soti_conversation_detect("x", "", &vocabulary), "openchat");
    assert_string_equal(soti_conversation_detect("vicuna", "", &vocabulary), "vicuna");
    soti_vocabulary_free(&vocabulary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sign_in_the_path_is_seen),
        cmocka_unit_test(sign_in_the_name_goes_before_the_path),
        cmocka_unit_test(sign_in_the_vocabulary_comes_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
