/* Questions to the demo model in every way there is of asking, numbered: what is asked, how, and
 * how long the answer may become follow from the number alone. Some questions have characters that
 * the model copies byte by byte. An outcome's hash stands for all texts of an answer. */
#ifndef TESTS_FAULTS_QUESTION_CASE_H
#define TESTS_FAULTS_QUESTION_CASE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "base/utf8.h"
#include "sot/sot.h"

static const char demo_path[] = SOT_SOURCE_DIR "/examples/model/demo.gguf";

enum way { WAY_NORMAL, WAY_SOT, WAY_ROUTED, WAY_AT_ONCE, WAY_CHAT, WAY_STAGES, WAYS };

static const char *const case_questions[] = {
    "How can I improve my chess skills?",
    "How can I improve my 日本語 skills?",
    "What are the benefits and risks of naïve café visits?",
    "How do I take care of a Кошка 🐈?",
    "What are the causes of traffic jams?",
    "What is 17 times 23?",
    "What if everyone ate ラーメン every day?",
    "Write a poem about the sea.",
};

enum { N_QUESTIONS = sizeof case_questions / sizeof *case_questions };

typedef struct question_case {
    enum way way;
    const char *question;
    const char *wording;
    const sot_prompts *prompts; /* go before it; NULL: none */
    float temperature;
    uint64_t seed;
    uint32_t max_tokens, max_skeleton_tokens, max_point_tokens;
} question_case;

static uint32_t case_random(uint64_t number, uint32_t i_draw, uint32_t n)
{
    uint32_t block[4];
    soti_random_block(7, 0, number, block);
    return block[i_draw] % n;
}

static question_case make_case(uint64_t number)
{
    static const char *const wordings[12] = {"two-shot", "chained"}; /* their prompts are long */
    const char *wording = wordings[number / WAYS % 12];
    uint32_t lengths = case_random(number, 2, 1u << 30);
    return (question_case){
        .way = (enum way)(number % WAYS),
        .question = case_questions[case_random(number, 0, N_QUESTIONS)],
        .wording = wording != NULL ? wording : "compact",
        .temperature = number / WAYS % 3 == 2 ? 0.7f : 0.0f,
        .seed = number,
        .max_tokens = 4 + lengths % 17,
        .max_skeleton_tokens = 8 + lengths / 32 % 25,
        .max_point_tokens = 2 + lengths / 1024 % 7,
    };
}

typedef struct outcome {
    sot_status status;
    uint64_t hash;   /* of all texts */
    bool has_answer; /* something was handed out */
    bool is_utf8;    /* all of it */
} outcome;

static void outcome_add(outcome *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        out->hash = (out->hash ^ (unsigned char)text[i]) * 1099511628211u;
    }
    out->hash = (out->hash ^ 256u) * 1099511628211u;
    out->is_utf8 = out->is_utf8 && soti_utf8_find_invalid(text, size) == size;
}

static void outcome_add_answer(outcome *out, sot_answer *answer)
{
    if (answer == NULL) {
        out->has_answer = false;
        return;
    }
    outcome_add(out, sot_answer_text(answer), sot_answer_text_size(answer));
    for (size_t i = 0; i < sot_answer_point_count(answer); i++) {
        outcome_add(out, sot_answer_point(answer, i), sot_answer_point_size(answer, i));
    }
    sot_answer_free(answer);
}

static sot_status ask_in_stages(sot_session *session, const question_case *asked,
                                const sot_generate_params *params, outcome *out)
{
    sot_points *points = NULL;
    sot_status status = sot_skeleton(session, asked->question, params, &points);
    if (points == NULL) {
        out->has_answer = false;
        return status;
    }
    outcome_add(out, sot_points_source(points), sot_points_source_size(points));
    if (status == SOT_OK) {
        sot_answer *answer = NULL;
        status = sot_expand_batch(session, asked->question, points, params, &answer);
        outcome_add_answer(out, answer);
    }
    sot_points_free(points);
    return status;
}

/* Two rounds. */
static sot_status converse(sot_session *session, const question_case *asked,
                           const sot_generate_params *params, outcome *out)
{
    sot_chat *chat = NULL;
    sot_status status = sot_chat_create(NULL, &chat);
    for (uint64_t i = 0; i < 2 && status == SOT_OK; i++) {
        sot_answer *answer = NULL;
        const char *question = case_questions[(asked->seed + i) % N_QUESTIONS];
        status = sot_chat_generate(chat, session, question, params, &answer);
        outcome_add_answer(out, answer);
    }
    sot_chat_free(chat);
    return status;
}

static outcome ask(sot_session *session, const question_case *asked, sot_event_fn on_event,
                   void *user)
{
    outcome out = {.hash = 14695981039346656037u, .has_answer = true, .is_utf8 = true};
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.temperature = asked->temperature;
    params.seed = asked->seed;
    params.max_tokens = asked->max_tokens;
    params.max_skeleton_tokens = asked->max_skeleton_tokens;
    params.max_point_tokens = asked->max_point_tokens;
    params.wording = asked->wording;
    params.prompts = asked->prompts;
    params.on_event = on_event;
    params.event_user = user;
    params.mode = asked->way == WAY_NORMAL ? SOT_MODE_NORMAL
                  : asked->way == WAY_CHAT ? SOT_MODE_NORMAL + asked->seed / WAYS % 2
                  : asked->way == WAY_SOT  ? SOT_MODE_SOT
                                           : SOT_MODE_ROUTED;
    params.flags = asked->way == WAY_AT_ONCE ? SOT_GENERATE_CONCURRENT : 0;
    if (asked->way == WAY_STAGES) {
        params.mode = SOT_MODE_DEFAULT;
        out.status = ask_in_stages(session, asked, &params, &out);
    } else if (asked->way == WAY_CHAT) {
        out.status = converse(session, asked, &params, &out);
    } else {
        sot_answer *answer = NULL;
        out.status = sot_generate(session, asked->question, &params, &answer);
        outcome_add_answer(&out, answer);
    }
    return out;
}

enum { CASE_CONTEXT = 1024, CASE_BATCH = 8, CASE_POOL = 4096 };

static sot_status open_case_session(sot_model *model, sot_session **out)
{
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_threads = 1;
    params.n_ctx = CASE_CONTEXT;
    params.max_batch = CASE_BATCH;
    params.kv_tokens = CASE_POOL;
    return sot_session_create(model, &params, out);
}

/* Memory that is reserved is resident once it has been touched; after this all pages are, so that
 * what grows then has grown. */
static sot_status touch_pages(sot_session *session)
{
    sot_measure_params fill = SOT_MEASURE_PARAMS_INIT;
    uint64_t ns;
    fill.n_sequences = CASE_BATCH;
    fill.n_past = CASE_POOL / CASE_BATCH - 16;
    fill.n_repeats = 1;
    return sot_session_measure(session, &fill, &ns);
}

/* A number of KiB from /proc/self/status: "VmRSS: %ld"; -1: there is none. */
static long process_kib(const char *format)
{
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL &&
           sscanf(line, format, &kib) != 1) {
    }
    if (file != NULL) {
        fclose(file);
    }
    return kib;
}

#endif
