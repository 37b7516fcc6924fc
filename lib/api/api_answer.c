/* The exported sot_answer functions. */
#include "sot/sot.h"

#include "api/api_params.h"
#include "base/fail.h"
#include "sot/answer.h"

const char *sot_answer_text(const sot_answer *answer)
{
    return answer != NULL ? soti_buffer_text(&answer->text) : "";
}

size_t sot_answer_text_size(const sot_answer *answer)
{
    return answer != NULL ? answer->text.size : 0;
}

const sot_points *sot_answer_points(const sot_answer *answer)
{
    return answer != NULL ? answer->points : NULL;
}

size_t sot_answer_point_count(const sot_answer *answer)
{
    return answer != NULL ? answer->n_expansions : 0;
}

const char *sot_answer_point(const sot_answer *answer, size_t i)
{
    if (i >= sot_answer_point_count(answer)) {
        return NULL;
    }
    return soti_buffer_text(&answer->expansions[i].text);
}

size_t sot_answer_point_size(const sot_answer *answer, size_t i)
{
    return i < sot_answer_point_count(answer) ? answer->expansions[i].text.size : 0;
}

uint32_t sot_answer_point_finish(const sot_answer *answer, size_t i)
{
    return i < sot_answer_point_count(answer) ? answer->expansions[i].finish : SOT_FINISH_NONE;
}

uint32_t sot_answer_point_tokens(const sot_answer *answer, size_t i)
{
    return i < sot_answer_point_count(answer) ? answer->expansions[i].n_tokens : 0;
}

uint32_t sot_answer_finish(const sot_answer *answer)
{
    return answer != NULL ? answer->finish : SOT_FINISH_NONE;
}

sot_status sot_answer_get_stats(const sot_answer *answer, sot_stats *stats)
{
    if (answer == NULL || stats == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_answer_get_stats: %s is NULL",
                         answer == NULL ? "answer" : "stats");
    }
    return soti_params_write("stats", &answer->stats, sizeof answer->stats, stats);
}

sot_status sot_answer_get_decision(const sot_answer *answer, sot_decision *decision)
{
    if (answer == NULL || decision == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_answer_get_decision: %s is NULL",
                         answer == NULL ? "answer" : "decision");
    }
    return soti_params_write("decision", &answer->decision, sizeof answer->decision, decision);
}

void sot_answer_free(sot_answer *answer)
{
    soti_answer_free(answer);
}
