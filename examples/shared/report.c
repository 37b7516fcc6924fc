/* Printing for people: see report.h. Everything that a model wrote goes through text_clean. */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "text.h"

const char *finish_name(uint32_t finish)
{
    static const char *const names[] = {"none", "stop", "length", "context", "cancelled"};
    return finish < sizeof names / sizeof *names ? names[finish] : "unknown";
}

void print_heading(const struct report_style *style, const char *heading)
{
    printf("%s%s%s\n", style->color ? "\033[1;4m" : "", heading, style->color ? "\033[0m" : "");
}

/* Where the line at text begins as point i does: the bytes of "{index}. {outline}", else 0. */
static size_t point_size(const sot_points *points, size_t i, const char *text, size_t size)
{
    struct text start = {0};
    text_clean(&start, sot_points_index(points, i), strlen(sot_points_index(points, i)));
    text_string(&start, ". ");
    size_t outline_size;
    const char *outline =
        trimmed(sot_points_text(points, i), sot_points_text_size(points, i), &outline_size);
    text_clean(&start, outline, outline_size);
    size_t length =
        start.size <= size && memcmp(start.bytes, text, start.size) == 0 ? start.size : 0;
    text_free(&start);
    return length;
}

/* Lays out an answer line by line; a line that begins with the next point has its start in bold and
 * what follows indented. */
static void lay_out_answer(struct layout *layout, const struct report_style *style,
                           const sot_points *points, const char *text, size_t size)
{
    size_t n_points = points ? sot_points_count(points) : 0;
    size_t i_point = 0;
    layout_start(layout, style->columns);
    for (size_t at = 0; at < size;) {
        size_t bold = i_point < n_points ? point_size(points, i_point, text + at, size - at) : 0;
        if (at > 0 && bold)
            layout_break(layout);
        else if (at > 0)
            layout_text(layout, "\n", 1);
        if (bold) {
            layout_style(layout, style->color ? "\033[1m" : "");
            layout_indent(layout, (unsigned)strlen(sot_points_index(points, i_point)) + 2);
            layout_text(layout, text + at, bold);
            layout_style(layout, "");
            i_point++;
            at += bold;
        }
        const char *newline = at < size ? memchr(text + at, '\n', size - at) : NULL;
        size_t end = newline ? (size_t)(newline - text) : size;
        layout_text(layout, text + at, end - at);
        at = end + 1;
    }
    layout_finish(layout);
}

void print_answer(const struct report_style *style, const sot_answer *answer)
{
    struct text clean = {0};
    size_t size;
    text_clean(&clean, sot_answer_text(answer), sot_answer_text_size(answer));
    const char *text = trimmed(clean.bytes ? clean.bytes : "", clean.size, &size);
    if (size && style->columns) {
        struct layout layout = {0};
        lay_out_answer(&layout, style, sot_answer_points(answer), text, size);
        for (size_t i = 0; i < layout.n_lines; i++) {
            size_t n_bytes;
            const char *bytes = layout_line_bytes(&layout, i, &n_bytes);
            fwrite(bytes, 1, n_bytes, stdout);
            fputc('\n', stdout);
        }
        layout_free(&layout);
    } else if (size) {
        fwrite(text, 1, size, stdout);
        fputc('\n', stdout);
    }
    text_free(&clean);
}

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

static double per_second(uint64_t count, uint64_t ns)
{
    return ns ? (double)count * 1e9 / (double)ns : 0;
}

static double megabytes(uint64_t bytes)
{
    return (double)bytes / 1e6;
}

