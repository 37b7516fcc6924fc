/* What "sot ask" and "sot chat" share: the model and a session on it, the live view, and how an
 * answer and what there is to say about it are printed. */
#ifndef SOT_COMMAND_ASKER_H
#define SOT_COMMAND_ASKER_H

#include "../shared/report.h"
#include "options.h"
#include "view.h"

struct asker {
    const struct options *options;
    sot_generate_params params;
    sot_prompts *prompts; /* of --prompts, or NULL */
    sot_router *router;   /* the trained one, or NULL */
    struct view view;
    struct report_style style;
    int on_terminal; /* standard output is one that can place text */
    sot_model *model;
    sot_session *session;
};

/* Makes ready what comes before loading. Returns -1 to go on, or an exit code; to be closed in any
 * case. The asker stays where it is: callbacks point to it. */
int asker_open(struct asker *asker, const struct options *options);

/* Loads the model and creates the session. Returns -1 to go on, or an exit code. */
int asker_load(struct asker *asker);
void asker_close(struct asker *asker);

/* Wipes the view behind a call that generates, and says what went wrong. Returns the exit code. */
int asker_outcome(struct asker *asker, sot_status status);

/* Prints an answer for people. */
void asker_print(struct asker *asker, const sot_answer *answer);
/* What remains to be said once the answer is printed. answer may be NULL. */
void asker_remark(const struct asker *asker, const sot_answer *answer, int code);

/* Says what the library said, and returns the exit code for status. */
int library_failed(sot_status status);
/* Says that there was a Ctrl-C, and returns its exit code. */
int interrupted(const char *when);

#endif
