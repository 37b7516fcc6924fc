/* Running the replay: see replay.h. Each run has a session of its own for the normal answer and one
 * for SoT, which is asked twice: the second time the templates' pages are there. */
#include "replay.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/interrupt.h"
#include "../shared/machine.h"
#include "../shared/text.h"
#include "findings.h"
#include "progress.h"
#include "stand_in.h"

enum { PAGE_TOKENS = 16, SLACK_TOKENS = 64, PHASE_TOKENS = 288 };

/* A new session's threads begin on the CPU that made them, and the system moves them apart when it
 * next looks, which can take longer than a small model's skeleton. */
#define SETTLING_NS 30000000

/* Two questions and two skeletons of 3 to 5 words a point, for the paper's own templates. */
static const char *const plain_questions[2] = {"How can I improve my time management skills?",
                                               "What are the main causes of traffic jams?"};

struct run {
    struct replay *replay;
    sot_model *model;
    sot_session_params session_params;
    struct stand_in stand_in;
    sot_prompts prompts;
    sot_conversation bare; /* nothing around the prompts */
    const char *questions[2];
    struct text outlines[2];
    size_t i_run;
    struct cuda_device *device; /* NULL: none */
};

/* ---- Preparing ---------------------------------------------------------------------------------
 */

static void write_plain_outline(struct text *outline, uint32_t n_points, size_t begin)
{
    static const char *const points[] = {"Set clear daily goals", "Learn to say no",
                                         "Use a simple calendar", "Take short regular breaks",
                                         "Group similar small tasks"};
    enum { N_POINTS = sizeof points / sizeof *points };
    for (uint32_t i = 0; i < n_points; i++)
        text_format(outline, " %u. %s.\n", i + 1, points[(begin + i) % N_POINTS]);
}

static sot_status prepare_texts(struct run *run)
{
    const struct lengths *lengths = &run->replay->lengths;
    run->bare = (sot_conversation)SOT_CONVERSATION_INIT;
    run->prompts = (sot_prompts)SOT_PROMPTS_INIT;
    sot_status status = SOT_OK;
    if (!run->replay->paper_prompts)
        status = stand_in_make(&run->stand_in, run->model, lengths);
    for (size_t i = 0; i < 2 && status == SOT_OK; i++) {
        if (run->replay->paper_prompts) {
            run->questions[i] = plain_questions[i];
            write_plain_outline(&run->outlines[i], lengths->n_points, i);
        } else {
            run->questions[i] = run->stand_in.questions[i].bytes;
            text_string(&run->outlines[i], run->stand_in.outlines[i].bytes);
        }
    }
    run->prompts.skeleton = run->stand_in.skeleton.bytes;
    run->prompts.point = run->stand_in.point.bytes;
    return status;
}

static uint32_t whole_pages(uint32_t n_tokens)
{
    return (n_tokens + PAGE_TOKENS - 1) / PAGE_TOKENS * PAGE_TOKENS;
}

/* Sessions as a program would create them that knows how long its texts get: the pages for them,
 * and no more. */
static void fit_session(struct run *run)
{
    const struct lengths *lengths = &run->replay->lengths;
    uint32_t longest = lengths_longest(lengths);
    uint32_t n_normal = lengths->n_question + lengths->n_normal;
    uint32_t n_skeleton = lengths->n_stage1 + lengths->n_skeleton;
    uint32_t n_point = lengths->n_common + lengths->n_tail + longest;
    uint32_t n_most = n_normal > n_skeleton ? n_normal : n_skeleton;
    run->session_params.max_batch = lengths->n_points;
    if (run->replay->paper_prompts)
        return; /* how long they are depends on the tokenizer: the library's own defaults */
    run->session_params.n_ctx = (n_most > n_point ? n_most : n_point) + SLACK_TOKENS;
    /* Kept beginnings, what the requests have in common, and each request's own. */
    uint32_t n_sot = whole_pages(lengths->n_stage1) + 2 * whole_pages(lengths->n_common);
    for (uint32_t i = 0; i < lengths->n_points; i++)
        n_sot += PAGE_TOKENS + whole_pages(lengths->n_tail + lengths->points[i]);
    uint32_t n_kept = whole_pages(lengths->n_stage1) + whole_pages(n_skeleton);
    n_sot = n_sot > n_kept ? n_sot : n_kept;
    run->session_params.kv_tokens = (n_sot > n_normal ? n_sot : n_normal) + SLACK_TOKENS;
    if (run->replay->at_phase)
        run->session_params.kv_tokens += PHASE_TOKENS * (1 + lengths->n_points);
}

