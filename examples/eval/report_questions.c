/* What went otherwise than it should, and every question with its answers: see report_page.h. */
#include <inttypes.h>
#include <string.h>

#include "html.h"
#include "report_page.h"

enum { REMARK_SIZE = 512 };

static size_t count_remarks(const struct report_run *run)
{
    char remark[REMARK_SIZE];
    size_t n = 0;
    for (size_t i = 0; i < run->records.n; i++)
        n += report_remark(&run->records.records[i], remark, sizeof remark) != 0;
    return n;
}

void report_remarks(struct text *out, const struct report_run *run)
{
    char remark[REMARK_SIZE];
    size_t n = count_remarks(run);
    report_heading(out, "Remarks",
                   "Answers that failed, ended by a limit, or whose skeleton had no points.");
    if (n == 0) {
        text_string(out, "<p>There are none.</p>\n");
        return;
    }
    text_format(out,
                "<details class=\"remarks\"%s><summary>%zu of %zu answers</summary><div "
                "class=\"scroll\"><table><thead><tr><th class=\"n\">question</th><th>category</th>"
                "<th>mode</th><th>remark</th></tr></thead><tbody>\n",
                n <= 20 ? " open" : "", n, run->records.n);
    for (size_t i = 0; i < run->records.n; i++) {
        const struct record *record = &run->records.records[i];
        if (!report_remark(record, remark, sizeof remark))
            continue;
        text_format(out, "<tr><td class=\"n\">%" PRId64 "</td><td>", record->question_id);
        html_string(out, record->category);
        text_string(out, "</td><td>");
        html_string(out, record->mode);
        text_string(out, "</td><td>");
        html_string(out, remark);
        text_string(out, "</td></tr>\n");
    }
    text_string(out, "</tbody></table></div></details>\n");
}

static void add_value(struct text *out, const json_t *object, const char *member)
{
    const json_t *value = json_object_get(object, member);
    if (!value || json_is_null(value))
        return;
    text_format(out, ", %s ", member);
    if (json_is_real(value))
        text_format(out, "%.3f", json_real_value(value));
    else if (json_is_integer(value))
        text_format(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_string(value))
        html_string(out, json_string_value(value));
}

static void answer(struct text *out, const struct record *record, const char *title)
{
    char remark[REMARK_SIZE];
    const json_t *text = json_object_get(record->json, "answer");
    text_format(out, "<h4>%s</h4><p class=\"dim\">%" PRIu32 " tokens, %.3f s, peak %.1f MB", title,
                record->n_tokens, (double)record->total_ns / 1e9, (double)record->peak_bytes / 1e6);
    if (record->decision) {
        text_string(out, "; router chose ");
        html_string(out, record->ran);
        add_value(out, record->decision, "label");
        add_value(out, record->decision, "score");
    }
    if (report_remark(record, remark, sizeof remark)) {
        text_string(out, "; ");
        html_string(out, remark);
    }
    text_string(out, "</p><pre>");
    html_text(out, json_string_value(text), json_string_length(text));
    text_string(out, "</pre>");
    if (record->skeleton) {
        text_format(out,
                    "<details><summary>skeleton, %" PRIu32 " tokens, and %" PRIu32
                    " points</summary><pre>",
                    record->stages[STAGE_SKELETON].decode_tokens, record->n_points);
        html_string(out, record->skeleton);
        text_string(out, "</pre><p class=\"dim\">");
        for (uint32_t i = 0; i < record->n_points; i++)
            text_format(out, "%s%" PRIu32, i ? " + " : "expansions: ", record->points[i].tokens);
        text_string(out, "</p></details>");
    }
    text_string(out, "\n");
}

/* Bytes of the question's beginning that a summary has room for; no character is cut. */
static size_t beginning_of(const char *text)
{
    enum { MOST = 180 };
    size_t size = strlen(text);
    if (size <= MOST)
        return size;
    size = MOST;
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

static void question(struct text *out, const struct report_question *shown)
{
    const struct record *any = shown->any;
    size_t n_shown = beginning_of(any->question);
    int is_cut = any->question[n_shown] != '\0';
    text_format(out, "<details class=\"question\"><summary>%" PRId64 ". ", any->question_id);
    html_text(out, any->question, n_shown);
    text_format(out, "%s <span class=\"dim\">", is_cut ? "…" : "");
    html_string(out, any->category);
    for (unsigned mode = MODE_SOT; mode < N_MODES; mode++)
        if (report_compares(shown, mode) && shown->records[mode]->total_ns) {
            text_format(out, ", %s %.2f×", mode_titles[mode], report_speedup(shown, mode));
        }
    if (any->suitable >= 0)
        text_string(out, any->suitable ? ", suits SoT" : ", does not suit SoT");
    text_string(out, "</span></summary>\n");
    if (is_cut) {
        text_string(out, "<h4>Question</h4><pre>");
        html_string(out, any->question);
        text_string(out, "</pre>");
    }
    for (unsigned mode = 0; mode < N_MODES; mode++)
        if (shown->records[mode])
            answer(out, shown->records[mode], mode_titles[mode]);
    text_string(out, "</details>\n");
}

void report_questions(struct text *out, const struct report_run *run)
{
    report_heading(out, "Questions and answers", "Open a question to read what came of it.");
    for (size_t i = 0; i < run->n_questions; i++)
        question(out, &run->questions[i]);
}
