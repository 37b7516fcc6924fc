/* Reading pairs and verdicts: see win_rate.h. A verdict comes as a line with the id of a prompt and
 * the judge's text, or as one of FastChat's records with the winners of both orders. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/json_values.h"
#include "../shared/question_list.h"
#include "../shared/text.h"
#include "json_lines.h"
#include "win_rate.h"

struct reading {
    struct verdicts *verdicts;
    const struct verdict_files *files;
    struct json_lines lines; /* of the verdicts */
    json_t *prompts;         /* id of a prompt -> [comparison, question, order, line] */
    json_t *categories;      /* key of a question -> its category */
};

static char *copied(const char *string)
{
    size_t size = strlen(string) + 1;
    return memcpy(grow(NULL, size), string, size);
}

static size_t find_comparison(struct verdicts *verdicts, const char *candidate,
                              const char *baseline)
{
    for (size_t i = 0; i < verdicts->n; i++)
        if (strcmp(verdicts->comparisons[i].candidate, candidate) == 0 &&
            strcmp(verdicts->comparisons[i].baseline, baseline) == 0)
            return i;
    verdicts->comparisons =
        grow(verdicts->comparisons, (verdicts->n + 1) * sizeof *verdicts->comparisons);
    verdicts->comparisons[verdicts->n] =
        (struct comparison_of_two){copied(candidate), copied(baseline), NULL, 0, json_object()};
    return verdicts->n++;
}

static size_t find_question(struct reading *reading, size_t i_comparison, const char *key)
{
    struct comparison_of_two *comparison = &reading->verdicts->comparisons[i_comparison];
    const json_t *place = json_object_get(comparison->by_question, key);
    if (place)
        return (size_t)json_integer_value(place);
    const char *category = json_string_value(json_object_get(reading->categories, key));
    comparison->questions =
        grow(comparison->questions, (comparison->n + 1) * sizeof *comparison->questions);
    comparison->questions[comparison->n] =
        (struct judged_question){.key = copied(key), .category = category ? category : ""};
    json_object_set_new(comparison->by_question, key, json_number(comparison->n));
    return comparison->n++;
}

static struct verdict *verdict_at(struct reading *reading, size_t i_comparison, size_t i_question,
                                  size_t order)
{
    return &reading->verdicts->comparisons[i_comparison].questions[i_question].verdicts[order];
}

/* Returns 0 after having said what is wrong with line i of the pairs. */
static int add_prompt(struct reading *reading, const struct json_lines *pairs, size_t i)
{
    const json_t *object = pairs->lines[i].object;
    const char *id = json_line_string(pairs, i, "id");
    const char *candidate = id ? json_line_string(pairs, i, "candidate") : NULL;
    const char *baseline = candidate ? json_line_string(pairs, i, "baseline") : NULL;
    const char *order = baseline ? json_line_string(pairs, i, "order") : NULL;
    const json_t *category = json_object_get(object, "category");
    if (!order)
        return 0;
    size_t i_order = strcmp(order, "ba") == 0 ? ORDER_BA : ORDER_AB;
    char *key = json_key(json_object_get(object, "question_id"));
    int is_good = 0;
    if (!key)
        json_line_complain(pairs, i, "no number or text under the key \"question_id\"");
    else if (i_order == ORDER_AB && strcmp(order, "ab") != 0)
        json_line_complain(pairs, i, "the order '%s' is neither ab nor ba", order);
    else if (json_object_get(reading->prompts, id))
        json_line_complain(pairs, i, "a second prompt with the id '%s'", id);
    else
        is_good = 1;
    if (is_good) {
        if (json_is_string(category) && !json_object_get(reading->categories, key))
            json_object_set(reading->categories, key, (json_t *)(uintptr_t)category);
        size_t i_comparison = find_comparison(reading->verdicts, candidate, baseline);
        size_t i_question = find_question(reading, i_comparison, key);
        struct verdict *verdict = verdict_at(reading, i_comparison, i_question, i_order);
        is_good = verdict->i_prompt == 0;
        if (!is_good)
            json_line_complain(pairs, i, "a second prompt for question %s in the order %s", key,
                               order);
        verdict->i_prompt = i + 1;
        json_object_set_new(reading->prompts, id,
                            json_pack("[I, I, I, I]", (json_int_t)i_comparison,
                                      (json_int_t)i_question, (json_int_t)i_order, (json_int_t)0));
    }
    free(key);
    return is_good;
}

