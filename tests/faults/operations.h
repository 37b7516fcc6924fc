/* Everything a host does with the library, as operations that can be made to fail at any place:
 * each runs on objects that are there, and its check looks at what came of it. All of it on models
 * so small that an operation takes about a millisecond. */
#ifndef TESTS_FAULTS_OPERATIONS_H
#define TESTS_FAULTS_OPERATIONS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sot/session.h"
#include "sot/sot.h"

typedef struct operation {
    const char *name;
    sot_status (*run)(void);
    void (*check)(sot_status status); /* what run left, and frees it */
    bool has_threads;                 /* it starts some */
} operation;

/* ---- what operations work on ---- */

static const char tiny[] = "random:32x1x2x32x300";
/* Two points come with the partial answer, whatever the model makes of the third. */
static const char skeleton_prompt[] = "List {request}[ROLESWITCHING assistant:]1. Ab\n2. Cd\n3.";
static const char point_prompt[] =
    "On {request} {outline} write {point}[ROLESWITCHING assistant:]{point}. {point_outline}";
static const char outline_file[] =
    "{\"outline_prompt\": \"List {request}[ROLESWITCHING assistant:]1.\", \"point_prompt\": "
    "\"{request}{outline}{point}{point_outline}\"}";

static struct {
    char folder[32];
    char model_path[64], saved_path[64], chat_path[64], profile_path[64], prompts_path[64];
    sot_model *model;
    sot_session *session;
    sot_prompts prompts;
    sot_generate_params params;
    sot_profile *profile;
    sot_chat *chat;
} world;

static void world_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static sot_status world_open_session(uint32_t n_threads, sot_session **out)
{
    sot_session_params params = SOT_SESSION_PARAMS_INIT;
    params.n_threads = n_threads;
    params.pin_threads = n_threads > 1;
    params.n_ctx = 1024;
    params.max_batch = 4;
    return sot_session_create(world.model, &params, out);
}

static void world_make_files(void)
{
    char *const paths[] = {world.model_path, world.saved_path, world.chat_path, world.profile_path,
                           world.prompts_path};
    static const char *const names[] = {"model.gguf", "saved.gguf", "chat.jsonl", "profile.json",
                                        "prompts.json"};
    strcpy(world.folder, "/tmp/sot-test-XXXXXX");
    assert_non_null(mkdtemp(world.folder));
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        snprintf(paths[i], sizeof world.model_path, "%s/%s", world.folder, names[i]);
    }
    assert_int_equal(sot_model_save(world.model, world.model_path, NULL, NULL), SOT_OK);
    world_write(world.prompts_path, outline_file);
    assert_int_equal(sot_chat_create(NULL, &world.chat), SOT_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sot_chat_append(world.chat, "What \"then\"?", "This,\nthat."), SOT_OK);
    }
    sot_profile_params profile = SOT_PROFILE_PARAMS_INIT;
    profile.max_batch = 1;
    profile.max_context = 8;
    profile.n_decode_repeats = 1;
    profile.n_prefill_repeats = 3;
    profile.cell_ns = 1;
    profile.machine = "a machine";
    assert_int_equal(sot_profile_measure(world.session, &profile, &world.profile), SOT_OK);
}

static int world_setup(void **state)
{
    (void)state;
    world.prompts = (sot_prompts)SOT_PROMPTS_INIT;
    world.params = (sot_generate_params)SOT_GENERATE_PARAMS_INIT;
    world.prompts.skeleton = skeleton_prompt;
    world.prompts.point = point_prompt;
    world.prompts.router = "Is {request} fit?";
    world.params.prompts = &world.prompts;
    world.params.max_tokens = world.params.max_skeleton_tokens = world.params.max_point_tokens = 6;
    world.params.conversation = "vicuna";
    if (sot_model_load(tiny, NULL, &world.model) != SOT_OK ||
        world_open_session(1, &world.session) != SOT_OK) {
        return -1;
    }
    world_make_files();
    return 0;
}

static int world_teardown(void **state)
{
    (void)state;
    char command[64];
    sot_profile_free(world.profile);
    sot_chat_free(world.chat);
    sot_session_free(world.session);
    sot_model_free(world.model);
    snprintf(command, sizeof command, "rm -rf '%s'", world.folder);
    return system(command);
}

/* No sequence holds a page but those that are kept for later calls (KV-4). */
static void world_check_pages(void)
{
    soti_kv *kv = soti_engine_kv(world.session->engine);
    while (soti_session_make_room(world.session)) {
    }
    assert_int_equal(soti_kv_free_pages(kv), soti_kv_page_count(kv));
}

