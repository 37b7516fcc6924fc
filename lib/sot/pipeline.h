/* The two stages and their aggregation (§2.1), and normal generation beside them. Arguments were
 * checked and defaults filled in by lib/api/. */
#ifndef SOTI_SOT_PIPELINE_H
#define SOTI_SOT_PIPELINE_H

#include "sot/points.h"
#include "sot/session.h"
#include "sot/sot.h"

sot_status soti_pipeline_skeleton(sot_session *session, const char *question,
                                  const sot_generate_params *params, sot_stats *stats,
                                  sot_points **out);
sot_status soti_pipeline_expand(sot_session *session, const char *question,
                                const sot_points *points, const sot_generate_params *params,
                                sot_answer **out);
sot_status soti_pipeline_generate(sot_session *session, const char *question,
                                  const sot_generate_params *params, sot_answer **out);
sot_status soti_pipeline_logits(sot_session *session, const int32_t *tokens, size_t count,
                                float *logits);

#endif
