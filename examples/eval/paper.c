/* The paper's numbers: see paper.h. */
#include "paper.h"

#include <math.h>
#include <string.h>

const struct paper_model paper_models[] = {
    {"StableVicuna-13B", 1.13, 0.97, 0.98, 0.99},
    {"Claude", 1.31, NAN, 1.15, 1.14},
    {"Vicuna-13B V1.3", 1.91, 2.19, 1.32, 1.34},
    {"ChatGPT-3.5", 1.97, NAN, 1.24, 1.33},
    {"GPT-4", 2.0, NAN, 1.54, 1.49},
    {"Vicuna-7B V1.3", 2.01, 2.82, 1.39, 1.42},
    {"UltraLM-13B", 2.18, 2.75, 1.51, 1.59},
    {"Vicuna-33B V1.3", 2.24, 1.75, 1.62, 1.57},
    {"OpenChat-13B", 2.28, 1.97, 1.66, 1.82},
    {"Vicuna-7B V1.1", 2.3, 2.88, 1.55, 1.59},
    {"LLaMA2-Chat-13B", 2.38, 2.14, 1.7, 1.7},
    {"LLaMA2-Chat-7B", 2.39, 2.2, 1.67, 1.69},
};
const size_t paper_models_count = sizeof paper_models / sizeof *paper_models;

const struct paper_router paper_routers[] = {
    {"GPT-4 (prompting)", "vicuna80", 38, 5, 0, 37, 0.65},
    {"RoBERTa (trained)", "vicuna80", 37, 6, 5, 32, 0.04},
    {"GPT-4 (prompting)", "wizardlm", 94, 66, 3, 55, 0.8},
    {"RoBERTa (trained)", "wizardlm", 135, 25, 31, 27, 0.03},
};
const size_t paper_routers_count = sizeof paper_routers / sizeof *paper_routers;

double paper_speedup(const char *category)
{
    double sum = 0;
    for (size_t i = 0; i < paper_models_count; i++)
        sum += paper_models[i].sot;
    if (strcmp(category, "average") == 0)
        return sum / (double)paper_models_count;
    static const struct {
        const char *category;
        double speedup;
    } rows[] = {
        {"math", 1.34},     {"fermi", 1.69},   {"counterfactual", 1.89},
        {"roleplay", 1.95}, {"coding", 2.06},  {"common-sense", 2.24},
        {"writing", 2.26},  {"generic", 2.31}, {"knowledge", 2.33},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].category, category) == 0)
            return rows[i].speedup;
    return NAN;
}

void paper_lengths_range(const char *category, size_t member, double *least, double *most)
{
    *least = *most = NAN;
    for (size_t i = 0; i < fig11_count; i++) {
        const struct fig11_row *row = &fig11_rows[i];
        if (strcmp(row->category, category) != 0 || strcmp(row->model, "all models") == 0)
            continue;
        double value;
        memcpy(&value, (const char *)row + member, sizeof value);
        *least = fmin(*least, value);
        *most = fmax(*most, value);
    }
}
