/* The router's decisions (the paper's Tables 3 and 4, Fig. 37) and memory (Figs. 38 and 39): see
 * report_page.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "paper.h"
#include "report_page.h"
#include "svg.h"

enum { WIDE = 860 };

static double share(size_t part, size_t whole)
{
    return whole ? (double)part / (double)whole : NAN;
}

static void matrix(struct text *out, const char *name, const struct paper_router *router, int own)
{
    size_t n = router->tn + router->fp + router->fn + router->tp;
    const char *css = own ? "" : " paper";
    text_format(out, "<table class=\"confusion%s\"><caption>", css);
    html_string(out, name);
    text_format(out,
                "</caption><thead><tr><th></th><th class=\"n\">chose normal</th><th class=\"n\">"
                "chose SoT</th></tr></thead><tbody><tr><th scope=\"row\">human: normal</th>"
                "<td class=\"n good\">%zu</td><td class=\"n bad\">%zu</td></tr><tr><th "
                "scope=\"row\">human: SoT</th><td class=\"n bad\">%zu</td><td class=\"n good\">%zu"
                "</td></tr></tbody><tfoot><tr><td colspan=\"3\">accuracy ",
                router->tn, router->fp, router->fn, router->tp);
    html_number(out, share(router->tn + router->tp, n), 3);
    text_string(out, "<br>precision ");
    html_number(out, share(router->tp, router->tp + router->fp), 3);
    text_string(out, ", recall ");
    html_number(out, share(router->tp, router->tp + router->fn), 3);
    text_string(out, "<br>a decision takes ");
    if (router->latency_s < 0.01)
        text_format(out, "%.2f ms", 1e3 * router->latency_s);
    else
        html_number(out, router->latency_s, 2), text_string(out, " s");
    text_string(out, "</td></tr></tfoot></table>\n");
}

static void suitable_plot(struct text *out, const struct report_run *run)
{
    size_t n = run->n_categories;
    const char **names = grow(NULL, (n + 1) * sizeof(*names));
    double *values = grow(NULL, 2 * (n + 1) * sizeof *values);
    report_row_names(run, names);
    for (size_t i = 0; i < n; i++) {
        values[i] = run->rows[i].n_labelled ? (double)run->rows[i].n_suitable : NAN;
        values[n + i] = run->rows[i].n_routed ? (double)run->rows[i].n_chosen : NAN;
    }
    struct svg_series series[2] = {{"human", "c2", values}, {"router", "c1", values + n}};
    struct svg_bars chart = {.label = "Questions that suit SoT, by category",
                             .rows = names,
                             .n_rows = n,
                             .i_strong = n,
                             .series = series,
                             .n_series = 2,
                             .reference = NAN,
                             .unit = "",
                             .width = WIDE};
    report_figure_begin(out);
    svg_bars(out, &chart);
    report_key(out, "c2", "a human says so");
    report_key(out, "c1", "this run's router says so");
    report_figure_end(out, "Questions that suit SoT (Fig. 37).");
    free(names);
    free(values);
}

void report_router(struct text *out, const struct report_run *run)
{
    const struct routing *routing = &run->routing;
    const struct report_row *all = report_all(run);
    size_t n = routing->tn + routing->fp + routing->fn + routing->tp;
    if (!run->n_of_mode[MODE_ROUTED])
        return;
    report_heading(out, "Router",
                   "Whether SoT-R's router chose SoT, against a human's label where the question "
                   "has one (the paper's Tables 3 and 4).");
    text_format(out, "<p>It chose SoT for %zu of %zu questions", all->n_chosen, all->n_routed);
    if (routing->n_undecided)
        text_format(out, " and could not decide on %zu, which were answered normally",
                    routing->n_undecided);
    text_string(out, ".</p>\n<div class=\"matrices\">\n");
    struct paper_router own = {"this run",
                               "",
                               routing->tn,
                               routing->fp,
                               routing->fn,
                               routing->tp,
                               routing->latency_ns / 1e9};
    if (n)
        matrix(out, own.name, &own, 1);
    for (size_t i = 0; n && i < paper_routers_count; i++) {
        struct text name = {0};
        text_format(&name, "paper, %s", paper_routers[i].name);
        if (run->data && strcmp(run->data, paper_routers[i].data) == 0)
            matrix(out, name.bytes, &paper_routers[i], 0);
        text_free(&name);
    }
    text_string(out, "</div>\n");
    suitable_plot(out, run);
}

void report_memory(struct text *out, const struct report_run *run)
{
    size_t n_most = run->n_categories + 1;
    const char **names = grow(NULL, n_most * sizeof(*names));
    double *values = grow(NULL, 2 * n_most * sizeof *values);
    size_t n = report_row_names(run, names);
    int has_routed = run->n_of_mode[MODE_ROUTED] > 0;
    for (size_t i = 0; i < n; i++) {
        values[i] = run->rows[i].sot.memory;
        values[n_most + i] = run->rows[i].routed.memory;
    }
    struct svg_series series[2] = {{"SoT", "c0", values}, {"SoT-R", "c1", values + n_most}};
    struct svg_bars chart = {.label = "Peak memory over that of normal generation",
                             .rows = names,
                             .n_rows = n,
                             .i_strong = run->n_categories,
                             .series = series,
                             .n_series = has_routed ? 2 : 1,
                             .reference = PAPER_MEMORY_MOST,
                             .decimals = 3,
                             .unit = "×",
                             .width = WIDE};
    report_heading(
        out, "Peak memory",
        "The paper's Figs. 38 and 39: weights, session and the pages in use at the peak, "
        "the largest of a category, over that of normal generation. The smaller the "
        "model, the more the pages count beside its weights.");
    report_figure_begin(out);
    svg_bars(out, &chart);
    report_key(out, "c0", "SoT");
    if (has_routed)
        report_key(out, "c1", "SoT-R");
    report_figure_end(out, "Dashed: 1.11×, the paper's largest.");
    free(names);
    free(values);
}
