/* From the paper's averages to the lengths of one question's texts: see lengths.h.
 *
 * What Fig. 11 states is taken as it is, rounded: the number of points B, the normal answer, the
 * longest expansion. What it does not state follows from it:
 *
 *   skeleton    8.43 tokens a point: the 14 points that the paper's own two-shot prompt shows have
 *               118 tokens with LLaMA's tokenizer, numbers and line ends included
 *   expansions  all of SoT's answer together is sot_normal * normal tokens; without the skeleton
 * and the longest expansion the rest belongs to the other B - 1, whose mean it gives. They are
 * spread evenly around it, so widely that all B have Fig. 11's deviation, none longer than the
 * longest
 *
 * Where the others' mean comes out above the longest (8 of 130 rows; an average of ratios is drawn
 * up by questions with a very short normal answer) all points get the longest. For LLaMA2-Chat-7B,
 * average: 5.7 points, 378.0, 99.0, 13.5, 1.3 give a skeleton of 48 and points of 99, 81, 75, 69,
 * 63 and 57 tokens.
 *
 * Prompts are as long as Table 7 counts them: 12.52 tokens of question, 171.41 of stage 1. Stage 2
 * is very nearly 39.8 + 31.0 tokens a point over its nine models (least squares); 8.43 a point are
 * the skeleton, which is in what the requests have in common, and the rest is each point's own. */
#include "lengths.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/fig11.h"
#include "../shared/text.h"

static const double skeleton_per_point = 118.0 / 14;
static const double stage2_fixed = 39.8;
static const double stage2_per_point = 31.0;

enum { QUESTION_TOKENS = 13, STAGE1_TOKENS = 171, TAIL_LEAST = 12 };

uint32_t lengths_longest(const struct lengths *lengths)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < lengths->n_points; i++)
        longest = lengths->points[i] > longest ? lengths->points[i] : longest;
    return longest;
}

double lengths_bound(const struct lengths *lengths)
{
    return (double)lengths->n_normal / (lengths->n_skeleton + lengths_longest(lengths));
}

static uint32_t rounded(double value, double least)
{
    return (uint32_t)lround(value > least ? value : least);
}

/* The prompts' lengths, for so many points on average. */
static void set_prompts(struct lengths *lengths, double points)
{
    double tails = stage2_per_point * points - lengths->n_skeleton;
    lengths->n_question = QUESTION_TOKENS;
    lengths->n_stage1 = STAGE1_TOKENS;
    lengths->n_common = rounded(stage2_fixed, 1) + lengths->n_skeleton;
    lengths->n_tail = rounded(tails / lengths->n_points, TAIL_LEAST);
}

/* The expansions but the first, which is the longest: around mean, so that all have the deviation.
 */
static void spread_points(struct lengths *lengths, double mean, double deviation)
{
    uint32_t n_others = lengths->n_points - 1;
    double longest = lengths->points[0];
    double all_mean = (longest + n_others * mean) / lengths->n_points;
    double squares = lengths->n_points * deviation * deviation -
                     (longest - all_mean) * (longest - all_mean) -
                     n_others * (mean - all_mean) * (mean - all_mean);
    /* n numbers one apart have n(n^2 - 1)/12 as the sum of squares around their mean. */
    double unit_squares = n_others * ((double)n_others * n_others - 1) / 12;
    double step = squares > 0 && unit_squares > 0 ? sqrt(squares / unit_squares) : 0;
    for (uint32_t i = 0; i < n_others; i++) {
        double length = mean + step * ((n_others - 1) / 2.0 - i);
        lengths->points[1 + i] = rounded(length < longest ? length : longest, 1);
    }
}

static void from_row(struct lengths *lengths, const struct fig11_row *row)
{
    *lengths = (struct lengths){.n_normal = rounded(row->normal, 1),
                                .n_points = rounded(row->points, 1),
                                .n_skeleton = rounded(skeleton_per_point * row->points, 1)};
    snprintf(lengths->name, sizeof lengths->name, "%s, %s", row->model, row->category);
    lengths->points[0] = rounded(row->longest, 1);
    if (lengths->n_points > 1) {
        double others = row->sot_normal * row->normal - lengths->n_skeleton - row->longest;
        double mean = others / (lengths->n_points - 1);
        spread_points(lengths, mean < row->longest ? mean : row->longest, row->deviation);
    }
    set_prompts(lengths, row->points);
}

