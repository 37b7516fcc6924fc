/* The paper's Table 7 (Ning et al., arXiv 2307.15337, App. H): tokens prefilled a question,
 * averages over Vicuna-80. tests/e2e/test_prefill_overhead.py compares it with the published
 * numbers. */
#include <string.h>

#include "overhead.h"

static const struct table7_row rows[] = {
    {"LLaMA2-Chat-7B", 12.52, 171.41, 216.49},   {"LLaMA2-Chat-13B", 12.52, 171.41, 216.41},
    {"OpenChat-13B", 12.52, 171.41, 234.38},     {"Vicuna-7B V1.3", 12.52, 171.41, 211.61},
    {"Vicuna-13B V1.3", 12.52, 171.41, 273.39},  {"Vicuna-33B V1.3", 12.52, 171.41, 258.88},
    {"StableVicuna-13B", 12.52, 171.41, 312.03}, {"UltraLM-13B", 12.52, 171.41, 290.88},
    {"Vicuna-7B V1.1", 12.52, 171.41, 196.64},
};

const struct table7_row *table7_find(const char *model)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].model, model) == 0)
            return &rows[i];
    return NULL;
}
