/* A host that carries the library inside: stream MODEL collects an answer from its events and wants
 * what they brought to be what the finished answer has. Prints the library's version. */
#include <sot/sot.h>

#include <stdio.h>
#include <string.h>

struct heard {
    char text[8192];
    size_t n_text;
    unsigned n_events;
};

static int32_t hear(const sot_event *event, void *user)
{
    struct heard *heard = user;
    if (event->type != SOT_EVENT_TEXT)
        return 0;
    if (heard->n_text + event->text_size >= sizeof heard->text)
        return 1;
    memcpy(heard->text + heard->n_text, event->text, event->text_size);
    heard->n_text += event->text_size;
    heard->n_events++;
    return 0;
}

/* A finished answer is without the spaces around it. */
static int check(const sot_answer *answer, const struct heard *heard)
{
    const char *text = heard->text + strspn(heard->text, " ");
    if (heard->n_events > 1 && strcmp(text, sot_answer_text(answer)) == 0)
        return 0;
    fprintf(stderr, "stream: %u events brought \"%s\", the answer is \"%s\"\n", heard->n_events,
            heard->text, sot_answer_text(answer));
    return 1;
}

int main(int argc, char **argv)
{
    struct heard heard = {.n_text = 0};
    sot_model *model = NULL;
    sot_session *session = NULL;
    sot_answer *answer = NULL;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.mode = SOT_MODE_NORMAL;
    params.max_tokens = 32;
    params.on_event = hear;
    params.event_user = &heard;
    int bad = argc != 2 || sot_model_load(argv[1], NULL, &model) ||
              sot_session_create(model, NULL, &session) ||
              sot_generate(session, "How can I learn the violin?", &params, &answer);
    if (bad)
        fprintf(stderr, "stream: %s\n", argc == 2 ? sot_error_message() : "MODEL expected");
    else
        bad = check(answer, &heard);
    sot_answer_free(answer);
    sot_session_free(session);
    sot_model_free(model);
    printf("%s\n", sot_version_string());
    return bad;
}