/* ---- Asking ------------------------------------------------------------------------------------
 */

static sot_generate_params base_params(struct run *run)
{
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.flags = SOT_GENERATE_IGNORE_STOPS;
    if (!run->replay->paper_prompts) {
        params.custom_conversation = &run->bare;
        params.prompts = &run->prompts;
    }
    return params;
}

static void keep(struct run *run, unsigned i_phase, const sot_stats *stats, unsigned stage,
                 uint64_t total_ns)
{
    struct replay_phase *phase = &run->replay->phases[i_phase];
    size_t size = (run->i_run + 1) * sizeof(uint64_t);
    phase->total_ns = grow(phase->total_ns, size);
    phase->prefill_ns = grow(phase->prefill_ns, size);
    phase->decode_ns = grow(phase->decode_ns, size);
    phase->total_ns[run->i_run] = total_ns;
    phase->prefill_ns[run->i_run] = stats->prefill_ns[stage];
    phase->decode_ns[run->i_run] = stats->decode_ns[stage];
    phase->n_prompt = stats->prefill_tokens[stage];
    phase->n_reused = stats->reused_tokens[stage];
    phase->n_tokens = stats->decode_tokens[stage];
    phase->n_steps = stats->decode_steps[stage];
    phase->n_rows = stats->max_rows[stage];
}

static void keep_most(uint64_t *most, uint64_t value)
{
    *most = value > *most ? value : *most;
}

static void keep_memory(struct run *run, unsigned is_sot, const sot_stats *stats)
{
    keep_most(&run->replay->page_tokens[is_sot], stats->peak_page_tokens);
    keep_most(&run->replay->session_bytes[is_sot], stats->session_bytes);
}

/* A replay with other lengths than those asked for would be another measurement. */
static int check_count(const char *what, uint64_t count, uint64_t expected)
{
    if (count == expected)
        return -1;
    complain("replay: %s has %llu tokens, not %llu", what, (unsigned long long)count,
             (unsigned long long)expected);
    return EXIT_FAILED;
}

static int failed(sot_status status)
{
    return interrupt_seen() ? EXIT_INTERRUPTED : exit_code_of(status);
}

static int ask_normal(struct run *run, sot_session *session)
{
    sot_generate_params params = base_params(run);
    sot_answer *answer;
    sot_stats stats = SOT_STATS_INIT;
    params.mode = SOT_MODE_NORMAL;
    params.max_tokens = run->replay->lengths.n_normal;
    uint64_t begin = time_ns();
    sot_status status = sot_generate(session, run->questions[0], &params, &answer);
    uint64_t total_ns = time_ns() - begin;
    if (status != SOT_OK) {
        sot_answer_free(answer);
        return failed(status);
    }
    sot_answer_get_stats(answer, &stats);
    sot_answer_free(answer);
    keep(run, PHASE_NORMAL, &stats, 0, total_ns);
    keep_memory(run, 0, &stats);
    return check_count("the normal answer", stats.decode_tokens[0], run->replay->lengths.n_normal);
}

/* Stops a SoT answer where its skeleton is complete: what the model wrote is noise, whose points
 * are not to be expanded. */
static int32_t stop_at_expansion(const sot_event *event, void *user)
{
    uint64_t *end_ns = user;
    if (event->type != SOT_EVENT_STAGE || event->stage != SOT_STAGE_EXPAND)
        return interrupt_seen();
    *end_ns = time_ns();
    return 1;
}

