/* See racing.h. The three jobs share one run; what is here is the moment of the decision. */
#include "sot/racing.h"

#include "base/fail.h"
#include "sot/race_times.h"

/* The router goes first: where not all fit, it must not wait for what it decides about. */
enum { ROUTER, SKELETON, NORMAL, N_RACERS };

typedef struct soti_racing {
    soti_asking *asking;
    soti_routing routing;
    soti_writing writings[N_RACERS]; /* of SKELETON and NORMAL */
    soti_job jobs[N_RACERS];
    sot_decision *decision;
    soti_race_result *result;
    soti_race_times times;
    uint32_t i_winner; /* once decided */
} soti_racing;

static void on_pass(void *user, const soti_pass *pass)
{
    soti_racing *racing = user;
    soti_race_times_add(&racing->times, pass, racing->result->is_decided);
}

/* The loser leaves the batch (RUN-5), and its pages are free for the winner. */
static sot_status drop_loser(soti_racing *racing, uint32_t i_loser)
{
    soti_asking *asking = racing->asking;
    soti_job *loser = &racing->jobs[i_loser];
    const soti_stage_stats *stats = &asking->run.stats[loser->stage - 1];
    racing->result->spent_tokens = stats->prefill_tokens + stats->decode_tokens;
    sot_status status =
        soti_job_end(loser, soti_engine_kv(asking->session->engine), SOT_FINISH_CANCELLED);
    soti_writing_release(&racing->writings[i_loser], asking);
    return status;
}

static sot_status decide(soti_racing *racing)
{
    soti_asking *asking = racing->asking;
    soti_routing_decide(&racing->routing, asking, racing->decision);
    soti_writing_release(&racing->routing.writing, asking);
    bool is_sot = racing->decision->label == SOT_LABEL_SOT;
    racing->result->is_decided = true;
    racing->i_winner = is_sot ? SKELETON : NORMAL;
    sot_status status = drop_loser(racing, is_sot ? NORMAL : SKELETON);
    soti_job *winner = &racing->jobs[racing->i_winner];
    winner->is_expendable = false;
    asking->run.muted &= ~(UINT32_C(1) << winner->stage);
    soti_writing_announce(&racing->writings[racing->i_winner], asking);
    soti_run_catch_up(&asking->run, winner);
    return status;
}

static sot_status on_end(void *user, soti_job *job)
{
    soti_racing *racing = user;
    soti_kv *kv = soti_engine_kv(racing->asking->session->engine);
    if (job != &racing->jobs[ROUTER]) {
        return SOT_OK; /* a candidate that is done already, or has no room: it waits */
    }
    if (job->finish != SOT_FINISH_CONTEXT) {
        return decide(racing);
    }
    racing->result->has_room = false;
    sot_status ended = soti_job_end(&racing->jobs[SKELETON], kv, SOT_FINISH_CANCELLED);
    sot_status also_ended = soti_job_end(&racing->jobs[NORMAL], kv, SOT_FINISH_CANCELLED);
    return ended != SOT_OK ? ended : also_ended;
}

static sot_status begin(soti_racing *racing)
{
    soti_asking *asking = racing->asking;
    RETURN_IF_ERROR(soti_routing_begin(&racing->routing, asking, &racing->jobs[ROUTER]));
    RETURN_IF_ERROR(soti_writing_begin(&racing->writings[SKELETON], asking, SOT_STAGE_SKELETON,
                                       &racing->jobs[SKELETON]));
    RETURN_IF_ERROR(soti_writing_begin(&racing->writings[NORMAL], asking, SOT_STAGE_NORMAL,
                                       &racing->jobs[NORMAL]));
    for (uint32_t i = 0; i < N_RACERS; i++) {
        racing->jobs[i].is_expendable = true; /* RACE-3; the winner ceases to be */
    }
    return SOT_OK;
}

static sot_status take_winner(soti_racing *racing, sot_answer *answer)
{
    soti_writing *writing = &racing->writings[racing->i_winner];
    answer->finish = writing->job->finish;
    if (racing->i_winner == NORMAL) {
        return soti_writing_take_answer(writing, answer);
    }
    return soti_writing_take_points(writing, racing->asking, &answer->points);
}

sot_status soti_race(soti_asking *asking, sot_answer *answer, soti_race_result *result)
{
    soti_racing racing = {.asking = asking, .decision = &answer->decision, .result = result};
    *result = (soti_race_result){.has_room = true};
    *racing.decision = (sot_decision){.struct_size = sizeof *racing.decision,
                                      .router = SOT_ROUTER_PROMPTING}; /* who is asked */
    for (uint32_t i = SKELETON; i < N_RACERS; i++) {
        racing.writings[i].job = &racing.jobs[i];
    }
    racing.routing.writing.job = &racing.jobs[ROUTER];
    asking->run.muted = UINT32_C(1) << SOT_STAGE_NORMAL | UINT32_C(1) << SOT_STAGE_SKELETON;
    asking->run.watch = (soti_run_watch){.on_pass = on_pass, .on_end = on_end, .user = &racing};
    sot_status status = begin(&racing);
    if (status == SOT_OK) {
        status = soti_jobs_run(&asking->run, racing.jobs, N_RACERS);
    }
    asking->run.watch = (soti_run_watch){0};
    asking->run.muted = 0;
    if (result->is_decided && soti_has_result(status)) {
        result->won_ns = soti_race_times_won(&racing.times, racing.jobs[racing.i_winner].stage);
        sot_status taken = take_winner(&racing, answer);
        status = taken == SOT_OK ? status : taken;
    }
    for (uint32_t i = SKELETON; i < N_RACERS; i++) {
        soti_writing_end(&racing.writings[i], asking);
    }
    soti_routing_end(&racing.routing, asking);
    return status;
}
