/* How conversations become segments: text and control pieces, shown in readable form through a
 * vocabulary of bytes. That the ids are SentencePiece's: tests/golden/test_conversation_golden.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "sot/conversation.h"
#include "tokenizer_model.h"

enum { ID_BYTE = 3, ID_END_OF_TURN = 259, ID_LONG = 260 };
static const char end_of_turn[] = "<|end_of_turn|>";
static const char long_piece[] = "<|end_of_turn|>!";

static soti_tokenizer *bytes_only;
static soti_tokenizer *with_pieces;

static soti_tokenizer *make_tokenizer(bool with_bos, bool add)
{
    soti_vocabulary vocabulary;
    soti_tokenizer *tokenizer;
    assert_int_equal(soti_vocabulary_make_bytes(ID_END_OF_TURN, &vocabulary), SOT_OK);
    vocabulary.add_dummy_prefix = 1;
    vocabulary.bos_id = with_bos ? vocabulary.bos_id : -1;
    if (add) {
        assert_int_equal(soti_vocabulary_append(&vocabulary, end_of_turn, strlen(end_of_turn), 0,
                                                SOTI_PIECE_CONTROL),
                         SOT_OK);
        assert_int_equal(soti_vocabulary_append(&vocabulary, long_piece, strlen(long_piece), 0,
                                                SOTI_PIECE_USER_DEFINED),
                         SOT_OK);
    }
    assert_int_equal(soti_tokenizer_create(&vocabulary, &tokenizer), SOT_OK);
    return tokenizer;
}

static int make_tokenizers(void **state)
{
    (void)state;
    bytes_only = make_tokenizer(true, false);
    with_pieces = make_tokenizer(true, true);
    return 0;
}

static int free_tokenizers(void **state)
{
    (void)state;
    soti_tokenizer_free(bytes_only);
    soti_tokenizer_free(with_pieces);
    return 0;
}

/* Ids as text: [1] for what is no byte, a space mark as " ", or as "_" where a segment begins: that
 * is the dummy prefix. */
static void render(const soti_tokens *tokens, char *out, size_t capacity)
{
    size_t n = 0;
    bool begins = true;
    for (size_t i = 0; i < tokens->count; i++) {
        assert_true(n + 8 < capacity);
        int32_t id = tokens->ids[i];
        bool is_byte = id >= ID_BYTE && id < ID_END_OF_TURN;
        if (!is_byte) {
            n += (size_t)snprintf(out + n, capacity - n, "[%d]", id);
        } else if (id == ID_BYTE + 0xe2) {
            out[n++] = begins ? '_' : ' ';
            i += 2;
        } else {
            out[n++] = (char)(id - ID_BYTE);
        }
        begins = !is_byte;
    }
    out[n] = '\0';
}

static void check_rounds(const sot_conversation *conversation, const soti_tokenizer *tokenizer,
                         const soti_rounds *rounds, const char *expected)
{
    soti_tokens tokens = {0};
    char text[2048];
    assert_int_equal(soti_conversation_encode(conversation, tokenizer, rounds, &tokens), SOT_OK);
    render(&tokens, text, sizeof text);
    assert_string_equal(text, expected);
    soti_tokens_free(&tokens);
}

static const char *const history[] = {"q1", "a1", "q2", " a2"};
static const soti_rounds first = {.user = "q", .user_size = 1, .partial = " 1.", .partial_size = 3};
static const soti_rounds third = {.history = history, .n_history = 4, .user = "q", .user_size = 1};

static void conversation_builtin_templates_follow_table_1(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *first;
        const char *third;
    } cases[] = {
        {"vicuna", "[1]_USER: q ASSISTANT: 1.",
         "[1]_USER: q1 ASSISTANT: a1[2]_USER: q2 ASSISTANT: a2[2]_USER: q ASSISTANT:"},
        {"llama2-chat", "[1]_[INST] q [/INST] 1.",
         "[1]_[INST] q1 [/INST] a1 [2][1]_[INST] q2 [/INST] a2 [2][1]_[INST] q [/INST]"},
        {"ultralm", "[1]_User: q[2]_Assistant: 1.",
         "[1]_User: q1[2]_Assistant: a1[2]_User: q2[2]_Assistant: a2[2]_User: q[2]_Assistant:"},
        {"openchat", "[1]_Human: q[259]_Assistant: 1.",
         "[1]_Human: q1[259]_Assistant: a1[259]_Human: q2[259]_Assistant: a2[259]_Human: "
         "q[259]_Assistant:"},
        {"stablevicuna", "[1]_### Human: q\n### Assistant: 1.",
         "[1]_### Human: q1\n### Assistant: a1\n### Human: q2\n### Assistant: a2\n### Human: "
         "q\n### Assistant:"},
        {"none", "[1]_q 1.", "[1]_q1\na1\nq2\n a2\nq"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sot_conversation *conversation = soti_conversation_find(cases[i].name);
        assert_non_null(conversation);
        check_rounds(conversation, with_pieces, &first, cases[i].first);
        check_rounds(conversation, with_pieces, &third, cases[i].third);
    }
}