int lengths_from_paper(struct lengths *lengths, const char *model, const char *category)
{
    const struct fig11_row *row = fig11_find(model, category);
    if (row) {
        from_row(lengths, row);
        return 1;
    }
    int is_model = fig11_find(model, "average") != NULL;
    complain("no lengths are known of the %s '%s' (see sot-bench --list-lengths)",
             is_model ? "category" : "model", is_model ? category : model);
    return 0;
}

static int check_length(const char *what, long long value)
{
    if (value >= 1 && value <= LENGTH_MOST)
        return 1;
    complain("lengths: %s is %lld, from 1 to %d are possible", what, value, LENGTH_MOST);
    return 0;
}

static int add_point(struct lengths *lengths, long long value)
{
    if (lengths->n_points == POINTS_MOST) {
        complain("lengths: more than %d expansions", POINTS_MOST);
        return 0;
    }
    if (!check_length("an expansion", value))
        return 0;
    lengths->points[lengths->n_points++] = (uint32_t)value;
    return 1;
}

/* Reads a number and the character behind it; 0 where there is none. */
static int read_number(const char **at, long long *value, char *separator)
{
    char *end;
    errno = 0;
    if (**at < '0' || **at > '9')
        return 0;
    *value = strtoll(*at, &end, 10);
    *separator = *end;
    *at = *end ? end + 1 : end;
    return errno == 0;
}

int lengths_from_list(struct lengths *lengths, const char *list)
{
    const char *at = list;
    long long value;
    char separator;
    *lengths = (struct lengths){.name = "lengths given"};
    int good = read_number(&at, &value, &separator) && separator == ':';
    if (good && !check_length("the normal answer", value))
        return 0;
    lengths->n_normal = good ? (uint32_t)value : 0;
    good = good && read_number(&at, &value, &separator) && separator == ':';
    if (good && !check_length("the skeleton", value))
        return 0;
    lengths->n_skeleton = good ? (uint32_t)value : 0;
    separator = ',';
    while (good && separator) {
        good = separator == ',' && read_number(&at, &value, &separator);
        if (good && !add_point(lengths, value))
            return 0;
    }
    if (!good) {
        complain("--lengths '%s': numbers as in 378:48:99,81,75 are expected", list);
        return 0;
    }
    set_prompts(lengths, lengths->n_points);
    return 1;
}

static int from_object(struct lengths *lengths, const json_t *object, const char *path)
{
    const char *name = json_string_value(json_object_get(object, "name"));
    const json_t *points = json_object_get(object, "points");
    size_t i;
    json_t *point;
    *lengths = (struct lengths){0};
    name = name ? name : path;
    struct text clean = {0};
    text_clean(&clean, name, strlen(name)); /* it will be printed */
    snprintf(lengths->name, sizeof lengths->name, "%s", clean.bytes ? clean.bytes : "");
    text_free(&clean);
    long long normal = json_integer_value(json_object_get(object, "normal"));
    long long skeleton = json_integer_value(json_object_get(object, "skeleton"));
    if (!check_length("\"normal\"", normal) || !check_length("\"skeleton\"", skeleton))
        return 0;
    lengths->n_normal = (uint32_t)normal;
    lengths->n_skeleton = (uint32_t)skeleton;
    json_array_foreach(points, i, point)
    {
        if (!add_point(lengths, json_integer_value(point)))
            return 0;
    }
    if (lengths->n_points == 0) {
        complain("%s: \"points\" is not an array of lengths", path);
        return 0;
    }
    set_prompts(lengths, lengths->n_points);
    return 1;
}

int lengths_from_file(struct lengths *lengths, const char *path)
{
    json_error_t error;
    FILE *file = fopen(path, "rb");
    if (!file) {
        complain("%s: %s", path, strerror(errno));
        return 0;
    }
    json_t *object = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
    fclose(file);
    if (!object) {
        complain("%s: line %d: %s", path, error.line, error.text);
        return 0;
    }
    int good = from_object(lengths, object, path);
    json_decref(object);
    return good;
}

void lengths_print_all(void)
{
    printf("model\tcategory\tpoints\tnormal\tlongest\tdeviation\tsot/normal\tN:S:L\tbound\n");
    for (size_t i = 0; i < fig11_count; i++) {
        const struct fig11_row *row = &fig11_rows[i];
        struct lengths lengths;
        from_row(&lengths, row);
        printf("%s\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%u:%u:", row->model, row->category,
               row->points, row->normal, row->longest, row->deviation, row->sot_normal,
               lengths.n_normal, lengths.n_skeleton);
        for (uint32_t j = 0; j < lengths.n_points; j++)
            printf("%s%u", j ? "," : "", lengths.points[j]);
        printf("\t%.2f\n", lengths_bound(&lengths));
    }
}
