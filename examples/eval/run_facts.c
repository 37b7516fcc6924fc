/* What a run was made with: see run_facts.h. */
#include "run_facts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../shared/answer_json.h"
#include "../shared/json_values.h"
#include "../shared/text.h"

void moment_now(char moment[MOMENT_SIZE])
{
    time_t now = time(NULL);
    struct tm utc;
    if (!gmtime_r(&now, &utc) || !strftime(moment, MOMENT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc))
        moment[0] = '\0';
}

static json_t *string_json(const char *string)
{
    return string ? json_name(string) : json_null();
}

/* As it was typed: 0.9, not the float next to it. */
static void set_real(json_t *object, const char *member, float value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.7g", (double)value);
    json_object_set_new(object, member, json_real(strtod(digits, NULL)));
}

static json_t *digest_json(uint64_t digest)
{
    return json_sprintf("fnv1a64:%016" PRIx64, digest);
}

/* As in the file, but for members that the library leaves alone. */
static json_t *prompts_json(const sot_prompts *prompts)
{
    json_t *object = json_object();
    json_object_set_new(object, "outline_prompt", string_json(prompts->skeleton));
    json_object_set_new(object, "point_prompt", string_json(prompts->point));
    if (prompts->router)
        json_object_set_new(object, "router_prompt", string_json(prompts->router));
    if (prompts->flags & SOT_PROMPTS_CHAINED)
        json_object_set_new(object, "chained", json_true());
    return object;
}

static json_t *parameters_json(const sot_generate_params *params, const sot_prompts *prompts)
{
    json_t *object = json_object();
    set_real(object, "temperature", params->temperature);
    json_object_set_new(object, "top_k", json_number(params->top_k));
    set_real(object, "top_p", params->top_p);
    set_real(object, "repetition_penalty", params->repetition_penalty);
    json_object_set_new(object, "seed", json_sprintf("%" PRIu64, params->seed));
    json_object_set_new(object, "max_tokens", json_number(params->max_tokens));
    json_object_set_new(object, "max_skeleton_tokens", json_number(params->max_skeleton_tokens));
    json_object_set_new(object, "max_point_tokens", json_number(params->max_point_tokens));
    json_object_set_new(object, "max_points", json_number(params->max_points));
    json_object_set_new(object, "template", string_json(params->conversation));
    json_object_set_new(object, "system", string_json(params->system_message));
    json_object_set_new(object, "wording",
                        string_json(params->wording ? params->wording : "two-shot"));
    json_object_set_new(object, "prompts", prompts ? prompts_json(prompts) : json_null());
    return object;
}

json_t *run_facts_make(const struct run_options *options, const sot_model_info *model,
                       const sot_session_info *session, const struct question_list *questions,
                       const sot_prompts *prompts, const json_t *router)
{
    char moment[MOMENT_SIZE];
    moment_now(moment);
    json_t *object = json_object();
    json_object_set_new(object, "program", json_string("sot-eval"));
    json_object_set_new(object, "version", string_json(sot_version_string()));
    json_object_set_new(object, "created", json_string(moment));
    json_object_set_new(object, "machine", machine_json());
    json_t *made = model_json(model);
    json_object_set_new(made, "path", string_json(options->model));
    json_object_set_new(object, "model", made);
    json_t *reserved = json_object();
    json_object_set_new(reserved, "threads", json_number(session->n_threads));
    json_object_set_new(reserved, "isa", string_json(session->isa));
    json_object_set_new(reserved, "ctx", json_number(session->n_ctx));
    json_object_set_new(reserved, "max_batch", json_number(session->max_batch));
    json_object_set_new(reserved, "kv_tokens", json_number(session->kv_tokens));
    json_object_set_new(object, "session", reserved);
    json_object_set_new(object, "parameters", parameters_json(&options->generate, prompts));
    const char *slash = strrchr(options->questions, '/');
    json_t *file = json_object();
    json_object_set_new(file, "file", string_json(slash ? slash + 1 : options->questions));
    json_object_set_new(file, "digest", digest_json(questions->digest));
    json_object_set_new(object, "questions", file);
    json_object_set_new(object, "router", router ? json_deep_copy(router) : json_null());
    return object;
}

