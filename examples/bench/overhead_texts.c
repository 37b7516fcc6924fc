/* See overhead_texts.h. */
#include "overhead_texts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../shared/fig11.h"

/* Point outlines as models write them for the questions of Vicuna-80: 3 to 5 words, 4 on average,
 * with a full stop as in the demonstrations of the paper's prompt. */
static const char *const phrases[] = {
    "Set clear daily goals.",
    "Historical background and context.",
    "Practice regular physical exercise.",
    "Impact on global trade.",
    "Learn to say no.",
    "Cultural and social differences.",
    "Use renewable energy sources.",
    "Better access to education.",
    "Role of central banks.",
    "Faster spread of information.",
    "Take short regular breaks.",
    "Look for consistent evidence.",
    "Changes in political power.",
    "Reduce stress and anxiety.",
    "Read reviews and ratings.",
    "Economic growth and decline.",
    "Advances in medical science.",
    "Build trust over time.",
    "Natural selection and adaptation.",
    "Limit time on social media.",
    "Compare prices and quality.",
    "Influence on modern art.",
    "Listen to other people.",
    "Loss of native languages.",
    "Effects on the environment.",
    "Plan meals in advance.",
    "New forms of communication.",
    "Check for recent updates.",
    "Keep a consistent schedule.",
    "Smaller and lighter devices.",
    "Ask open ended questions.",
    "Shift in public opinion.",
    "Strong focus on customers.",
    "Lower cost of living.",
    "Maintain good eye contact.",
    "Different legal systems.",
    "Protect soil and water.",
    "More time with family.",
    "Memory and learning processes.",
    "Signs of local activity.",
};
enum { N_PHRASES = sizeof phrases / sizeof *phrases, PHRASE_STEP = 11 };

static double points_of(const char *model, const char *category)
{
    const struct fig11_row *row = fig11_find(model, category);
    if (!row)
        row = fig11_find(model, "average");
    return row ? row->points : 0;
}

uint32_t overhead_points(const char *model, const char *category, uint32_t i)
{
    double points = points_of(model, category);
    return (uint32_t)(lround(points * (i + 1)) - lround(points * i));
}

void overhead_skeleton(uint32_t i_question, uint32_t n_points, struct text *skeleton)
{
    for (uint32_t i = 0; i < n_points; i++)
        text_format(skeleton, "%s%u. %s", i ? "\n" : "", i + 1,
                    phrases[(i_question * PHRASE_STEP + i) % N_PHRASES]);
}

const char *overhead_behind_partial(const struct text *skeleton)
{
    return skeleton->bytes + strlen("1.");
}

double overhead_words(void)
{
    size_t n = N_PHRASES;
    for (size_t i = 0; i < N_PHRASES; i++)
        for (const char *at = phrases[i]; *at; at++)
            n += *at == ' ';
    return (double)n / N_PHRASES;
}
