/* Speed: by category (the paper's Figs. 2b, 18 and 19), against what the lengths allow, by number
 * of points (Fig. 40), beside the paper's models (Figs. 2a, 14 and 15), and where the time goes
 * (Fig. 12). See report_page.h. */
#include <math.h>
#include <stdlib.h>

#include "html.h"
#include "paper.h"
#include "report_page.h"
#include "svg.h"

enum { WIDE = 860 };

/* Whether the paper's numbers by category belong beside this run's. */
static int is_vicuna(const struct report_run *run)
{
    return run->data && run->data[0] == 'v';
}

static void speed_plot(struct text *out, const struct report_run *run)
{
    size_t n_most = run->n_categories + 1;
    const char **names = grow(NULL, n_most * sizeof(*names));
    double *values = grow(NULL, 3 * n_most * sizeof *values);
    size_t n = report_row_names(run, names);
    for (size_t i = 0; i < n; i++) {
        values[i] = run->rows[i].sot.speedup_mean;
        values[n_most + i] = run->rows[i].routed.speedup_mean;
        values[2 * n_most + i] = paper_speedup(run->rows[i].name);
    }
    struct svg_series series[2] = {{"SoT", "c0", values}, {"SoT-R", "c1", values + n_most}};
    struct svg_bars chart = {.label = "Speed-up over normal generation by category",
                             .rows = names,
                             .n_rows = n,
                             .i_strong = run->n_categories,
                             .series = series,
                             .n_series = run->n_of_mode[MODE_ROUTED] ? 2 : 1,
                             .paper = is_vicuna(run) ? values + 2 * n_most : NULL,
                             .reference = 1,
                             .decimals = 2,
                             .unit = "×",
                             .width = WIDE};
    report_figure_begin(out);
    svg_bars(out, &chart);
    report_key(out, "c0", "SoT");
    if (chart.n_series > 1)
        report_key(out, "c1", "SoT-R");
    if (chart.paper)
        report_key(out, "diamond", "SoT in the paper (Fig. 2b, mean of 12 models)");
    report_figure_end(out, "Latency of normal generation ÷ latency of the whole answer: the mean "
                           "of each question's own ratio. Dashed: as fast as normal generation.");
    free(names);
    free(values);
}

static void speed_row(struct text *out, const struct report_run *run, const struct report_row *row)
{
    int has_routed = run->n_of_mode[MODE_ROUTED] > 0;
    text_string(out, row >= report_average(run) ? "<tr class=\"sum\">" : "<tr>");
    html_row_head(out, row->name);
    if (row == report_average(run))
        text_string(out, "<td class=\"n\"></td>");
    else
        html_count_cell(out, row->sot.n_compared, "");
    html_cell(out, row->sot.normal_ns / 1e9, 3, "");
    html_cell(out, row->sot.mode_ns / 1e9, 3, "");
    if (has_routed)
        html_cell(out, row->routed.mode_ns / 1e9, 3, "");
    html_cell(out, row->sot.speedup_mean, 2, "");
    if (is_vicuna(run))
        html_cell(out, paper_speedup(row->name), 2, "paper");
    if (has_routed)
        html_cell(out, row->routed.speedup_mean, 2, "");
    html_cell(out, row->sot.speedup, 2, "");
    html_cell(out, row->sot.bound, 2, "");
    html_cell(out, 100 * row->sot.speedup / row->sot.bound, 0, "");
    text_string(out, "</tr>\n");
}