static void conversation_unknown_name_is_null(void **state)
{
    (void)state;
    assert_null(soti_conversation_find("Vicuna"));
    assert_null(soti_conversation_find(""));
}

static void conversation_system_message_opens_first_user_turn(void **state)
{
    (void)state;
    soti_rounds rounds = third;
    rounds.system = "s";
    check_rounds(soti_conversation_find("llama2-chat"), bytes_only, &rounds,
                 "[1]_[INST] <<SYS>>\ns\n<</SYS>>\n\nq1 [/INST] a1 [2][1]_[INST] q2 [/INST] a2 "
                 "[2][1]_[INST] q [/INST]");
    rounds = first;
    rounds.system = "s";
    check_rounds(soti_conversation_find("llama2-chat"), bytes_only, &rounds,
                 "[1]_[INST] <<SYS>>\ns\n<</SYS>>\n\nq [/INST] 1.");
    check_rounds(soti_conversation_find("vicuna"), bytes_only, &rounds,
                 "[1]_USER: s\n\nq ASSISTANT: 1.");
}

static void conversation_control_pieces_of_others_are_text(void **state)
{
    (void)state;
    static const char *const past[] = {"</s>q1", "a1<s>"};
    soti_rounds rounds = {.history = past,
                          .n_history = 2,
                          .system = "<s>",
                          .user = "<|end_of_turn|>",
                          .user_size = 15,
                          .partial = "</s>",
                          .partial_size = 4};
    check_rounds(soti_conversation_find("openchat"), with_pieces, &rounds,
                 "[1]_Human: <s>\n\n</s>q1[259]_Assistant: a1<s>[259]_Human: "
                 "<|end_of_turn|>[259]_Assistant:</s>");
}

static void conversation_piece_the_vocabulary_lacks_is_text(void **state)
{
    (void)state;
    check_rounds(soti_conversation_find("openchat"), bytes_only, &first,
                 "[1]_Human: q<|end_of_turn|>Assistant: 1.");
}

static void conversation_longest_piece_wins(void **state)
{
    (void)state;
    sot_conversation conversation = {.user_tag = "<|end_of_turn|>!<|end_of_turn|>",
                                     .user_end = "</s></s>"};
    check_rounds(&conversation, with_pieces, &first, "[1][260][259]_q[2][2]_ 1.");
}

static void conversation_template_with_own_bos_gets_no_second(void **state)
{
    (void)state;
    static const char *const past[] = {"q1", "a1"};
    soti_rounds rounds = {.history = past, .n_history = 2, .user = "q", .user_size = 1};
    sot_conversation conversation = {
        .user_tag = "<s>[INST] ", .user_end = " [/INST] ", .assistant_end = " </s>"};
    check_rounds(&conversation, bytes_only, &rounds,
                 "[1]_[INST] q1 [/INST] a1 [2][1]_[INST] q [/INST] ");
}

static void conversation_without_strings_or_bos_is_bare_text(void **state)
{
    (void)state;
    soti_tokenizer *tokenizer = make_tokenizer(false, false);
    sot_conversation conversation = {0};
    check_rounds(&conversation, tokenizer, &first, "_q 1.");
    soti_rounds nothing = {.user = ""};
    check_rounds(&conversation, tokenizer, &nothing, "");
    soti_tokenizer_free(tokenizer);
}

static void conversation_without_tokenizer_is_unsupported(void **state)
{
    (void)state;
    soti_tokens tokens = {0};
    assert_int_equal(
        soti_conversation_encode(soti_conversation_find("none"), NULL, &first, &tokens),
        SOT_ERR_UNSUPPORTED);
    assert_non_null(strstr(soti_fail_message(), "no tokenizer"));
}

static void conversation_stop_is_a_piece_or_a_string(void **state)
{
    (void)state;
    soti_stop stop = soti_conversation_stop(soti_conversation_find("openchat"), with_pieces);
    assert_int_equal(stop.id, ID_END_OF_TURN);
    assert_null(stop.text);
    stop = soti_conversation_stop(soti_conversation_find("openchat"), bytes_only);
    assert_int_equal(stop.id, -1);
    assert_string_equal(stop.text, "<|end_of_turn|>");
    stop = soti_conversation_stop(soti_conversation_find("stablevicuna"), with_pieces);
    assert_int_equal(stop.id, -1);
    assert_string_equal(stop.text, "###");
    sot_conversation empty = {.stop = ""};
    static const char *const names[] = {"vicuna", "llama2-chat", "ultralm", "none"};
    for (size_t i = 0; i <= sizeof names / sizeof *names; i++) {
        bool last = i == sizeof names / sizeof *names;
        stop = soti_conversation_stop(last ? &empty : soti_conversation_find(names[i]), bytes_only);
        assert_int_equal(stop.id, -1);
        assert_null(stop.text);
    }
}

