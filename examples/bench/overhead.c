/* Counting by the real pipeline: see overhead.h. Each wording has a session that is asked all
 * questions in turn, behind one of the program's that is not counted. Beside it every question is
 * asked in a new session, and its second stage alone in another new one: that is the first
 * question's cost, the paper's way, and the proof that expansions do not depend on pages. */
#include "overhead.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/interrupt.h"
#include "../shared/text.h"
#include "bench_options.h"
#include "overhead_texts.h"
#include "progress.h"

enum { STAGE_NORMAL, STAGE_SKELETON, STAGE_EXPAND };

static const struct {
    const char *name, *wording;
} rows[N_ROWS] = {
    [ROW_NAIVE] = {"nothing shared", "two-shot"},
    [ROW_PAPER] = {"the paper's way", "two-shot"},
    [ROW_TWO_SHOT] = {"two-shot (default)", "two-shot"},
    [ROW_ZERO_SHOT] = {"zero-shot", "zero-shot"},
    [ROW_COMPACT] = {"compact", "compact"},
    [ROW_CHAINED] = {"chained", "chained"},
};

/* One question with the skeleton that its answer gets. */
struct asked {
    const char *question;
    struct text skeleton;
};

struct counting {
    const struct overhead_setting *setting;
    const struct question_list *questions;
    struct asked *asked; /* (questions->n), and behind them the one that is not counted */
    struct overhead *overhead;
};

const char *overhead_row_name(unsigned row)
{
    return rows[row].name;
}

const char *overhead_row_wording(unsigned row)
{
    return rows[row].wording;
}

static int failed(sot_status status)
{
    if (interrupt_seen()) {
        complain("interrupted; nothing was counted to the end");
        return EXIT_INTERRUPTED;
    }
    return exit_code_of(status);
}

/* ---- Asking ------------------------------------------------------------------------------------
 */

static sot_generate_params params_of(const struct counting *counting, const char *wording)
{
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.mode = SOT_MODE_SOT;
    params.conversation = counting->setting->conversation;
    params.wording = wording;
    params.flags = SOT_GENERATE_IGNORE_STOPS;
    params.max_point_tokens = counting->setting->n_point_tokens;
    return params;
}

static int open_session(const struct counting *counting, sot_session **session)
{
    sot_status status =
        sot_session_create(counting->setting->model, &counting->setting->session, session);
    if (status != SOT_OK)
        return exit_code_of(status);
    interrupt_session(*session);
    return interrupt_seen() ? failed(SOT_ERR_CANCELLED) : -1;
}

static void close_session(sot_session *session)
{
    interrupt_session(NULL);
    sot_session_free(session);
}

/* The whole of a question, its skeleton given. */
static int ask(const struct counting *counting, sot_session *session, const char *wording, size_t i,
               sot_answer **answer)
{
    const struct asked *asked = &counting->asked[i];
    sot_generate_params params = params_of(counting, wording);
    /* Without a partial answer the model begins the skeleton itself. */
    int whole = strcmp(wording, "zero-shot") == 0;
    params.forced_skeleton =
        whole ? asked->skeleton.bytes : overhead_behind_partial(&asked->skeleton);
    sot_status status = sot_generate(session, asked->question, &params, answer);
    return status == SOT_OK ? -1 : failed(status);
}

static int ask_stage2(const struct counting *counting, sot_session *session, const char *wording,
                      size_t i, const sot_points *points, sot_answer **answer)
{
    sot_generate_params params = params_of(counting, wording);
    sot_status status =
        sot_expand_batch(session, counting->asked[i].question, points, &params, answer);
    return status == SOT_OK ? -1 : failed(status);
}

static sot_stats stats_of(const sot_answer *answer)
{
    sot_stats stats = SOT_STATS_INIT;
    sot_answer_get_stats(answer, &stats);
    return stats;
}

/* ---- Comparing ---------------------------------------------------------------------------------
 */

static int same_expansion(const sot_answer *a, const sot_answer *b, size_t i)
{
    return sot_answer_point_size(a, i) == sot_answer_point_size(b, i) &&
           sot_answer_point_tokens(a, i) == sot_answer_point_tokens(b, i) &&
           memcmp(sot_answer_point(a, i), sot_answer_point(b, i), sot_answer_point_size(a, i)) == 0;
}

static int compare(struct counting *counting, const char *wording, size_t i_question,
                   const sot_answer *first, const sot_answer *other)
{
    size_t n = sot_answer_point_count(first);
    for (size_t i = 0; i < n; i++) {
        if (sot_answer_point_count(other) != n || !same_expansion(first, other, i)) {
            complain("%s: question %lld, point %zu: the expansion depends on what was in pages",
                     wording, (long long)counting->questions->questions[i_question].id, i + 1);
            return EXIT_FAILED;
        }
        counting->overhead->n_compared++;
    }
    return -1;
}

/* ---- Counting ----------------------------------------------------------------------------------
 */