static void print_value(struct text *text, const json_t *value)
{
    char *dumped = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    text_string(text, dumped ? dumped : "nothing");
    free(dumped);
}

/* What only describes when and on which machine may differ, and a router where there is none. */
static int may_differ(const char *member, const json_t *before, const json_t *now)
{
    if (strcmp(member, "router") == 0)
        return !json_is_object(before) || !json_is_object(now);
    return strcmp(member, "created") == 0 || strcmp(member, "machine") == 0;
}

/* Where the two differ first, as "parameters.seed is 1 there and now 2" in *said. */
static int agree(const json_t *before, const json_t *now, const char *path, struct text *said)
{
    const char *member;
    json_t *value;
    if (!json_is_object(before) || !json_is_object(now)) {
        if (json_equal(before, now))
            return 1;
        text_format(said, "%s is ", path);
        print_value(said, before);
        text_string(said, " there and now ");
        print_value(said, now);
        return 0;
    }
    json_object_foreach((json_t *)(uintptr_t)now, member, value)
    {
        if (!path[0] && may_differ(member, json_object_get(before, member), value))
            continue;
        struct text inner = {0};
        text_format(&inner, "%s%s%s", path, path[0] ? "." : "", member);
        int same = agree(json_object_get(before, member), value, inner.bytes, said);
        text_free(&inner);
        if (!same)
            return 0;
    }
    return 1;
}

/* A name that was just created is on the disk when its directory is. */
static int sync_directory(const char *path)
{
    size_t size = strlen(path) + 1;
    char *copy = memcpy(grow(NULL, size), path, size);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    int synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return synced;
}

int file_replace(const char *path, const char *bytes, size_t size)
{
    struct text beside = {0};
    text_format(&beside, "%s.new", path);
    FILE *stream = fopen(beside.bytes, "wb");
    int written = stream && fwrite(bytes, 1, size, stream) == size && fflush(stream) == 0 &&
                  fsync(fileno(stream)) == 0;
    int reason = errno;
    if (stream && fclose(stream) != 0 && written) {
        written = 0;
        reason = errno;
    }
    if (written && (rename(beside.bytes, path) != 0 || !sync_directory(path))) {
        written = 0;
        reason = errno;
    }
    if (!written)
        complain("%s: %s", path, strerror(reason));
    text_free(&beside);
    return written;
}

int run_facts_agree(const char *path, json_t *facts, unsigned *state)
{
    json_error_t error;
    *state = access(path, F_OK) == 0 || errno != ENOENT ? FACTS_THERE : FACTS_ABSENT;
    if (*state == FACTS_ABSENT)
        return 1;
    json_t *before = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!before) {
        complain("%s: line %d: %s", path, error.line, error.text);
        return 0;
    }
    struct text said = {0};
    int same = agree(before, facts, "", &said);
    if (!same)
        complain("%s: %s; records of different runs do not mix: choose another -o", path,
                 said.bytes);
    if (same && json_is_object(json_object_get(facts, "router")) &&
        !json_is_object(json_object_get(before, "router"))) {
        *state = FACTS_OUTDATED;
        json_object_set(facts, "created", json_object_get(before, "created"));
        json_object_set(facts, "machine", json_object_get(before, "machine"));
    }
    text_free(&said);
    json_decref(before);
    return same;
}

int run_facts_write(const char *path, const json_t *facts)
{
    struct text text = {0};
    char *dumped = json_dumps(facts, JSON_INDENT(2));
    text_string(&text, dumped ? dumped : "");
    text_string(&text, "\n");
    int written = dumped && file_replace(path, text.bytes, text.size);
    free(dumped);
    text_free(&text);
    return written;
}
