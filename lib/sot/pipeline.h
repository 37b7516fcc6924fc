/* The two stages and their aggregation (§2.1), normal generation beside them, and the router that
 * chooses between both (§4). Arguments were checked and parameters completed by lib/api/:
 * custom_conversation and prompts are set, no limit is zero. CANCELLED and CONTEXT_FULL come with a
 * partial *out, every other failure with NULL. */
#ifndef SOTI_SOT_PIPELINE_H
#define SOTI_SOT_PIPELINE_H

#include "sot/points.h"
#include "sot/session.h"
#include "sot/sot.h"

sot_status soti_pipeline_skeleton(sot_session *session, const char *question,
                                  const sot_generate_params *params, sot_points **out);
sot_status soti_pipeline_expand(sot_session *session, const char *question,
                                const sot_points *points, const sot_generate_params *params,
                                sot_answer **out);
sot_status soti_pipeline_generate(sot_session *session, const char *question,
                                  const sot_generate_params *params, sot_answer **out);
/* Where nothing was decided *decision is undecided, and says which router was asked. */
sot_status soti_pipeline_route(sot_session *session, const char *question,
                               const sot_generate_params *params, sot_decision *decision);
sot_status soti_pipeline_logits(sot_session *session, const int32_t *tokens, size_t count,
                                float *logits);

#endif