static size_t place_at(const json_t *place, size_t i)
{
    return (size_t)json_integer_value(json_array_get(place, i));
}

/* A line {"id": …, "text": …}. */
static int add_text(struct reading *reading, size_t i)
{
    const struct json_lines *lines = &reading->lines;
    const char *id = json_line_string(lines, i, "id");
    const json_t *text = json_object_get(lines->lines[i].object, "text");
    if (!text)
        text = json_object_get(lines->lines[i].object, "judgment");
    if (!id)
        return 0;
    json_t *place = json_object_get(reading->prompts, id);
    if (!reading->files->pairs) {
        json_line_complain(lines, i, "--pairs FILE is needed to tell what '%s' is about", id);
    } else if (!place) {
        json_line_complain(lines, i, "no prompt with the id '%s' is in %s", id,
                           reading->files->pairs);
    } else if (place_at(place, 3)) {
        json_line_complain(lines, i, "a second verdict on '%s', the first is in line %zu", id,
                           place_at(place, 3));
    } else {
        size_t order = place_at(place, 2);
        struct verdict *verdict =
            verdict_at(reading, place_at(place, 0), place_at(place, 1), order);
        const char *why_not = "there is no text";
        int score = 0;
        int is_read =
            json_is_string(text) && verdict_parse(json_string_value(text), &score, &why_not);
        verdict->state = is_read ? VERDICT_GIVEN : VERDICT_UNREADABLE;
        verdict->score = order == ORDER_AB ? score : -score;
        verdict->why_not = is_read ? NULL : copied(why_not);
        json_array_set_new(place, 3, json_number(lines->lines[i].number));
        return 1;
    }
    return 0;
}

static void set_winner(struct verdict *verdict, const char *winner, int candidate_is_1)
{
    int is_1 = strcmp(winner, "model_1") == 0;
    int is_2 = strcmp(winner, "model_2") == 0;
    verdict->state =
        is_1 || is_2 || strcmp(winner, "tie") == 0 ? VERDICT_GIVEN : VERDICT_UNREADABLE;
    verdict->score = is_1 == is_2 ? 0 : is_1 == candidate_is_1 ? 1 : -1;
    if (verdict->state == VERDICT_UNREADABLE) {
        struct text why_not = {0};
        text_format(&why_not, "the winner is '%s'", winner);
        verdict->why_not = why_not.bytes;
    }
}

/* FastChat's record of both orders: in the first of them model_1's answer is shown first. */
static int add_record(struct reading *reading, size_t i, const char **candidate)
{
    static const char *const keys[] = {"model_1", "model_2", "g1_winner", "g2_winner"};
    const struct json_lines *lines = &reading->lines;
    const char *values[4];
    for (size_t k = 0; k < 4; k++)
        if (!(values[k] = json_line_string(lines, i, keys[k])))
            return 0;
    const json_t *object = lines->lines[i].object;
    char *key = json_key(json_object_get(object, "question_id"));
    if (!key) {
        json_line_complain(lines, i, "no number or text under the key \"question_id\"");
        return 0;
    }
    *candidate = *candidate ? *candidate : values[0];
    int is_1 = strcmp(*candidate, values[0]) == 0;
    int is_good = is_1 || strcmp(*candidate, values[1]) == 0;
    json_int_t turn = json_integer_value(json_object_get(object, "turn"));
    if (turn > 1) { /* a second turn is judged for itself */
        struct text with_turn = {0};
        text_format(&with_turn, "%s (turn %" JSON_INTEGER_FORMAT ")", key, turn);
        if (json_object_get(reading->categories, key))
            json_object_set(reading->categories, with_turn.bytes,
                            json_object_get(reading->categories, key));
        free(key);
        key = with_turn.bytes;
    }
    if (!is_good) {
        json_line_complain(lines, i, "neither model_1 nor model_2 is the candidate '%s'",
                           *candidate);
    } else {
        size_t i_comparison =
            find_comparison(reading->verdicts, *candidate, is_1 ? values[1] : values[0]);
        size_t i_question = find_question(reading, i_comparison, key);
        struct verdict *first = verdict_at(reading, i_comparison, i_question, ORDER_AB);
        is_good = first->state == VERDICT_MISSING;
        if (!is_good)
            json_line_complain(lines, i, "a second record of question %s", key);
        set_winner(verdict_at(reading, i_comparison, i_question, is_1 ? ORDER_AB : ORDER_BA),
                   values[2], is_1);
        set_winner(verdict_at(reading, i_comparison, i_question, is_1 ? ORDER_BA : ORDER_AB),
                   values[3], is_1);
    }
    free(key);
    return is_good;
}

