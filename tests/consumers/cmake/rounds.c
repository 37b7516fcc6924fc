/* A host that finds the library by CMake: rounds MODEL has a conversation of two rounds and wants
 * an answer in each. Prints the library's version. */
#include <sot/sot.h>

#include <stdio.h>

static sot_status ask(sot_chat *chat, sot_session *session, const char *question)
{
    sot_answer *answer = NULL;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.mode = SOT_MODE_NORMAL;
    params.max_tokens = 24;
    sot_status status = sot_chat_generate(chat, session, question, &params, &answer);
    sot_answer_free(answer);
    return status;
}

int main(int argc, char **argv)
{
    sot_model *model = NULL;
    sot_session *session = NULL;
    sot_chat *chat = NULL;
    int bad = argc != 2 || sot_model_load(argv[1], NULL, &model) ||
              sot_session_create(model, NULL, &session) || sot_chat_create(NULL, &chat) ||
              ask(chat, session, "How can I learn chess?") ||
              ask(chat, session, "What are the benefits of chess?");
    if (bad)
        fprintf(stderr, "rounds: %s\n", argc == 2 ? sot_error_message() : "MODEL expected");
    for (size_t i = 0; !bad && i < 2; i++) {
        bad = sot_chat_answer(chat, i) == NULL || sot_chat_answer(chat, i)[0] == '\0';
        if (bad)
            fprintf(stderr, "rounds: round %zu has no answer\n", i);
    }
    sot_chat_free(chat);
    sot_session_free(session);
    sot_model_free(model);
    printf("%s\n", sot_version_string());
    return bad;
}