void describe_decision(const sot_decision *decision, char *text, size_t size)
{
    static const char *const routers[] = {"none",   "prompting", "trained",
                                          "always", "never",     "callback"};
    static const char *const labels[] = {"undecided, so normal", "normal", "SoT"};
    const char *router = routers[decision->router < 6 ? decision->router : 0];
    const char *label = labels[decision->label < 3 ? decision->label : 0];
    if (decision->letter)
        snprintf(text, size, "router %s: %s (%c, %.2f)", router, label, (char)decision->letter,
                 (double)decision->score);
    else if (decision->router == SOT_ROUTER_TRAINED)
        snprintf(text, size, "router %s: %s (%.2f)", router, label, (double)decision->score);
    else
        snprintf(text, size, "router %s: %s", router, label);
}

/* Of an answer in mode routed. */
static void print_decision(const sot_answer *answer, const sot_stats *stats)
{
    sot_decision decision = SOT_DECISION_INIT;
    char text[DECISION_TEXT_MAX];
    sot_answer_get_decision(answer, &decision);
    if (decision.router == SOT_ROUTER_DEFAULT)
        return;
    describe_decision(&decision, text, sizeof text);
    fprintf(stderr, "%s after %.3f s", text, seconds(stats->route_ns));
    if (stats->spent_tokens)
        fprintf(stderr, ", %u tokens spent on what was not chosen, about %.3f s won",
                stats->spent_tokens, (double)stats->won_ns / 1e9);
    fprintf(stderr, "\n");
}

void print_stats(const sot_answer *answer)
{
    static const char *const stages[] = {"normal", "skeleton", "expand", "route"};
    sot_stats stats = SOT_STATS_INIT;
    sot_answer_get_stats(answer, &stats);
    fprintf(stderr, "%-9s %9s %9s %9s %9s %9s %9s %9s %9s\n", "stage", "prompt", "reused",
            "prefill s", "tokens", "steps", "max rows", "decode s", "tokens/s");
    for (unsigned i = 0; i < 4; i++) {
        if (stats.prefill_tokens[i] == 0 && stats.decode_tokens[i] == 0)
            continue;
        fprintf(stderr, "%-9s %9u %9u %9.3f %9u %9u %9u %9.3f %9.1f\n", stages[i],
                stats.prefill_tokens[i] + stats.reused_tokens[i], stats.reused_tokens[i],
                seconds(stats.prefill_ns[i]), stats.decode_tokens[i], stats.decode_steps[i],
                stats.max_rows[i], seconds(stats.decode_ns[i]),
                per_second(stats.decode_tokens[i], stats.decode_ns[i]));
    }
    fprintf(stderr, "total %.3f s", seconds(stats.total_ns));
    if (stats.mode == SOT_MODE_SOT)
        fprintf(stderr, ", %u points, longest expansion %u tokens", stats.n_points,
                stats.longest_expansion);
    fprintf(stderr, ", pages in use at most %llu tokens, session %.1f MB\n",
            (unsigned long long)stats.peak_page_tokens, megabytes(stats.session_bytes));
    print_decision(answer, &stats);
}

void print_warnings(const sot_answer *answer)
{
    sot_stats stats = SOT_STATS_INIT;
    sot_answer_get_stats(answer, &stats);
    const sot_points *points = sot_answer_points(answer);
    uint32_t finish = sot_answer_finish(answer);
    if (points && sot_points_count(points) == 0 && finish != SOT_FINISH_CANCELLED)
        complain("warning: the skeleton has no points; this is the skeleton response itself");
    if (points && sot_points_dropped(points))
        complain("warning: %zu points were left out (--max-points)", sot_points_dropped(points));
    if (finish == SOT_FINISH_LENGTH)
        complain("warning: cut at a token limit (%s)",
                 stats.mode == SOT_MODE_NORMAL ? "--max-tokens"
                                               : "--max-skeleton-tokens, --max-point-tokens");
}

