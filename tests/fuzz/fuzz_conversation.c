/* libFuzzer target: any bytes as the JSON lines of a conversation. What is accepted is text, and
 * written as lines and read again it is the same. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "sot/conversing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_text(const char *text)
{
    check(text != NULL && soti_utf8_find_invalid(text, strlen(text)) == strlen(text));
}

static void check_saved(const sot_chat *chat)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/sot-fuzz-conversation-%ld.jsonl", (long)getpid());
    sot_chat *loaded = NULL;
    check(sot_chat_save(chat, path) == SOT_OK);
    check(sot_chat_load(path, NULL, &loaded) == SOT_OK);
    check(sot_chat_count(loaded) == sot_chat_count(chat));
    for (size_t i = 0; i < sot_chat_count(chat); i++) {
        check(strcmp(sot_chat_question(loaded, i), sot_chat_question(chat, i)) == 0);
        check(strcmp(sot_chat_answer(loaded, i), sot_chat_answer(chat, i)) == 0);
    }
    sot_chat_free(loaded);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t n_accepted;
    sot_chat *chat = NULL;
    check(sot_chat_create(NULL, &chat) == SOT_OK);
    bool accepted = soti_chat_parse(chat, "fuzz", (const char *)data, size) == SOT_OK;
    for (size_t i = 0; i < sot_chat_count(chat); i++) {
        check_text(sot_chat_question(chat, i));
        check_text(sot_chat_answer(chat, i));
        check(sot_chat_question(chat, i)[0] != '\0');
    }
    if (accepted && n_accepted++ % 64 == 0) { /* a file is slow */
        check_saved(chat);
    }
    sot_chat_free(chat);
    return 0;
}
