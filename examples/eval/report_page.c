/* The page as a whole, what was run, and the numbers at its top: see report_page.h. */
#include "report_page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "paper.h"

void report_heading(struct text *out, const char *title, const char *paragraph)
{
    text_string(out, "<h3>");
    html_string(out, title);
    text_format(out, "</h3>\n<p class=\"dim\">%s</p>\n", paragraph);
}

void report_figure_begin(struct text *out)
{
    text_string(out, "<figure>");
}

void report_figure_end(struct text *out, const char *caption)
{
    text_format(out, "<figcaption>%s</figcaption></figure>\n", caption);
}

void report_key(struct text *out, const char *css, const char *name)
{
    text_format(out, "<span class=\"key\"><u class=\"%s\"></u>", css);
    html_string(out, name);
    text_string(out, "</span>");
}

size_t report_row_names(const struct report_run *run, const char **names)
{
    size_t n = run->n_categories > 1 ? run->n_categories + 1 : run->n_categories;
    for (size_t i = 0; i < n; i++)
        names[i] = run->rows[i].name;
    return n;
}

static const char *data_title(const struct report_run *run)
{
    const char *file =
        json_string_value(json_object_get(json_object_get(run->facts, "questions"), "file"));
    if (run->data && strcmp(run->data, "vicuna80") == 0)
        return "Vicuna-80";
    if (run->data)
        return "WizardLM";
    return file ? file : "";
}

/* A row of "what was run": the value at object[member], or nothing where there is none. */
static void fact(struct text *out, const char *name, const json_t *object, const char *member)
{
    const json_t *value = json_object_get(object, member);
    if (!value || json_is_null(value) || json_is_object(value) || json_is_array(value))
        return;
    text_string(out, "<tr><th scope=\"row\">");
    html_string(out, name);
    text_string(out, "</th><td>");
    if (json_is_string(value)) {
        html_text(out, json_string_value(value), json_string_length(value));
    } else {
        char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        html_string(out, dumped ? dumped : "");
        free(dumped);
    }
    text_string(out, "</td></tr>\n");
}