/* Questions that are known and have no record. */
static void add_unjudged(struct reading *reading)
{
    const char *key;
    json_t *category;
    json_object_foreach(reading->categories, key, category) for (size_t i = 0;
                                                                 i < reading->verdicts->n; i++)
        find_question(reading, i, key);
}

static int read_questions(struct reading *reading)
{
    struct question_list list = {0};
    int is_good = questions_read(reading->files->questions, &list);
    for (size_t i = 0; is_good && i < list.n; i++) {
        char key[32];
        snprintf(key, sizeof key, "%" PRId64, list.questions[i].id);
        json_object_set_new(reading->categories, key, json_string(list.questions[i].category));
    }
    questions_free(&list);
    return is_good;
}

static int read_pairs(struct reading *reading)
{
    struct json_lines pairs;
    int is_good = json_lines_read(&pairs, reading->files->pairs);
    for (size_t i = 0; is_good && i < pairs.n; i++)
        is_good = add_prompt(reading, &pairs, i);
    json_lines_free(&pairs);
    return is_good;
}

static void forget_comparisons(struct verdicts *verdicts)
{
    for (size_t i = 0; i < verdicts->n; i++) {
        struct comparison_of_two *comparison = &verdicts->comparisons[i];
        for (size_t j = 0; j < comparison->n; j++) {
            free(comparison->questions[j].key);
            for (size_t order = 0; order < N_ORDERS; order++)
                free(comparison->questions[j].verdicts[order].why_not);
        }
        free(comparison->questions);
        free(comparison->candidate);
        free(comparison->baseline);
        json_decref(comparison->by_question);
    }
    free(verdicts->comparisons);
    verdicts->comparisons = NULL;
    verdicts->n = 0;
}

void verdicts_free(struct verdicts *verdicts)
{
    forget_comparisons(verdicts);
    json_decref(verdicts->owned);
    verdicts->owned = NULL;
}

int verdicts_read(struct verdicts *verdicts, const struct verdict_files *files)
{
    *verdicts = (struct verdicts){.owned = json_object()};
    struct reading reading = {.verdicts = verdicts,
                              .files = files,
                              .prompts = json_object(),
                              .categories = verdicts->owned};
    const char *candidate = files->candidate;
    int is_good = (!files->questions || read_questions(&reading)) &&
                  json_lines_read(&reading.lines, files->verdicts);
    /* Records in FastChat's format need no pairs; where there are some, they name categories. */
    int is_fastchat =
        is_good && reading.lines.n && json_object_get(reading.lines.lines[0].object, "g1_winner");
    if (is_good && files->pairs)
        is_good = read_pairs(&reading);
    if (is_fastchat)
        forget_comparisons(verdicts);
    for (size_t i = 0; is_good && i < reading.lines.n; i++)
        is_good = is_fastchat ? add_record(&reading, i, &candidate) : add_text(&reading, i);
    if (is_good && is_fastchat)
        add_unjudged(&reading);
    json_lines_free(&reading.lines);
    json_decref(reading.prompts);
    if (!is_good)
        verdicts_free(verdicts);
    return is_good;
}
