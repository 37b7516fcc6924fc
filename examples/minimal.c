/* The least host: minimal MODEL QUESTION */
#include <sot/sot.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    sot_model *model = NULL;
    sot_session *session = NULL;
    sot_answer *answer = NULL;
    int failed = argc != 3 || sot_model_load(argv[1], NULL, &model) ||
                 sot_session_create(model, NULL, &session) ||
                 sot_generate(session, argv[2], NULL, &answer);
    if (failed)
        fprintf(stderr, "minimal: %s\n",
                argc == 3 ? sot_error_message() : "MODEL QUESTION expected");
    if (answer)
        puts(sot_answer_text(answer));
    sot_answer_free(answer);
    sot_session_free(session);
    sot_model_free(model);
    return failed;
}