static void facts(struct text *out, const struct report_run *run)
{
    const json_t *model = json_object_get(run->facts, "model");
    const json_t *session = json_object_get(run->facts, "session");
    const json_t *machine = json_object_get(run->facts, "machine");
    report_heading(out, "What was run", "From the run's run.json, which is below in full.");
    text_string(out, "<table class=\"facts\"><tbody>\n");
    fact(out, "model", model, "name");
    fact(out, "parameters", model, "n_parameters");
    fact(out, "device", model, "device");
    fact(out, "conversation template", model, "conversation");
    fact(out, "processor", machine, "cpu");
    fact(out, "system", machine, "system");
    fact(out, "threads", session, "threads");
    fact(out, "instruction set", session, "isa");
    fact(out, "context, tokens", session, "ctx");
    fact(out, "questions", json_object_get(run->facts, "questions"), "file");
    fact(out, "begun", run->facts, "created");
    fact(out, "program", run->facts, "program");
    fact(out, "version", run->facts, "version");
    text_format(out, "<tr><th scope=\"row\">answers</th><td>%zu questions: ", run->n_questions);
    for (unsigned mode = 0; mode < N_MODES; mode++)
        text_format(out, "%s%zu %s", mode ? ", " : "", run->n_of_mode[mode], mode_titles[mode]);
    if (run->records.n_torn)
        text_string(out, "; the last record is incomplete and left out");
    text_string(out, "</td></tr>\n</tbody></table>\n<details><summary>run.json</summary><pre>");
    char *dumped = json_dumps(run->facts, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    html_string(out, dumped ? dumped : "");
    free(dumped);
    text_string(out, "</pre></details>\n");
}

static void tile(struct text *out, double value, int decimals, const char *unit, const char *name,
                 const char *paper)
{
    if (!isfinite(value))
        return;
    text_format(out, "<div class=\"tile\"><b>%.*f%s</b><span>%s</span><i>%s</i></div>\n", decimals,
                value, unit, name, paper);
}

static void tiles(struct text *out, const struct report_run *run)
{
    const struct report_row *average = report_average(run);
    const struct report_row *all = report_all(run);
    const struct routing *routing = &run->routing;
    double right = (double)(routing->tp + routing->tn);
    double judged = right + (double)(routing->fp + routing->fn);
    int is_vicuna = run->data && strcmp(run->data, "vicuna80") == 0;
    int is_wizard = run->data && !is_vicuna;
    text_string(out, "<div class=\"tiles\">\n");
    tile(out, average->sot.speedup_mean, 2, "×", "speed-up of SoT, mean over categories",
         "paper: 2.01× on Vicuna-80 (Fig. 2)");
    tile(out, all->sot.bound, 2, "×", "is what the lengths allow", "");
    tile(out, 100 * all->sot.speedup / all->sot.bound, 0, "%", "of that is reached",
         "paper: 60% to 95%");
    tile(out, average->routed.speedup_mean, 2, "×", "speed-up of SoT-R, mean over categories",
         is_vicuna ? "paper: 0.98× to 1.82× (Fig. 15)" : "");
    tile(out, average->sot.points, 1, "", "points a skeleton",
         is_vicuna ? "paper: 6.8 (Fig. 11a)" : "");
    tile(out, all->routed.n_compared ? all->routed.memory : all->sot.memory, 3, "×",
         all->routed.n_compared ? "peak memory of SoT-R over normal"
                                : "peak memory of SoT over normal",
         "paper: at most 1.11×");
    if (judged > 0)
        tile(out, right / judged, 3, "", "of the router's decisions are a human's",
             is_vicuna   ? "paper, RoBERTa: 0.863 (Table 3)"
             : is_wizard ? "paper, RoBERTa: 0.743 (Table 4)"
                         : "");
    text_string(out, "</div>\n");
}

static void one_run(struct text *out, const struct report_run *run, size_t i,
                    const struct report_look *look)
{
    text_format(out, "<section id=\"run%zu\">\n<h2>", i + 1);
    html_string(out, data_title(run));
    text_string(out, " <span class=\"dim\">");
    html_string(out, run->path);
    text_string(out, "</span></h2>\n");
    tiles(out, run);
    facts(out, run);
    if (run->n_of_mode[MODE_SOT]) {
        report_speed(out, run);
        report_models(out, run);
        report_latency(out, run);
        report_lengths(out, run, look);
    }
    report_router(out, run);
    if (run->n_of_mode[MODE_SOT])
        report_memory(out, run);
    report_remarks(out, run);
    if (look->with_questions)
        report_questions(out, run);
    text_string(out, "</section>\n");
}

void report_page(struct text *out, const struct report_run *runs, size_t n_runs,
                 const struct report_look *look)
{
    text_string(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<title>Skeleton-of-Thought: evaluation</title>\n");
    report_style(out);
    text_string(out, "</head>\n<body>\n<header><h1>Skeleton-of-Thought: evaluation</h1>\n"
                     "<p class=\"dim\">Normal generation, SoT and SoT-R on the same questions, "
                     "beside the paper's numbers (Ning et al., ICLR 2024, arXiv 2307.15337v3), "
                     "which are in this colour: <span style=\"color:var(--paper)\">paper</span>."
                     "</p></header>\n");
    if (n_runs > 1) {
        text_string(out, "<nav><ul>");
        for (size_t i = 0; i < n_runs; i++) {
            text_format(out, "<li><a href=\"#run%zu\">", i + 1);
            html_string(out, data_title(&runs[i]));
            text_string(out, " <span class=\"dim\">");
            html_string(out, runs[i].path);
            text_string(out, "</span></a></li>");
        }
        text_string(out, "</ul></nav>\n");
    }
    text_string(out, "<main>\n");
    for (size_t i = 0; i < n_runs; i++)
        one_run(out, &runs[i], i, look);
    text_string(out, "</main>\n</body>\n</html>\n");
}
