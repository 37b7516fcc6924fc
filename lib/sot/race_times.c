/* See race_times.h. */
#include "sot/race_times.h"

void soti_race_times_add(soti_race_times *times, const soti_pass *pass, bool is_decided)
{
    uint64_t n_rows = 0;
    uint64_t n_prompt = 0;
    for (uint32_t i = 0; i < SOTI_STAGE_COUNT; i++) {
        n_rows += pass->n_prompt[i] + pass->n_decode[i];
        n_prompt += pass->n_prompt[i];
    }
    if (n_prompt == 0) {
        times->plain_ns += pass->ns;
        times->n_plain++;
    }
    if (is_decided) {
        return;
    }
    times->raced_ns += pass->ns;
    if (n_prompt > 0) {
        times->mixed_ns += pass->ns;
        times->n_mixed_rows += n_rows;
    }
    for (uint32_t i = 0; i < SOTI_STAGE_COUNT; i++) {
        times->n_prompt[i] += pass->n_prompt[i];
        times->n_decoding[i] += pass->n_decode[i] > 0;
    }
}

/* What a stage would have taken by itself for what it did until the decision. */
static double alone_ns(const soti_race_times *times, uint32_t stage, double row_ns, double plain_ns)
{
    double prompt_ns = row_ns * (double)times->n_prompt[stage - 1];
    if (times->n_prompt[stage - 1] > 0 && prompt_ns < plain_ns) {
        prompt_ns = plain_ns;
    }
    return prompt_ns + plain_ns * (double)times->n_decoding[stage - 1];
}

int64_t soti_race_times_won(const soti_race_times *times, uint32_t winner)
{
    double row_ns = 0;
    if (times->n_mixed_rows > 0) {
        row_ns = (double)times->mixed_ns / (double)times->n_mixed_rows;
    }
    double plain_ns = row_ns; /* where there was no such pass */
    if (times->n_plain > 0) {
        plain_ns = (double)times->plain_ns / (double)times->n_plain;
    }
    double alone = alone_ns(times, SOT_STAGE_ROUTE, row_ns, plain_ns) +
                   alone_ns(times, winner, row_ns, plain_ns);
    return (int64_t)(alone - (double)times->raced_ns);
}
