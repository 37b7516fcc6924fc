/* One call on its way through the stages: what all of them need of session, parameters and
 * question, from prompts to statistics. */
#ifndef SOTI_SOT_ASKING_H
#define SOTI_SOT_ASKING_H

#include "sot/prompts.h"
#include "sot/run.h"
#include "sot/session.h"

/* Random streams: point i draws from stream i, so these lie above every point. */
#define SOTI_STREAM_NORMAL   (UINT64_C(1) << 32)
#define SOTI_STREAM_SKELETON (UINT64_C(2) << 32)
#define SOTI_STREAM_ROUTE    (UINT64_C(3) << 32)

typedef struct soti_asking {
    sot_session *session;
    const char *question;
    const sot_generate_params *params; /* complete: conversation and prompts are set */
    const soti_tokenizer *tokenizer;
    soti_tokens stop_ids;      /* the caller's, end of sequence, the conversation's; none of these
                                  and none of the next where stops are ignored */
    const char **stop_strings; /* (n_stop_strings) the caller's and the conversation's, borrowed */
    size_t n_stop_strings;
    soti_run run;     /* with the counters of all stages */
    uint32_t entered; /* bit SOT_STAGE_*: the host knows that this stage began */
    uint64_t began_ns;
} soti_asking;

/* Returns UNSUPPORTED (no tokenizer), MEMORY. *asking may be ended in any case; it must stay where
 * it is until then. */
sot_status soti_asking_begin(soti_asking *asking, sot_session *session, const char *question,
                             const sot_generate_params *params);
void soti_asking_end(soti_asking *asking);

/* Tells the host that a stage begins; once a call, however often it is begun. */
void soti_asking_enter_stage(soti_asking *asking, uint32_t stage);

/* Appends the prompt of a request to tokens: history, system message, user's turn, partial answer.
 * Returns MEMORY, ARGUMENT (too long to count). */
sot_status soti_asking_encode(const soti_asking *asking, const soti_request *request,
                              soti_tokens *prompt);

/* Appends to a conversation whose ids end within the assistant's answer, of which the text rest is
 * still lacking, the round of another request. Returns MEMORY, ARGUMENT. */
sot_status soti_asking_encode_next(const soti_asking *asking, const char *rest, size_t rest_size,
                                   const soti_request *request, soti_tokens *prompt);

/* How many of prompt's first tokens are worth keeping for later calls: those that do not depend on
 * what was filled into the request; where there is a history, those up to its end. */
sot_status soti_asking_count_constant(const soti_asking *asking, const soti_request *request,
                                      const soti_tokens *prompt, uint32_t *n_constant);

/* Whether this is a round of a conversation, which may go on. */
bool soti_asking_is_round(const soti_asking *asking);

/* Keeps the first n tokens of sequence, a prompt's n_constant, for later calls: as a part of the
 * conversation where there is a history, otherwise as the template's. Takes sequence and tokens
 * over, as soti_session_keep_beginning does. */
void soti_asking_keep(const soti_asking *asking, soti_sequence *sequence, soti_tokens *tokens,
                      uint32_t n);

/* A job for prompt, with the limits and the random stream of its stage. A skeleton that is forced
 * stops at no string; what the model answers the router is greedy and stops at none of the
 * caller's. Returns MEMORY; the job may be freed even so. */
sot_status soti_asking_make_job(const soti_asking *asking, uint32_t stage, uint32_t i_point,
                                const soti_tokens *prompt, soti_job *job);

/* What there is to count when the call ends. */
void soti_asking_get_stats(const soti_asking *asking, sot_stats *stats);

#endif
