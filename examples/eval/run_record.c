/* Making a record: see run_record.h. Statistics and finishes are named as "sot ask --json" names
 * them, by the same code. */
#include "run_record.h"

#include <ctype.h>
#include <string.h>

#include "../shared/answer_json.h"
#include "../shared/json_values.h"

struct memory_use memory_use_make(const sot_model_info *model, const sot_session_info *session)
{
    struct memory_use use = {.token_bytes = UINT64_C(4) * model->n_layer * model->n_kv *
                                            model->d_head}; /* keys and values, 2 bytes each */
    use.fixed_bytes = 2 * model->n_parameters + session->session_bytes;
    uint64_t page_bytes = use.token_bytes * session->kv_tokens;
    use.fixed_bytes -= page_bytes < session->session_bytes ? page_bytes : session->session_bytes;
    return use;
}

void model_name(struct text *name, const sot_model_info *model, const char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    size_t begin = size;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    if (model->name[0])
        text_string(name, model->name);
    else
        text_append(name, path + begin, size - begin);
    for (char *at = name->bytes; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("._+-", *at))
            *at = '-';
}

static uint32_t tokens_of(const sot_model *model, const char *text, size_t size)
{
    size_t count = 0;
    sot_status status = sot_tokenize(model, text, size, 0, NULL, 0, &count);
    return status == SOT_OK || status == SOT_ERR_CAPACITY ? (uint32_t)count : 0;
}

/* The points of an answer's JSON object under the names they have in a record. */
static json_t *points_of(const json_t *answer)
{
    size_t i;
    const json_t *point;
    json_t *array = json_array();
    json_array_foreach(json_object_get(answer, "points"), i, point)
    {
        json_array_append_new(array, json_pack("{s:O, s:O, s:O, s:O, s:O}", "index",
                                               json_object_get(point, "index"), "outline",
                                               json_object_get(point, "text"), "text",
                                               json_object_get(point, "expansion"), "tokens",
                                               json_object_get(point, "tokens"), "finish",
                                               json_object_get(point, "finish")));
    }
    return array;
}

/* Statistics of an answer that there is not: the same members, all 0. */
static json_t *no_stats(void)
{
    static const char *const stages[] = {"normal", "skeleton", "expand"};
    static const char *const members[] = {"prefill_ns",    "decode_ns",     "prefill_tokens",
                                          "reused_tokens", "decode_tokens", "decode_steps",
                                          "max_rows"};
    json_t *object = json_pack("{s:i}", "total_ns", 0);
    for (size_t i = 0; i < 3; i++) {
        json_t *stage = json_object();
        for (size_t j = 0; j < sizeof members / sizeof *members; j++)
            json_object_set_new(stage, members[j], json_integer(0));
        json_object_set_new(object, stages[i], stage);
    }
    return object;
}

static void set_answer(json_t *object, const sot_model *model, const struct memory_use *memory,
                       const sot_answer *answer)
{
    sot_stats stats = SOT_STATS_INIT;
    sot_answer_get_stats(answer, &stats);
    json_t *made = answer_json(answer);
    json_t *skeleton = json_object_get(json_object_get(made, "skeleton"), "source");
    uint32_t n_tokens = 0;
    for (size_t i = 0; i < sizeof stats.decode_tokens / sizeof *stats.decode_tokens; i++)
        n_tokens += stats.decode_tokens[i];
    uint32_t answer_tokens =
        tokens_of(model, sot_answer_text(answer), sot_answer_text_size(answer));
    json_object_set(object, "ran", json_object_get(made, "mode"));
    json_object_set(object, "finish", json_object_get(made, "finish"));
    json_object_set(object, "answer", json_object_get(made, "text"));
    json_object_set_new(object, "skeleton", skeleton ? json_incref(skeleton) : json_null());
    json_object_set_new(object, "n_tokens", json_integer(n_tokens));
    json_object_set_new(object, "answer_tokens", json_integer(answer_tokens));
    json_object_set_new(object, "points", points_of(made));
    json_object_set_new(object, "points_dropped", json_integer(stats.n_points_dropped));
    if (json_object_get(made, "decision"))
        json_object_set(object, "decision", json_object_get(made, "decision"));
    json_object_set(object, "stats", json_object_get(made, "stats"));
    json_object_set_new(
        object, "peak_bytes",
        json_number((memory->fixed_bytes + memory->token_bytes * stats.peak_page_tokens)));
    json_decref(made);
}

json_t *record_make(const sot_model *model, const struct memory_use *memory,
                    const struct question *question, const char *mode, const char *moment,
                    sot_status status, const sot_answer *answer)
{
    const char *sentence = sot_error_message();
    json_t *object = json_object();
    json_t *error = status == SOT_OK ? json_null() : json_name(sentence);
    json_object_set_new(object, "question_id", json_integer((json_int_t)question->id));
    json_object_set_new(object, "category", json_name(question->category));
    json_object_set_new(object, "difficulty",
                        question->difficulty < 0 ? json_null()
                                                 : json_integer(question->difficulty));
    json_object_set_new(object, "suitable",
                        question->suitable < 0 ? json_null() : json_integer(question->suitable));
    json_object_set_new(object, "mode", json_string(mode));
    json_object_set_new(object, "status", json_string(sot_status_name(status)));
    json_object_set_new(object, "error", error);
    json_object_set_new(object, "question", json_name(question->text));
    json_object_set_new(object, "ran", json_string(mode));
    json_object_set_new(object, "finish",
                        json_string(status == SOT_ERR_CONTEXT_FULL ? "context" : "none"));
    json_object_set_new(object, "answer", json_string(""));
    json_object_set_new(object, "skeleton", json_null());
    json_object_set_new(object, "n_tokens", json_integer(0));
    json_object_set_new(object, "answer_tokens", json_integer(0));
    json_object_set_new(object, "points", json_array());
    json_object_set_new(object, "points_dropped", json_integer(0));
    json_object_set_new(object, "decision", json_null());
    json_object_set_new(object, "stats", no_stats());
    json_object_set_new(object, "peak_bytes", json_number(memory->fixed_bytes));
    json_object_set_new(object, "started", json_string(moment));
    if (answer)
        set_answer(object, model, memory, answer);
    return object;
}
