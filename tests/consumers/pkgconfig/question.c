/* A host that finds the shared library by pkg-config: question MODEL asks one question by
 * Skeleton-of-Thought and wants an answer of several points. Prints the library's version. */
#include <sot/sot.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    sot_model *model = NULL;
    sot_session *session = NULL;
    sot_answer *answer = NULL;
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.mode = SOT_MODE_SOT;
    params.max_point_tokens = 16;
    int bad = argc != 2 || sot_model_load(argv[1], NULL, &model) ||
              sot_session_create(model, NULL, &session) ||
              sot_generate(session, "How can I improve my chess skills?", &params, &answer);
    if (bad) {
        fprintf(stderr, "question: %s\n", argc == 2 ? sot_error_message() : "MODEL expected");
    } else if (sot_answer_point_count(answer) < 2 || strlen(sot_answer_text(answer)) < 20) {
        fprintf(stderr, "question: the answer is \"%s\"\n", sot_answer_text(answer));
        bad = 1;
    }
    uint32_t header = SOT_VERSION_MAJOR * 1000000 + SOT_VERSION_MINOR * 1000 + SOT_VERSION_PATCH;
    if (sot_version_number() != header) {
        fprintf(stderr, "question: header and library are of two versions\n");
        bad = 1;
    }
    sot_answer_free(answer);
    sot_session_free(session);
    sot_model_free(model);
    printf("%s\n", sot_version_string());
    return bad;
}
