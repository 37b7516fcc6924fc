/* See wordings.h. What a wording costs is decided by where its first varying text stands: what lies
 * before that is computed once a session, what lies behind is computed for every question, or for
 * every point. docs/prefill-overhead.md counts the tokens. */
#include "sot/wordings.h"

#include <stddef.h>
#include <string.h>

/* What Prompts 1 and 3 both begin with. */
#define ORGANIZER                                                                                  \
    "You're an organizer responsible for only giving the skeleton (not the full content) for "     \
    "answering the question. Provide the skeleton in a list of points (numbered 1., 2., 3., "      \
    "etc.) to answer the question. Instead of writing a full sentence, each skeleton point "       \
    "should be very short with only 3~5 words. Generally, the skeleton should have 3~10 "          \
    "points."

/* What Prompts 2 and 3 both begin with. */
#define CONTINUER                                                                                  \
    "You're responsible for continuing the writing of one and only one point in the overall "      \
    "answer to the following question.\n"                                                          \
    "\n"                                                                                           \
    "{request}\n"                                                                                  \
    "\n"                                                                                           \
    "The skeleton of the answer is\n"                                                              \
    "\n"                                                                                           \
    "{outline}\n"                                                                                  \
    "\n"                                                                                           \
    "Continue and only continue the writing of point {point}. "

/* The two demonstrations of Prompt 1. */
#define DISHES                                                                                     \
    "Question:\n"                                                                                  \
    "What are the typical types of Chinese dishes?\n"                                              \
    "Skeleton:\n"                                                                                  \
    "1. Dumplings. \n"                                                                             \
    "2. Noodles. \n"                                                                               \
    "3. Dim Sum. \n"                                                                               \
    "4. Hot Pot. \n"                                                                               \
    "5. Wonton. \n"                                                                                \
    "6. Ma Po Tofu. \n"                                                                            \
    "7. Char Siu. \n"                                                                              \
    "8. Fried Rice. \n"

#define EMISSIONS                                                                                  \
    "Question:\n"                                                                                  \
    "What are some practical tips for individuals to reduce their carbon emissions?\n"             \
    "Skeleton:\n"                                                                                  \
    "1. Energy conservation. \n"                                                                   \
    "2. Efficient transportation. \n"                                                              \
    "3. Home energy efficiency. \n"                                                                \
    "4. Reduce water consumption. \n"                                                              \
    "5. Sustainable diet. \n"                                                                      \
    "6. Sustainable travel. \n"

/* The library's own demonstration of a point. */
#define EMISSIONS_POINT                                                                            \
    "Point:\n"                                                                                     \
    "3. Home energy efficiency. Insulate walls and windows, turn the heating down by a degree, "   \
    "and choose appliances that use little power.\n"

/* Every text is constant up to the question; behind the skeleton there is nothing but the point. */
#define COMPACT_SKELETON ORGANIZER "\n\n" DISHES "\n" EMISSIONS "\nQuestion:\n{request}"

#define COMPACT_POINT                                                                              \
    "You're responsible for continuing the writing of one and only one point in the overall "      \
    "answer to a question, whose skeleton is given. Continue and only continue the point that "    \
    "your answer begins with. Write it **very shortly** in 1~2 sentence and do not continue with " \
    "other points!\n"                                                                              \
    "\n" EMISSIONS EMISSIONS_POINT "\n"                                                            \
    "Question:\n"                                                                                  \
    "{request}\n"                                                                                  \
    "Skeleton:\n"                                                                                  \
    "{outline}"

/* The first turn says all that there is to say about the second one. */
#define CHAINED_SKELETON                                                                           \
    "You're responsible for answering a question in two steps. First you get the question. You "   \
    "are an organizer then, and only give the skeleton (not the full content) for answering it, "  \
    "in a list of points (numbered 1., 2., 3., etc.). Instead of writing a full sentence, each "   \
    "skeleton point should be very short with only 3~5 words. Generally, the skeleton should "     \
    "have 3~10 points. After that you are asked for a point of the skeleton. You repeat it and "   \
    "continue the writing of that one and only one point, **very shortly** in 1~2 sentence, and "  \
    "do not continue with other points!\n"                                                         \
    "\n" DISHES "\n" EMISSIONS EMISSIONS_POINT "\n"                                                \
    "Question:\n"                                                                                  \
    "{request}"

#define ROLE "[ROLESWITCHING assistant:]"

static const soti_wording wordings[] = {
    {.name = "two-shot",
     .skeleton = ORGANIZER "\n\n" DISHES "\n" EMISSIONS "\n"
                           "Now, please provide the skeleton for the following question.\n"
                           "{request}\n"
                           "Skeleton:\n"
                           " " ROLE " 1.",
     .point = CONTINUER "Write it **very shortly** in 1~2 sentence and do not continue with other "
                        "points! " ROLE "{point}. {point_outline}"},
    {.name = "zero-shot",
     .skeleton = ORGANIZER " Now, please provide the skeleton for the following question.\n"
                           "{request}\n"
                           "Skeleton:\n"
                           "\n"
                           "Please start your answer from \"1. \" and do not output other things "
                           "before that",
     .point = CONTINUER "Write it in 1~2 sentence and do not continue with other points!\n"
                        "\n"
                        "Please start your answer from \"{point}. {point_outline}\" and do not "
                        "output other things before that"},
    {.name = "compact",
     .skeleton = COMPACT_SKELETON ROLE " 1.",
     .point = COMPACT_POINT ROLE " {point}. {point_outline}"},
    {.name = "chained",
     .flags = SOT_PROMPTS_CHAINED,
     .skeleton = CHAINED_SKELETON ROLE " 1.",
     .point = "Point:" ROLE " {point}. {point_outline}"},
};

const char soti_wording_names[] = "two-shot, zero-shot, compact, chained";

const soti_wording *soti_wording_find(const char *name)
{
    for (size_t i = 0; i < sizeof wordings / sizeof *wordings; i++) {
        if (name == NULL || strcmp(wordings[i].name, name) == 0) {
            return &wordings[i];
        }
    }
    return NULL;
}