static int ask_skeleton(struct run *run, sot_session *session, unsigned i_question, unsigned phase)
{
    sot_generate_params params = base_params(run);
    sot_answer *answer;
    sot_stats stats = SOT_STATS_INIT;
    uint64_t end = 0;
    params.mode = SOT_MODE_SOT;
    params.max_skeleton_tokens = run->replay->lengths.n_skeleton;
    params.on_event = stop_at_expansion;
    params.event_user = &end;
    uint64_t begin = time_ns();
    sot_status status = sot_generate(session, run->questions[i_question], &params, &answer);
    end = end ? end : time_ns();
    if ((status != SOT_OK && status != SOT_ERR_CANCELLED) || interrupt_seen()) {
        sot_answer_free(answer);
        return failed(status);
    }
    sot_answer_get_stats(answer, &stats);
    sot_answer_free(answer);
    keep(run, phase, &stats, 1, end - begin);
    keep_memory(run, 1, &stats);
    return check_count("the skeleton", stats.decode_tokens[1], run->replay->lengths.n_skeleton);
}

static int check_points(const struct lengths *lengths, const sot_answer *answer)
{
    int code = -1;
    for (uint32_t i = 0; i < lengths->n_points && code < 0; i++)
        code = check_count("an expansion", sot_answer_point_tokens(answer, i), lengths->points[i]);
    return code;
}

static int ask_expansions(struct run *run, sot_session *session, unsigned i_question,
                          unsigned phase)
{
    const struct lengths *lengths = &run->replay->lengths;
    const struct text *outline = &run->outlines[i_question];
    sot_generate_params params = base_params(run);
    sot_points *points;
    sot_answer *answer;
    sot_stats stats = SOT_STATS_INIT;
    params.point_limits = lengths->points;
    params.n_point_limits = lengths->n_points;
    uint64_t begin = time_ns();
    sot_status status = sot_points_parse(outline->bytes, outline->size, POINTS_MOST, &points);
    if (status != SOT_OK)
        return failed(status);
    status = sot_expand_batch(session, run->questions[i_question], points, &params, &answer);
    uint64_t total_ns = time_ns() - begin;
    sot_points_free(points);
    if (status != SOT_OK) {
        sot_answer_free(answer);
        return failed(status);
    }
    sot_answer_get_stats(answer, &stats);
    keep(run, phase, &stats, 2, total_ns);
    keep_memory(run, 1, &stats);
    int code = check_points(lengths, answer);
    sot_answer_free(answer);
    return code;
}

/* ---- Runs --------------------------------------------------------------------------------------
 */

/* Steps until the session's threads have settled. */
static sot_status settle(sot_session *session)
{
    sot_measure_params measure = SOT_MEASURE_PARAMS_INIT;
    uint64_t unused;
    uint64_t begin = time_ns();
    sot_status status = SOT_OK;
    measure.n_repeats = 1;
    while (status == SOT_OK && time_ns() - begin < SETTLING_NS)
        status = sot_session_measure(session, &measure, &unused);
    return status;
}

/* Asks in a new session and notes the most memory that the process had meanwhile. */
static int in_session(struct run *run, unsigned is_sot,
                      int (*ask)(struct run *run, sot_session *session))
{
    sot_session *session;
    int can_measure = run->i_run == 0 && !run->device && memory_peak_reset();
    sot_status status = sot_session_create(run->model, &run->session_params, &session);
    if (status != SOT_OK)
        return exit_code_of(status);
    sot_session_info info = SOT_SESSION_INFO_INIT;
    sot_session_get_info(session, &info);
    run->replay->n_chunk = info.chunk_rows;
    interrupt_session(session);
    int code = -1;
    status = settle(session);
    if (status != SOT_OK)
        code = failed(status);
    if (code < 0)
        code = interrupt_seen() ? EXIT_INTERRUPTED : ask(run, session);
    interrupt_session(NULL);
    if (code < 0 && run->device) /* a session takes nothing more once it is there */
        run->replay->peak_bytes[is_sot] = cuda_device_used_bytes(run->device);
    sot_session_free(session);
    if (code < 0 && can_measure)
        run->replay->peak_bytes[is_sot] = memory_peak();
    return code;
}