/* One text that a model wrote behind a prompt, and the ids of the whole conversation with the round
 * behind it: SentencePiece's of the texts between the control pieces, BOS in front. */
static void conversation_continued_has_the_ids_of_the_whole(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int32_t ids[64];
        size_t n;
        size_t n_known; /* that are there already */
        const char *rest;
    } cases[] = {
        {"vicuna",
         {1,     3148, 1001,  29901, 2391,  29901, 3750,  338,   278,   14744, 7254, 29973,
          319,   1799, 9047,  13566, 29901, 29871, 29896, 29889, 12790, 885,   271,  2153,
          29889, 13,   29906, 29889, 13899, 20037, 2,     3148,  1001,  29901, 8984, 29901,
          319,   1799, 9047,  13566, 29901, 29871, 29906, 29889, 13899, 20037},
         46,
         30,
         ""},
        {"llama2-chat",
         {1,     518,   25580, 29962, 2391,  29901, 3750,  338,   278,   14744, 7254,  29973,
          518,   29914, 25580, 29962, 29871, 29896, 29889, 12790, 885,   271,   2153,  29889,
          13,    29906, 29889, 13899, 20037, 29871, 2,     1,     518,   25580, 29962, 8984,
          29901, 518,   29914, 25580, 29962, 29871, 29906, 29889, 13899, 20037},
         46,
         29,
         ""},
        {"none",
         {1,     2391,  29901, 3750, 338,   278,   14744, 7254,  29973, 29871,
          29896, 29889, 12790, 885,  271,   2153,  29889, 13,    29906, 29889,
          13899, 20037, 13,    5228, 29901, 29871, 29906, 29889, 13899, 20037},
         30,
         22,
         ""},
        {"stablevicuna",
         {1,    835,   12968, 29901, 2391,  29901, 3750,  338,   278,   14744, 7254, 29973, 13,
          2277, 29937, 4007,  22137, 29901, 29871, 29896, 29889, 12790, 885,   271,  2153,  29889,
          13,   29906, 29889, 13899, 20037, 13,    2277,  29937, 12968, 29901, 8984, 29901, 13,
          2277, 29937, 4007,  22137, 29901, 29871, 29906, 29889, 13899, 20037},
         49,
         29, /* up to the second number's dot */
         " Short waves"},
    };
    soti_tokenizer *llama = load_llama();
    if (llama == NULL) {
        skip();
    }
    static const soti_rounds next = {
        .user = "Point:", .user_size = 6, .partial = " 2. Short waves", .partial_size = 15};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        soti_tokens tokens = {0};
        assert_int_equal(soti_tokens_append(&tokens, cases[i].ids, cases[i].n_known), SOT_OK);
        assert_int_equal(soti_conversation_continue(soti_conversation_find(cases[i].name), llama,
                                                    cases[i].rest, strlen(cases[i].rest), &next,
                                                    &tokens),
                         SOT_OK);
        assert_int_equal(tokens.count, cases[i].n);
        for (size_t k = 0; k < tokens.count; k++) {
            assert_int_equal(tokens.ids[k], cases[i].ids[k]);
        }
        soti_tokens_free(&tokens);
    }
    soti_tokenizer_free(llama);
}

static void conversation_allocation_failure_is_reported(void **state)
{
    (void)state;
    long n_failed = 0;
    for (;; n_failed++) {
        soti_tokens tokens = {0};
        soti_alloc_fail_at(n_failed);
        sot_status status = soti_conversation_encode(soti_conversation_find("openchat"),
                                                     with_pieces, &third, &tokens);
        bool struck = soti_alloc_fail_at(-1) < 0;
        soti_tokens_free(&tokens);
        if (!struck) {
            assert_int_equal(status, SOT_OK);
            break;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
    }
    assert_true(n_failed >= 3); /* the text, the ids, and whatever encoding takes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversation_builtin_templates_follow_table_1),
        cmocka_unit_test(conversation_unknown_name_is_null),
        cmocka_unit_test(conversation_system_message_opens_first_user_turn),
        cmocka_unit_test(conversation_control_pieces_of_others_are_text),
        cmocka_unit_test(conversation_piece_the_vocabulary_lacks_is_text),
        cmocka_unit_test(conversation_longest_piece_wins),
        cmocka_unit_test(conversation_template_with_own_bos_gets_no_second),
        cmocka_unit_test(conversation_without_strings_or_bos_is_bare_text),
        cmocka_unit_test(conversation_without_tokenizer_is_unsupported),
        cmocka_unit_test(conversation_stop_is_a_piece_or_a_string),
        cmocka_unit_test(conversation_continued_has_the_ids_of_the_whole),
        cmocka_unit_test(conversation_allocation_failure_is_reported),
    };
    return cmocka_run_group_tests(tests, make_tokenizers, free_tokenizers);
}