static void speed_table(struct text *out, const struct report_run *run)
{
    const char *routed = run->n_of_mode[MODE_ROUTED] ? "<th class=\"n\">SoT-R<br>s</th>" : "";
    text_format(out,
                "<div class=\"scroll\"><table class=\"speed\"><caption>Means over the questions "
                "that have an answer in both modes.</caption><thead><tr><th>category</th>"
                "<th class=\"n\">questions</th><th class=\"n\">normal<br>s</th>"
                "<th class=\"n\">SoT<br>s</th>%s<th class=\"n\">SoT<br>speed-up</th>",
                routed);
    if (is_vicuna(run))
        text_string(out, "<th class=\"n paper\">paper<br>Fig. 2b</th>");
    if (routed[0])
        text_string(out, "<th class=\"n\">SoT-R<br>speed-up</th>");
    text_string(out, "<th class=\"n\">of sums<br>of times</th><th class=\"n\">lengths<br>allow</th>"
                     "<th class=\"n\">reached<br>%</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < run->n_categories + 2; i++)
        speed_row(out, run, &run->rows[i]);
    text_string(out, "</tbody></table></div>\n");
}

static void bound_plot(struct text *out, const struct report_run *run)
{
    static const struct svg_line lines[] = {{1, "100%"}, {PAPER_REACHED_LEAST, "60%"}};
    double *x = grow(NULL, (run->n_questions + 1) * sizeof *x);
    double *y = grow(NULL, (run->n_questions + 1) * sizeof *y);
    const char **names = grow(NULL, (run->n_questions + 1) * sizeof(*names));
    for (size_t i = 0; i < run->n_questions; i++) {
        x[i] = report_bound(&run->questions[i], MODE_SOT);
        y[i] = isfinite(x[i]) ? report_speedup(&run->questions[i], MODE_SOT) : NAN;
        names[i] = run->questions[i].any->category;
    }
    struct svg_scatter chart = {.label = "Speed-up reached against what the lengths allow",
                                .x_name = "speed-up that the lengths allow",
                                .y_name = "speed-up reached",
                                .x = x,
                                .y = y,
                                .names = names,
                                .n = run->n_questions,
                                .lines = lines,
                                .n_lines = 2,
                                .reference = 1};
    text_string(out, "<div><h4>Reached of what lengths allow</h4>");
    report_figure_begin(out);
    svg_scatter(out, &chart);
    report_figure_end(out, "One dot a question. The lengths allow normal tokens ÷ (skeleton "
                           "tokens + longest expansion); the paper's engine reaches 60% to 95%.");
    text_string(out, "</div>");
    free(x);
    free(y);
    free(names);
}

static void points_plot(struct text *out, const struct report_run *run)
{
    double *x = grow(NULL, (run->n_questions + 1) * sizeof *x);
    double *y = grow(NULL, (run->n_questions + 1) * sizeof *y);
    double *mean_x = grow(NULL, (run->n_groups + 1) * sizeof *mean_x);
    double *mean_y = grow(NULL, (run->n_groups + 1) * sizeof *mean_y);
    for (size_t i = 0; i < run->n_questions; i++) {
        const struct record *record = run->questions[i].records[MODE_SOT];
        int has_points = record && record->stages[STAGE_SKELETON].decode_tokens > 0;
        x[i] = has_points ? (double)record->n_points : NAN;
        y[i] = report_speedup(&run->questions[i], MODE_SOT);
    }
    for (size_t i = 0; i < run->n_groups; i++) {
        mean_x[i] = run->groups[i].n_points;
        mean_y[i] = run->groups[i].speedup;
    }
    struct svg_scatter chart = {.label = "Speed-up by number of points",
                                .x_name = "points of the skeleton",
                                .y_name = "speed-up of SoT",
                                .x = x,
                                .y = y,
                                .n = run->n_questions,
                                .mean_x = mean_x,
                                .mean_y = mean_y,
                                .n_means = run->n_groups,
                                .reference = 1};
    text_string(out, "<div><h4>By number of points (Fig. 40)</h4>");
    report_figure_begin(out);
    svg_scatter(out, &chart);
    report_figure_end(out, "One dot a question; the line joins the means.");
    text_string(out, "</div>");
    free(x);
    free(y);
    free(mean_x);
    free(mean_y);
}

void report_speed(struct text *out, const struct report_run *run)
{
    report_heading(out, "Speed-up by category",
                   is_vicuna(run) ? "The paper's Fig. 2b for SoT, Figs. 18 and 19 for SoT-R."
                                  : "The paper's Fig. 2b for SoT, Figs. 20 and 21 for SoT-R, "
                                    "whose numbers are for other questions.");
    speed_plot(out, run);
    speed_table(out, run);
    text_string(out, "<div class=\"panels\">");
    bound_plot(out, run);
    points_plot(out, run);
    text_string(out, "</div>\n");
}

static void model_row(struct text *out, const char *name, const struct paper_model *model, int own)
{
    const char *css = own ? "" : "paper";
    text_string(out, own ? "<tr class=\"own\">" : "<tr>");
    html_row_head(out, name);
    html_cell(out, model->sot, 2, css);
    html_cell(out, model->measured, 2, css);
    html_cell(out, model->prompting, 2, css);
    html_cell(out, model->trained, 2, css);
    text_string(out, "</tr>\n");
}

/* The run among the paper's models. Its router is not known here: its SoT-R stands in both columns
 * of SoT-R. */
void report_models(struct text *out, const struct report_run *run)
{
    const char *own_name =
        json_string_value(json_object_get(json_object_get(run->facts, "model"), "name"));
    const struct report_row *average = report_average(run);
    const struct paper_model own = {own_name && own_name[0] ? own_name : "this run", NAN,
                                    average->sot.speedup_mean, average->routed.speedup_mean,
                                    average->routed.speedup_mean};
    report_heading(
        out, "Beside the paper's models",
        "Means over the categories. The paper's run is on an A100 with Hugging Face "
        "Transformers, FP16, on Vicuna-80; its column SoT is worked out from latency "
        "tables (Fig. 2a), the others are what the pipeline takes (Figs. 14a, 15a, 15b). "
        "This run's model, questions and machine are its own.");
    text_string(out, "<div class=\"scroll\"><table class=\"models\"><thead><tr><th>model</th>"
                     "<th class=\"n paper\">SoT<br>from tables</th><th class=\"n\">SoT<br>measured"
                     "</th><th class=\"n\">SoT-R<br>prompting</th><th class=\"n\">SoT-R<br>trained"
                     "</th></tr></thead><tbody>\n");
    int is_shown = 0;
    for (size_t i = 0; i < paper_models_count; i++) {
        if (!is_shown && !(own.measured > paper_models[i].sot)) {
            model_row(out, own.name, &own, 1);
            is_shown = 1;
        }
        model_row(out, paper_models[i].name, &paper_models[i], 0);
    }
    if (!is_shown)
        model_row(out, own.name, &own, 1);
    text_string(out, "</tbody></table></div>\n");
}

enum { N_PARTS = 2 * N_STAGES + 1 };

void report_latency(struct text *out, const struct report_run *run)
{
    static const char *const parts[] = {
        "normal: prefill",  "normal: decode",     "skeleton: prefill",
        "skeleton: decode", "expansion: prefill", "expansion: decode",
        "router: prefill",  "router: decode",     "rest"};
    static const char *const css[] = {"q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8"};
    _Static_assert(sizeof parts / sizeof *parts == N_PARTS, "every part has a name");
    _Static_assert(sizeof css / sizeof *css == N_PARTS, "every part has a colour");
    size_t n_bars = run->n_of_mode[MODE_ROUTED] ? 3 : 2;
    const char **names = grow(NULL, (run->n_categories + 1) * sizeof(*names));
    double *values = grow(NULL, (run->n_categories + 1) * n_bars * N_PARTS * sizeof *values);
    double *value = values;
    size_t n_rows = report_row_names(run, names);
    if (n_rows > run->n_categories)
        names[run->n_categories] = "all questions";
    for (size_t i = 0; i < n_rows; i++)
        for (size_t mode = 0; mode < n_bars; mode++) {
            const struct report_time *time = &run->rows[i].times[mode];
            for (size_t stage = 0; stage < N_STAGES; stage++) {
                *value++ = time->prefill[stage];
                *value++ = time->decode[stage];
            }
            *value++ = time->rest;
        }
    struct svg_stacks chart = {.label = "Where the time goes, by category",
                               .rows = names,
                               .n_rows = n_rows,
                               .n_bars = n_bars,
                               .n_parts = N_PARTS,
                               .bars = mode_titles,
                               .parts = parts,
                               .css = css,
                               .values = values,
                               .unit = " s",
                               .decimals = 3,
                               .width = WIDE};
    report_heading(out, "Where the time goes",
                   "The paper's Fig. 12: mean latency of an answer, by stage and phase.");
    report_figure_begin(out);
    svg_stacks(out, &chart);
    for (size_t i = 0; i < N_PARTS; i++)
        report_key(out, css[i], parts[i]);
    report_figure_end(out, "Rest: what is in no phase.");
    free(names);
    free(values);
}