/* A question in a session of its own, and its stage 2 in another one. Leaves the first answer. */
static int count_apart(struct counting *counting, unsigned row, size_t i, sot_answer **answer)
{
    const char *wording = rows[row].wording;
    struct overhead_row *all = counting->overhead->rows;
    sot_session *session = NULL;
    sot_answer *alone = NULL;
    int code = open_session(counting, &session);
    if (code < 0)
        code = ask(counting, session, wording, i, answer);
    close_session(session);
    session = NULL;
    if (code < 0)
        code = open_session(counting, &session);
    if (code < 0)
        code = ask_stage2(counting, session, wording, i, sot_answer_points(*answer), &alone);
    close_session(session);
    if (code < 0)
        code = compare(counting, wording, i, *answer, alone);
    if (code < 0) {
        sot_stats stats = stats_of(*answer);
        sot_stats alone_stats = stats_of(alone);
        all[row].first_stage1 += stats.prefill_tokens[STAGE_SKELETON];
        all[row].first_stage2 += stats.prefill_tokens[STAGE_EXPAND];
        if (row == ROW_TWO_SHOT) {
            all[ROW_PAPER].stage1 += stats.prefill_tokens[STAGE_SKELETON];
            all[ROW_PAPER].stage2 += alone_stats.prefill_tokens[STAGE_EXPAND];
            all[ROW_NAIVE].stage1 +=
                stats.prefill_tokens[STAGE_SKELETON] + stats.reused_tokens[STAGE_SKELETON];
            all[ROW_NAIVE].stage2 +=
                stats.prefill_tokens[STAGE_EXPAND] + stats.reused_tokens[STAGE_EXPAND];
            counting->overhead->n_points += stats.n_points;
            counting->overhead->n_skeleton_tokens += stats.decode_tokens[STAGE_SKELETON];
        }
    }
    sot_answer_free(alone);
    return code;
}

static int count_question(struct counting *counting, sot_session *session, unsigned row, size_t i)
{
    const char *wording = rows[row].wording;
    sot_answer *apart = NULL;
    sot_answer *later = NULL;
    progress_say("%s: question %zu of %zu", wording, i + 1, counting->questions->n);
    int code = count_apart(counting, row, i, &apart);
    interrupt_session(session);
    if (code < 0)
        code = ask(counting, session, wording, i, &later);
    if (code < 0)
        code = compare(counting, wording, i, apart, later);
    if (code < 0) {
        sot_stats stats = stats_of(later);
        counting->overhead->rows[row].stage1 += stats.prefill_tokens[STAGE_SKELETON];
        counting->overhead->rows[row].stage2 += stats.prefill_tokens[STAGE_EXPAND];
    }
    sot_answer_free(apart);
    sot_answer_free(later);
    return code;
}

static int count_wording(struct counting *counting, unsigned row)
{
    sot_session *session = NULL;
    sot_answer *before = NULL;
    size_t n = counting->questions->n;
    int code = open_session(counting, &session);
    if (code < 0)
        code = ask(counting, session, rows[row].wording, n, &before);
    sot_answer_free(before);
    for (size_t i = 0; i < n && code < 0; i++)
        code = count_question(counting, session, row, i);
    close_session(session);
    return code;
}

static int count_normal(struct counting *counting)
{
    sot_session *session = NULL;
    int code = open_session(counting, &session);
    for (size_t i = 0; i < counting->questions->n && code < 0; i++) {
        sot_generate_params params = params_of(counting, NULL);
        sot_answer *answer = NULL;
        params.mode = SOT_MODE_NORMAL;
        params.max_tokens = 1;
        sot_status status = sot_generate(session, counting->asked[i].question, &params, &answer);
        if (status == SOT_OK) {
            sot_stats stats = stats_of(answer);
            counting->overhead->normal +=
                stats.prefill_tokens[STAGE_NORMAL] + stats.reused_tokens[STAGE_NORMAL];
        } else {
            code = failed(status);
        }
        sot_answer_free(answer);
    }
    close_session(session);
    return code;
}

/* Each category's questions are numbered by themselves. */
static void prepare(struct counting *counting)
{
    const struct question_list *list = counting->questions;
    counting->asked = grow(NULL, (list->n + 1) * sizeof *counting->asked);
    counting->asked[list->n] = (struct asked){.question = "Why is the sky blue?"};
    overhead_skeleton((uint32_t)list->n, 3, &counting->asked[list->n].skeleton);
    for (size_t i = 0; i < list->n; i++) {
        uint32_t i_in_category = 0;
        for (size_t k = 0; k < i; k++)
            i_in_category += strcmp(list->questions[k].category, list->questions[i].category) == 0;
        uint32_t n_points = overhead_points(counting->setting->lengths_model,
                                            list->questions[i].category, i_in_category);
        counting->asked[i] = (struct asked){.question = list->questions[i].text};
        overhead_skeleton((uint32_t)i, n_points, &counting->asked[i].skeleton);
    }
}

int overhead_measure(struct overhead *overhead, const struct overhead_setting *setting,
                     const struct question_list *questions)
{
    struct counting counting = {.setting = setting, .questions = questions, .overhead = overhead};
    *overhead = (struct overhead){.n_questions = (uint32_t)questions->n};
    prepare(&counting);
    int code = count_normal(&counting);
    for (unsigned row = ROW_TWO_SHOT; row < N_ROWS && code < 0; row++)
        code = count_wording(&counting, row);
    progress_clear();
    for (size_t i = 0; i <= questions->n; i++)
        text_free(&counting.asked[i].skeleton);
    free(counting.asked);
    return code;
}