/* ---- loading ---- */

static sot_model *loaded;

static sot_status load(const char *path, uint32_t flags)
{
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = "cpu";
    params.flags = flags;
    return sot_model_load(path, &params, &loaded);
}

static sot_status load_random(void)
{
    return load(tiny, 0);
}

static sot_status load_mapped(void)
{
    return load(world.model_path, 0);
}

static sot_status load_copied(void)
{
    return load(world.model_path, SOT_MODEL_COPY);
}

static sot_status load_locked(void)
{
    return load(world.model_path, SOT_MODEL_LOCK);
}

static sot_status load_shards(void)
{
    return load(SOT_TEST_DIR "/golden/data/linear/hf", 0);
}

static sot_status load_copied_shards(void)
{
    return load(SOT_TEST_DIR "/golden/data/linear/hf", SOT_MODEL_COPY);
}

static sot_status load_converted(void)
{
    return load(SOT_TEST_DIR "/golden/data/bf16/hf", 0);
}

static void check_loaded(sot_status status)
{
    assert_int_equal(loaded != NULL, status == SOT_OK);
    if (loaded != NULL) { /* all of it, tokenizer included */
        sot_model_info info = SOT_MODEL_INFO_INIT;
        assert_int_equal(sot_model_get_info(loaded, &info), SOT_OK);
        assert_int_equal(info.has_tokenizer, info.n_vocab == 300);
        assert_true(info.n_parameters > 0);
    }
    sot_model_free(loaded);
    loaded = NULL;
}

/* ---- sessions and answers ---- */

static sot_session *opened;

static sot_status open_session(void)
{
    return world_open_session(3, &opened);
}

static void check_session(sot_status status)
{
    assert_int_equal(opened != NULL, status == SOT_OK);
    sot_session_free(opened);
    opened = NULL;
}

static sot_answer *answer;
static sot_points *points;
static sot_chat *chat;
static char expected[8][4096]; /* by slot: what is said the first time is said each time */

static void check_answer_of(uint32_t i_slot, sot_status status)
{
    assert_int_equal(answer != NULL, status == SOT_OK);
    if (answer != NULL) {
        const char *text = sot_answer_text(answer);
        assert_true(sot_answer_text_size(answer) < sizeof expected[0]);
        if (expected[i_slot][0] == '\0') {
            strcpy(expected[i_slot], text);
        }
        assert_string_equal(text, expected[i_slot]);
    }
    sot_answer_free(answer);
    answer = NULL;
    world_check_pages();
}

static sot_status generate(uint32_t mode, uint32_t flags)
{
    sot_generate_params params = world.params;
    params.mode = mode;
    params.flags = flags;
    return sot_generate(world.session, "things", &params, &answer);
}

static sot_status answer_normally(void)
{
    return generate(SOT_MODE_NORMAL, 0);
}

static void check_normal(sot_status status)
{
    check_answer_of(0, status);
}

static sot_status answer_by_points(void)
{
    return generate(SOT_MODE_SOT, 0);
}

static void check_sot(sot_status status)
{
    check_answer_of(1, status);
}

static sot_status answer_routed(void)
{
    return generate(SOT_MODE_ROUTED, 0);
}

static sot_status answer_routed_at_once(void)
{
    return generate(SOT_MODE_ROUTED, SOT_GENERATE_CONCURRENT);
}

static void check_routed(sot_status status)
{
    check_answer_of(2, status);
}

static sot_status write_skeleton_and_expand(void)
{
    sot_status status = sot_skeleton(world.session, "things", &world.params, &points);
    if (status == SOT_OK) {
        status = sot_expand_batch(world.session, "things", points, &world.params, &answer);
    }
    assert_true(points != NULL || status != SOT_OK);
    sot_points_free(points);
    points = NULL;
    return status;
}

static sot_status converse(void)
{
    sot_status status = sot_chat_create(NULL, &chat);
    for (int i = 0; i < 2 && status == SOT_OK; i++) {
        sot_answer_free(answer);
        status = sot_chat_generate(chat, world.session, "things", &world.params, &answer);
        assert_int_equal(sot_chat_count(chat), i + (status == SOT_OK));
    }
    sot_chat_free(chat);
    chat = NULL;
    return status;
}

static void check_conversation(sot_status status)
{
    check_answer_of(3, status);
}