static int tell_phase(struct run *run, sot_session *session, unsigned phase)
{
    struct replay *replay = run->replay;
    return replay->at_phase ? replay->at_phase(replay->phase_user, session, phase) : -1;
}

static int ask_normally(struct run *run, sot_session *session)
{
    int code = tell_phase(run, session, PHASE_NORMAL);
    if (code < 0)
        code = ask_normal(run, session);
    return code < 0 ? tell_phase(run, session, AFTER_NORMAL) : code;
}

static int ask_sot(struct run *run, sot_session *session)
{
    int code = -1;
    for (unsigned i = 0; i < 2 && code < 0; i++) {
        unsigned skeleton = i ? PHASE_LATER_SKELETON : PHASE_SKELETON;
        unsigned expand = i ? PHASE_LATER_EXPAND : PHASE_EXPAND;
        code = tell_phase(run, session, skeleton);
        if (code < 0)
            code = ask_skeleton(run, session, i, skeleton);
        if (code < 0)
            code = tell_phase(run, session, expand);
        if (code < 0)
            code = ask_expansions(run, session, i, expand);
    }
    return code < 0 ? tell_phase(run, session, AFTER_SOT) : code;
}

/* A token of each kind of pass: weights are mapped, threads have run. */
static sot_status warm_up(sot_model *model, const sot_session_params *params)
{
    sot_session_params small = *params;
    sot_session *session;
    sot_measure_params measure = SOT_MEASURE_PARAMS_INIT;
    uint64_t unused;
    small.n_ctx = SLACK_TOKENS;
    small.max_batch = 1;
    small.kv_tokens = 2 * SLACK_TOKENS;
    measure.n_repeats = 1;
    sot_status status = sot_session_create(model, &small, &session);
    if (status == SOT_OK)
        status = sot_session_measure(session, &measure, &unused);
    sot_session_free(session);
    return status;
}

/* The probes' memory is given back at once: it is no part of what a run needs. */
static void probe(struct limits *limits)
{
    if (!limits)
        return;
    limits_probe(limits, LIMITS_SHORT_PROBE);
    limits_rest(limits);
}

static int run_all(struct run *run, size_t n_runs, struct limits *limits)
{
    int code = -1;
    for (; run->i_run < n_runs && code < 0; run->i_run++) {
        probe(limits);
        progress_say("replay %zu of %zu: normal answer", run->i_run + 1, n_runs);
        code = in_session(run, 0, ask_normally);
        if (code < 0) {
            probe(limits);
            progress_say("replay %zu of %zu: Skeleton-of-Thought", run->i_run + 1, n_runs);
            code = in_session(run, 1, ask_sot);
        }
        if (code < 0)
            run->replay->n_runs = run->i_run + 1;
    }
    if (code < 0)
        probe(limits);
    return code;
}

int replay_measure(struct replay *replay, sot_model *model, const sot_session_params *params,
                   const struct bench_options *options, struct limits *limits)
{
    struct run run = {.replay = replay,
                      .model = model,
                      .session_params = *params,
                      .device = limits ? limits->device : NULL};
    sot_model_info info = SOT_MODEL_INFO_INIT;
    sot_model_get_info(model, &info);
    if (!info.has_tokenizer) {
        replay->why_not = "the model has no tokenizer";
        return -1;
    }
    replay->paper_prompts = options->paper_prompts;
    sot_status status = prepare_texts(&run);
    if (status == SOT_OK)
        status = warm_up(model, params);
    int code = -1;
    if (status != SOT_OK) {
        code = failed(status);
    } else {
        fit_session(&run);
        code = run_all(&run, options->replay_repeats, limits);
    }
    stand_in_free(&run.stand_in);
    for (size_t i = 0; i < 2; i++)
        text_free(&run.outlines[i]);
    return code;
}

void replay_free(struct replay *replay)
{
    for (size_t i = 0; i < N_PHASES; i++) {
        free(replay->phases[i].total_ns);
        free(replay->phases[i].prefill_ns);
        free(replay->phases[i].decode_ns);
    }
    *replay = (struct replay){0};
}
