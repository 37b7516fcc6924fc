/* Numbers of the paper (Ning et al., arXiv 2307.15337v3) that a report shows beside its own. Fig.
 * 11 is in shared/fig11.c. tests/e2e/test_sot_eval_report.py compares them with the published ones.
 */
#ifndef SOT_EVAL_PAPER_H
#define SOT_EVAL_PAPER_H

#include <stddef.h>

#include "../shared/fig11.h"

/* Speed-ups over normal generation on Vicuna-80, by model; NAN: not measured. */
struct paper_model {
    const char *name;
    double sot;       /* Fig. 2a, from latency tables */
    double measured;  /* Fig. 14a, the pipeline itself */
    double prompting; /* SoT-R, Fig. 15a */
    double trained;   /* SoT-R, Fig. 15b */
};
extern const struct paper_model paper_models[]; /* by the speed-up of SoT */
extern const size_t paper_models_count;

/* The mean over the models in one category of questions, Fig. 2b, or in "average" over both; NAN:
 * no such category. */
double paper_speedup(const char *category);

/* Of a member of fig11_row (its offset) over the models, in one category. */
void paper_lengths_range(const char *category, size_t member, double *least, double *most);

/* A router's decisions against the human labels, Tables 3 and 4. */
struct paper_router {
    const char *name;
    const char *data; /* "vicuna80", "wizardlm" */
    size_t tn, fp, fn, tp;
    double latency_s; /* mean, appendix G.2 */
};
extern const struct paper_router paper_routers[];
extern const size_t paper_routers_count;

#define PAPER_MEMORY_MOST 1.11 /* peak of SoT-R over normal generation, Figs. 38 and 39 */
/* What the paper's engine reaches of what its lengths allow. */
#define PAPER_REACHED_LEAST 0.6
#define PAPER_REACHED_MOST  0.95

#endif
