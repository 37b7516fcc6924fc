/* libFuzzer target: any bytes as the JSON lines of a conversation. What is accepted is text, and
 * written as lines and read again it is the same. */
#include "fuzz_input.h"
#include "sot/conversing.h"

static void check_saved(const sot_chat *chat)
{
    char path[64];
    snprintf(path, sizeof path, "%s/sot-fuzz-conversation-%ld.jsonl", fuzz_scratch(),
             (long)getpid());
    sot_chat *loaded = NULL;
    fuzz_check_ok(sot_chat_save(chat, path));
    fuzz_check_ok(sot_chat_load(path, NULL, &loaded));
    fuzz_check(sot_chat_count(loaded) == sot_chat_count(chat));
    for (size_t i = 0; i < sot_chat_count(chat); i++) {
        fuzz_check(strcmp(sot_chat_question(loaded, i), sot_chat_question(chat, i)) == 0);
        fuzz_check(strcmp(sot_chat_answer(loaded, i), sot_chat_answer(chat, i)) == 0);
    }
    sot_chat_free(loaded);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t n_accepted;
    sot_chat *chat = NULL;
    fuzz_check_ok(sot_chat_create(NULL, &chat));
    bool accepted = soti_chat_parse(chat, "fuzz", (const char *)data, size) == SOT_OK;
    fuzz_check_text(sot_error_message());
    for (size_t i = 0; i < sot_chat_count(chat); i++) {
        fuzz_check_text(sot_chat_question(chat, i));
        fuzz_check_text(sot_chat_answer(chat, i));
        fuzz_check(sot_chat_question(chat, i)[0] != '\0');
    }
    if (accepted && n_accepted++ % 64 == 0) { /* a file is slow */
        check_saved(chat);
    }
    sot_chat_free(chat);
    return 0;
}