static sot_status compute_logits(void)
{
    int32_t ids[64];
    size_t count = 0;
    char text[64];
    size_t size = 0;
    float logits[300];
    sot_status status =
        sot_tokenize(world.model, "some text", 9, SOT_TOKENIZE_BOS, ids, 64, &count);
    if (status == SOT_OK) {
        status = sot_logits(world.session, ids, count, logits);
    }
    if (status == SOT_OK) {
        status = sot_detokenize(world.model, ids, count, 0, text, sizeof text, &size);
    }
    assert_true(status != SOT_OK || (size == 9 && memcmp(text, "some text", 9) == 0));
    return status;
}

static void check_nothing_kept(sot_status status)
{
    (void)status;
    world_check_pages();
}

/* ---- files ---- */

static sot_status save_model(void)
{
    return sot_model_save(world.model, world.saved_path, NULL, NULL);
}

static sot_status save_chat(void)
{
    return sot_chat_save(world.chat, world.chat_path);
}

static sot_status load_chat(void)
{
    return sot_chat_load(world.chat_path, NULL, &chat);
}

static void check_chat(sot_status status)
{
    assert_int_equal(chat != NULL, status == SOT_OK);
    if (chat != NULL) {
        assert_int_equal(sot_chat_count(chat), 3);
        assert_string_equal(sot_chat_answer(chat, 2), "This,\nthat.");
    }
    sot_chat_free(chat);
    chat = NULL;
}

static sot_status save_profile(void)
{
    return sot_profile_save(world.profile, world.profile_path);
}

static sot_profile *profile;

static sot_status load_profile(void)
{
    return sot_profile_load(world.profile_path, &profile);
}

static void check_profile(sot_status status)
{
    assert_int_equal(profile != NULL, status == SOT_OK);
    if (profile != NULL) {
        sot_profile_info info = SOT_PROFILE_INFO_INIT;
        assert_int_equal(sot_profile_get_info(profile, &info), SOT_OK);
        assert_string_equal(info.machine, "a machine");
    }
    sot_profile_free(profile);
    profile = NULL;
}

static sot_prompts *templates;

static sot_status load_prompts(void)
{
    return sot_prompts_load(world.prompts_path, &templates);
}

static void check_prompts(sot_status status)
{
    assert_int_equal(templates != NULL, status == SOT_OK);
    sot_prompts_free(templates);
    templates = NULL;
}

static sot_router *router;

static sot_status load_router(void)
{
    return sot_router_load(SOT_SOURCE_DIR "/examples/router/lima.router", &router);
}

static void check_router(sot_status status)
{
    assert_int_equal(router != NULL, status == SOT_OK);
    sot_router_free(router);
    router = NULL;
}

/* Nothing but the files themselves is left in the folder, and what is there is whole. */
static void check_files(sot_status status)
{
    (void)status;
    char command[128];
    snprintf(command, sizeof command, "ls '%s' | grep -q part", world.folder);
    assert_int_not_equal(system(command), 0);
    static const struct {
        const char *path;
        operation reader;
    } files[] = {{world.saved_path, {"", load_mapped, check_loaded, false}},
                 {world.chat_path, {"", load_chat, check_chat, false}},
                 {world.profile_path, {"", load_profile, check_profile, false}}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (access(files[i].path, F_OK) == 0) {
            assert_int_equal(files[i].reader.run(), SOT_OK);
            files[i].reader.check(SOT_OK);
        }
    }
}

static const operation operations[] = {
    {"load a random model", load_random, check_loaded, true},
    {"load a GGUF file", load_mapped, check_loaded, false},
    {"load a copy of a GGUF file", load_copied, check_loaded, false},
    {"load a GGUF file and lock it", load_locked, check_loaded, false},
    {"load a directory of shards", load_shards, check_loaded, false},
    {"load a copy of shards", load_copied_shards, check_loaded, false},
    {"load and convert", load_converted, check_loaded, true},
    {"create a session", open_session, check_session, true},
    {"answer normally", answer_normally, check_normal, false},
    {"answer by points", answer_by_points, check_sot, false},
    {"answer as the router says", answer_routed, check_routed, false},
    {"answer while the router decides", answer_routed_at_once, check_routed, false},
    {"skeleton, then expand", write_skeleton_and_expand, check_sot, false},
    {"converse", converse, check_conversation, false},
    {"tokens and logits", compute_logits, check_nothing_kept, false},
    {"save a model", save_model, check_files, false},
    {"save a conversation", save_chat, check_files, false},
    {"load a conversation", load_chat, check_chat, false},
    {"save a profile", save_profile, check_files, false},
    {"load a profile", load_profile, check_profile, false},
    {"load prompts", load_prompts, check_prompts, false},
    {"load a router", load_router, check_router, false},
};

enum { N_OPERATIONS = sizeof operations / sizeof *operations };

#endif
