/* Points and lengths by category, the paper's Fig. 11: see report_page.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "paper.h"
#include "report_page.h"
#include "svg.h"

enum { NARROW = 440 };

/* Fig. 11a to 11f: a member of category_statistics and the paper's of fig11_row. */
static const struct figure {
    const char *title, *head;
    size_t own, paper;
    int decimals;
} figures[] = {
    {"(a) points", "points", offsetof(struct category_statistics, points),
     offsetof(struct fig11_row, points), 1},
    {"(b) tokens of the normal answer", "normal<br>tokens",
     offsetof(struct category_statistics, normal_tokens), offsetof(struct fig11_row, normal), 1},
    {"(c) tokens of the longest point", "longest<br>point",
     offsetof(struct category_statistics, longest_point), offsetof(struct fig11_row, longest), 1},
    {"(d) longest point ÷ normal answer", "longest ÷<br>normal",
     offsetof(struct category_statistics, longest_over_normal),
     offsetof(struct fig11_row, longest_normal), 2},
    {"(e) imbalance: standard deviation of a point's tokens", "standard<br>deviation",
     offsetof(struct category_statistics, balance), offsetof(struct fig11_row, deviation), 1},
    {"(f) SoT answer ÷ normal answer, tokens", "SoT ÷<br>normal",
     offsetof(struct category_statistics, answer_over_normal),
     offsetof(struct fig11_row, sot_normal), 2},
};
enum { N_FIGURES = sizeof figures / sizeof *figures };

static double own_value(const struct report_row *row, const struct figure *figure)
{
    double value;
    memcpy(&value, (const char *)&row->sot + figure->own, sizeof value);
    return value;
}

static double paper_value(const char *model, const char *category, const struct figure *figure)
{
    double value = NAN;
    const struct fig11_row *row = fig11_find(model, category);
    if (row)
        memcpy(&value, (const char *)row + figure->paper, sizeof value);
    return value;
}

static void panel(struct text *out, const struct report_run *run, const struct figure *figure,
                  const struct report_look *look)
{
    size_t n_most = run->n_categories + 1;
    const char **names = grow(NULL, n_most * sizeof(*names));
    double *own = grow(NULL, 4 * n_most * sizeof *own);
    double *paper = own + n_most;
    double *low = paper + n_most;
    double *high = low + n_most;
    size_t n = report_row_names(run, names);
    for (size_t i = 0; i < n; i++) {
        own[i] = own_value(&run->rows[i], figure);
        paper[i] = paper_value(look->paper_model, run->rows[i].name, figure);
        paper_lengths_range(run->rows[i].name, figure->paper, &low[i], &high[i]);
    }
    int has_paper = run->data && strcmp(run->data, "vicuna80") == 0;
    struct svg_series series = {"this run", "c0", own};
    struct svg_bars chart = {.label = figure->title,
                             .rows = names,
                             .n_rows = n,
                             .i_strong = run->n_categories,
                             .series = &series,
                             .n_series = 1,
                             .paper = has_paper ? paper : NULL,
                             .paper_low = has_paper ? low : NULL,
                             .paper_high = has_paper ? high : NULL,
                             .reference = NAN,
                             .decimals = figure->decimals,
                             .unit = "",
                             .width = NARROW};
    text_string(out, "<div><h4>");
    html_string(out, figure->title);
    text_string(out, "</h4><figure>");
    svg_bars(out, &chart);
    text_string(out, "</figure></div>");
    free(names);
    free(own);
}

static void table_row(struct text *out, const struct report_run *run, const struct report_row *row,
                      const struct report_look *look, int has_paper)
{
    int is_category = row < report_average(run);
    text_string(out, is_category ? "<tr>" : "<tr class=\"sum\">");
    html_row_head(out, row->name);
    if (row == report_average(run))
        text_string(out, "<td class=\"n\"></td>");
    else
        html_count_cell(out, row->sot.n_sot, "");
    for (size_t k = 0; k < N_FIGURES; k++) {
        html_cell(out, own_value(row, &figures[k]), figures[k].decimals, "");
        if (has_paper)
            html_cell(out, paper_value(look->paper_model, row->name, &figures[k]), 1, "paper");
    }
    html_cell(out, row->sot.skeleton_tokens, 1, "");
    text_string(out, "</tr>\n");
}

static void table(struct text *out, const struct report_run *run, const struct report_look *look,
                  int has_paper)
{
    text_string(out, "<div class=\"scroll\"><table class=\"lengths\"><thead><tr>"
                     "<th rowspan=\"2\">category</th><th class=\"n\" rowspan=\"2\">SoT<br>answers"
                     "</th>");
    for (size_t k = 0; k < N_FIGURES; k++)
        text_format(out, "<th class=\"group\" colspan=\"%d\">%s</th>", has_paper ? 2 : 1,
                    figures[k].head);
    text_string(out, "<th class=\"n\" rowspan=\"2\">skeleton<br>tokens</th></tr><tr>");
    for (size_t k = 0; k < N_FIGURES; k++) {
        text_string(out, "<th class=\"n\">run</th>");
        if (has_paper)
            text_string(out, "<th class=\"n paper\">paper</th>");
    }
    text_string(out, "</tr></thead><tbody>\n");
    for (size_t i = 0; i < run->n_categories + 2; i++)
        table_row(out, run, &run->rows[i], look, has_paper);
    text_string(out, "</tbody></table></div>\n");
}

void report_lengths(struct text *out, const struct report_run *run, const struct report_look *look)
{
    int has_paper = run->data && strcmp(run->data, "vicuna80") == 0;
    report_heading(out, "Points and lengths",
                   has_paper ? "The paper's Fig. 11. The average is the mean over the categories."
                             : "What the paper's Fig. 11 shows of Vicuna-80; its numbers are for "
                               "other questions. The average is the mean over the categories.");
    text_string(out, "<div class=\"panels\">");
    for (size_t k = 0; k < N_FIGURES; k++)
        panel(out, run, &figures[k], look);
    text_string(out, "</div>\n<p>");
    report_key(out, "c0", "this run");
    if (has_paper) {
        text_string(out, "<span class=\"key\"><u class=\"diamond\"></u>paper, ");
        html_string(out, look->paper_model);
        text_string(out, "; the line spans its 12 models</span>");
    }
    text_string(out, "</p>\n");
    table(out, run, look, has_paper);
}
