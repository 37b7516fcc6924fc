/* See routing.h. */
#include "sot/routing.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fail.h"
#include "sot/classifier.h"

const char soti_prompt_router[] =
    "Question: {request}\n"
    "\n"
    "How would you like to answer the question?\n"
    "A. Organize the answer as a list of points or perspectives (in the format of 1., 2., 3., "
    "etc.), and the points or perspectives can be answered independently without referring to the "
    "contents of the previous points.\n"
    "B. Organize the answer as a list of points or perspectives (in the format of 1., 2., 3., "
    "etc.), and the contents of later points or perspectives cannot be answered independently "
    "without referring to the contents of the previous ones.\n"
    "C. Do not organize the answer as a list of points or perspectives.\n"
    "\n"
    "Just say A, B, or C. Do not explain. Do not provide an answer to the question.";

uint32_t soti_routing_router(const sot_generate_params *params)
{
    if (params->router != SOT_ROUTER_DEFAULT) {
        return params->router;
    }
    return params->trained_router != NULL ? SOT_ROUTER_TRAINED : SOT_ROUTER_PROMPTING;
}

/* Completes a decision that has fallen and tells the host. */
static void announce(soti_asking *asking, sot_decision *decision)
{
    decision->struct_size = sizeof *decision;
    decision->router = soti_routing_router(asking->params);
    decision->latency_ns = soti_clock_ns() - asking->began_ns;
    soti_run_emit(
        &asking->run,
        &(sot_event){.type = SOT_EVENT_DECISION, .stage = SOT_STAGE_ROUTE, .decision = decision});
}

static sot_status complete_job(soti_routing *routing, const soti_asking *asking, soti_job *job)
{
    RETURN_IF_ERROR(soti_letters_find(asking->tokenizer, &routing->letters));
    for (size_t i = 0; i < SOTI_LETTER_COUNT; i++) {
        RETURN_IF_ERROR(
            soti_tokens_append(&routing->stop_ids, routing->letters.ids[i], SOTI_LETTER_FORMS));
    }
    RETURN_IF_ERROR(soti_tokens_append(&routing->stop_ids, job->stop_ids, job->n_stop_ids));
    routing->logits =
        soti_alloc(asking->session->model->checkpoint.shape.n_vocab, sizeof *routing->logits);
    if (routing->logits == NULL) {
        return SOT_ERR_MEMORY;
    }
    job->stop_ids = routing->stop_ids.ids;
    job->n_stop_ids = routing->stop_ids.count;
    job->logits = routing->logits;
    return SOT_OK;
}

sot_status soti_routing_begin(soti_routing *routing, soti_asking *asking, soti_job *job)
{
    *routing = (soti_routing){0};
    RETURN_IF_ERROR(soti_writing_begin(&routing->writing, asking, SOT_STAGE_ROUTE, job));
    return complete_job(routing, asking, job);
}

/* In one step where the likeliest token is a letter; otherwise by the text it belongs to. */
static void read_letter(const soti_routing *routing, uint32_t n_vocab, sot_decision *decision)
{
    const soti_job *job = routing->writing.job;
    const soti_buffer *text = &job->stopper.text;
    bool has_word;
    uint32_t letter = soti_letters_of_text(soti_buffer_text(text), text->size, &has_word);
    uint32_t last = 0;
    decision->n_tokens = (uint32_t)job->generated.count;
    if (job->generated.count > 0) {
        decision->score = soti_letters_score(&routing->letters, routing->logits, n_vocab);
        last =
            soti_letters_of_token(&routing->letters, job->generated.ids[job->generated.count - 1]);
    }
    if (!has_word && last != 0) { /* a token that ends a text is not in it */
        letter = last;
    } else if (letter != 0) { /* the logits told what comes behind it */
        decision->score = letter == 'A' ? 1.0f : 0.0f;
    }
    decision->letter = letter;
    if (letter != 0) {
        decision->label = letter == 'A' ? SOT_LABEL_SOT : SOT_LABEL_NORMAL;
    }
}

void soti_routing_decide(const soti_routing *routing, soti_asking *asking, sot_decision *decision)
{
    *decision = (sot_decision){.label = SOT_LABEL_UNDECIDED};
    read_letter(routing, asking->session->model->checkpoint.shape.n_vocab, decision);
    announce(asking, decision);
}

void soti_routing_end(soti_routing *routing, soti_asking *asking)
{
    soti_writing_end(&routing->writing, asking);
    soti_tokens_free(&routing->stop_ids);
    soti_free(routing->logits);
    routing->logits = NULL;
}

static sot_status ask_model(soti_asking *asking, sot_decision *decision)
{
    soti_routing routing;
    soti_job job;
    sot_status status = soti_routing_begin(&routing, asking, &job);
    if (status == SOT_OK) {
        status = soti_jobs_run(&asking->run, &job, 1);
    }
    if (status == SOT_OK || status == SOT_ERR_CONTEXT_FULL) {
        soti_routing_decide(&routing, asking, decision);
    }
    soti_routing_end(&routing, asking);
    return status;
}

static sot_status ask_callback(const soti_asking *asking, sot_decision *decision)
{
    const sot_generate_params *params = asking->params;
    sot_decision told = {.struct_size = sizeof told, .router = SOT_ROUTER_CALLBACK};
    if (params->on_route(asking->question, &told, params->route_user) != 0) {
        return soti_fail(SOT_ERR_CANCELLED, "stopped by the router callback");
    }
    if (told.label > SOT_LABEL_SOT) {
        return soti_fail(SOT_ERR_ARGUMENT, "on_route: the label is %u, which is no SOT_LABEL_*",
                         told.label);
    }
    if (!(told.score >= 0.0f && told.score <= 1.0f)) {
        return soti_fail(SOT_ERR_ARGUMENT, "on_route: the score is %g, not from 0 to 1",
                         (double)told.score);
    }
    decision->label = told.label;
    decision->score = told.score;
    return SOT_OK;
}

sot_status soti_route(soti_asking *asking, sot_decision *decision)
{
    *decision = (sot_decision){.struct_size = sizeof *decision,
                               .router = soti_routing_router(asking->params)};
    if (decision->router == SOT_ROUTER_PROMPTING) {
        return ask_model(asking, decision);
    }
    soti_asking_enter_stage(asking, SOT_STAGE_ROUTE);
    if (soti_run_cancelled(&asking->run)) {
        return soti_fail(SOT_ERR_CANCELLED, "cancelled before the router had decided");
    }
    if (decision->router == SOT_ROUTER_CALLBACK) {
        RETURN_IF_ERROR(ask_callback(asking, decision));
    } else if (decision->router == SOT_ROUTER_TRAINED) {
        const sot_router *router = asking->params->trained_router;
        RETURN_IF_ERROR(soti_classifier_score(router, asking->question, strlen(asking->question),
                                              &decision->score));
        decision->label = soti_classifier_label(router, decision->score);
    } else {
        bool always = decision->router == SOT_ROUTER_ALWAYS;
        decision->label = always ? SOT_LABEL_SOT : SOT_LABEL_NORMAL;
        decision->score = always ? 1.0f : 0.0f;
    }
    announce(asking, decision);
    return SOT_OK;
}