struct comparison comparison_make(const sot_answer *normal, const sot_answer *sot)
{
    struct comparison comparison = {.normal = SOT_STATS_INIT, .sot = SOT_STATS_INIT};
    sot_answer_get_stats(normal, &comparison.normal);
    sot_answer_get_stats(sot, &comparison.sot);
    comparison.normal_tokens = comparison.normal.decode_tokens[0];
    comparison.sot_tokens = comparison.sot.decode_tokens[1] + comparison.sot.decode_tokens[2];
    if (comparison.sot.total_ns)
        comparison.speedup = (double)comparison.normal.total_ns / (double)comparison.sot.total_ns;
    uint32_t steps = comparison.sot.decode_tokens[1] + comparison.sot.longest_expansion;
    if (steps)
        comparison.bound = (double)comparison.normal_tokens / (double)steps;
    if (comparison.bound > 0)
        comparison.share = comparison.speedup / comparison.bound;
    return comparison;
}

void print_comparison(const struct report_style *style, const struct comparison *comparison)
{
    const sot_stats *normal = &comparison->normal;
    const sot_stats *sot = &comparison->sot;
    print_heading(style, "Comparison");
    printf("%-20s %12s %12s\n", "", "normal", "SoT");
    printf("%-20s %10.3f s %10.3f s\n", "latency", seconds(normal->total_ns),
           seconds(sot->total_ns));
    printf("%-20s %10.3f s %10.3f s\n", "  reading prompts", seconds(normal->prefill_ns[0]),
           seconds(sot->prefill_ns[1] + sot->prefill_ns[2]));
    printf("%-20s %10.3f s %10.3f s\n", "  writing", seconds(normal->decode_ns[0]),
           seconds(sot->decode_ns[1] + sot->decode_ns[2]));
    printf("%-20s %12u %12u\n", "prompt tokens read", normal->prefill_tokens[0],
           sot->prefill_tokens[1] + sot->prefill_tokens[2]);
    printf("%-20s %12u %12u\n", "tokens written", comparison->normal_tokens,
           comparison->sot_tokens);
    printf("%-20s %12s %12u\n", "  skeleton", "", sot->decode_tokens[1]);
    printf("%-20s %12s %12u\n", "  longest expansion", "", sot->longest_expansion);
    printf("%-20s %12u %12u\n", "passes over weights", normal->decode_steps[0],
           sot->decode_steps[1] + sot->decode_steps[2]);
    printf("%-20s %12s %12.2f\n", "speed-up", "", comparison->speedup);
    if (comparison->bound > 0) {
        printf("%-20s %12s %12.2f = %u / (%u + %u)\n", "  lengths allow", "", comparison->bound,
               comparison->normal_tokens, sot->decode_tokens[1], sot->longest_expansion);
        printf("%-20s %12s %10.0f %%\n", "  reached of that", "", 100 * comparison->share);
    }
}

static void print_fact(const char *name, const char *value)
{
    struct text clean = {0};
    text_clean(&clean, value, strlen(value));
    printf("%-14s %s\n", name, clean.size ? clean.bytes : "-");
    text_free(&clean);
}

void print_model(const sot_model_info *info)
{
    print_fact("name", info->name);
    print_fact("device", info->device);
    print_fact("template", info->conversation);
    printf("%-14s %.3f million\n", "parameters", (double)info->n_parameters / 1e6);
    printf("%-14s %.1f MB read per token, %.1f MB converted to FP16\n", "weights",
           megabytes(info->weight_bytes), megabytes(info->converted_bytes));
    printf("%-14s %u, d_model %u, d_ff %u\n", "layers", info->n_layer, info->d_model, info->d_ff);
    printf("%-14s %u of %u values, %u for keys and values\n", "heads", info->n_head, info->d_head,
           info->n_kv);
    printf("%-14s theta %g, scale %g\n", "rotary", (double)info->rope_theta,
           (double)info->rope_scale);
    printf("%-14s %g\n", "norm epsilon", (double)info->norm_eps);
    printf("%-14s %u%s, BOS %d, EOS %d\n", "vocabulary", info->n_vocab,
           info->has_tokenizer ? "" : ", without tokenizer", info->bos_id, info->eos_id);
    printf("%-14s %u tokens\n", "context", info->n_ctx_train);
}
