/* FP16 weights are used where the file is mapped: whatever the file's size, a loaded model adds
 * less than 64 MiB of anonymous memory, and a session what it says it has reserved. The file is
 * made here, 225 MiB of holes with a GGUF header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fail.h"
#include "model/engine.h"
#include "sanitized.h"

enum { D_MODEL = 2048, D_FF = 5632, N_HEAD = 16, N_VOCAB = 16384, TYPE_F32 = 0, TYPE_F16 = 1 };

typedef struct entry {
    const char *name;
    uint64_t columns, rows; /* rows 0: one dimension, FP32 */
} entry;

static const entry entries[] = {
    {"token_embd.weight", D_MODEL, N_VOCAB},   {"blk.0.attn_norm.weight", D_MODEL, 0},
    {"blk.0.attn_q.weight", D_MODEL, D_MODEL}, {"blk.0.attn_k.weight", D_MODEL, D_MODEL},
    {"blk.0.attn_v.weight", D_MODEL, D_MODEL}, {"blk.0.attn_output.weight", D_MODEL, D_MODEL},
    {"blk.0.ffn_norm.weight", D_MODEL, 0},     {"blk.0.ffn_gate.weight", D_MODEL, D_FF},
    {"blk.0.ffn_up.weight", D_MODEL, D_FF},    {"blk.0.ffn_down.weight", D_FF, D_MODEL},
    {"output_norm.weight", D_MODEL, 0},        {"output.weight", D_MODEL, N_VOCAB},
};

enum { ENTRIES = sizeof entries / sizeof *entries };

static void put(FILE *file, const void *bytes, size_t n)
{
    assert_int_equal(fwrite(bytes, 1, n, file), n);
}

static void put_u32(FILE *file, uint32_t value)
{
    put(file, &value, sizeof value);
}

static void put_u64(FILE *file, uint64_t value)
{
    put(file, &value, sizeof value);
}

static void put_text(FILE *file, const char *text)
{
    put_u64(file, strlen(text));
    put(file, text, strlen(text));
}

static void put_key_u32(FILE *file, const char *key, uint32_t value)
{
    put_text(file, key);
    put_u32(file, 4);
    put_u32(file, value);
}

static void make_file(const char *path)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    put(file, "GGUF", 4);
    put_u32(file, 3);
    put_u64(file, ENTRIES);
    put_u64(file, 8);
    put_text(file, "general.architecture");
    put_u32(file, 8);
    put_text(file, "llama");
    put_key_u32(file, "llama.block_count", 1);
    put_key_u32(file, "llama.context_length", 2048);
    put_key_u32(file, "llama.embedding_length", D_MODEL);
    put_key_u32(file, "llama.feed_forward_length", D_FF);
    put_key_u32(file, "llama.attention.head_count", N_HEAD);
    put_key_u32(file, "llama.vocab_size", N_VOCAB);
    const float eps = 1e-5f;
    put_text(file, "llama.attention.layer_norm_rms_epsilon");
    put_u32(file, 6);
    put(file, &eps, sizeof eps);
    uint64_t offset = 0;
    for (int i = 0; i < ENTRIES; i++) {
        const entry *e = &entries[i];
        put_text(file, e->name);
        put_u32(file, e->rows ? 2 : 1);
        put_u64(file, e->columns);
        if (e->rows) {
            put_u64(file, e->rows);
        }
        put_u32(file, e->rows ? TYPE_F16 : TYPE_F32);
        put_u64(file, offset);
        offset += e->rows ? e->columns * e->rows * 2 : e->columns * 4; /* multiples of 32 */
    }
    long header = ftell(file);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(ftruncate(fileno(file), (header + 31) / 32 * 32 + (long)offset), 0);
    assert_int_equal(fclose(file), 0);
}

static long resident_anonymous_kib(void)
{
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "RssAnon: %ld", &kib) == 1) {
            break;
        }
    }
    fclose(file);
    return kib;
}

static void measure(const char *path)
{
    const sot_model_params params = SOT_MODEL_PARAMS_INIT;
    sot_model *model;
    long before = resident_anonymous_kib();
    if (soti_model_open(path, &params, &model) != SOT_OK) {
        fail_msg("%s", soti_fail_message());
    }
    long loaded = resident_anonymous_kib() - before;
    const soti_engine_params engine_params = {.n_threads = 2,
                                              .n_ctx = 512,
                                              .max_batch = 4,
                                              .kv_tokens = 2048,
                                              .chunk_rows = 32,
                                              .n_sequences = 4};
    soti_engine *engine;
    assert_int_equal(soti_engine_create(model, &engine_params, &engine), SOT_OK);
    const int32_t tokens[3] = {1, 2, 3};
    soti_work item = {.sequence = soti_sequence_create(soti_engine_kv(engine)),
                      .tokens = tokens,
                      .n_tokens = 3,
                      .is_prompt = 1,
                      .want_pick = 1,
                      .pick = {.top_p = 1, .repetition_penalty = 1}};
    assert_int_equal(soti_engine_step(engine, &item, 1, NULL, NULL), SOT_OK);
    long used = resident_anonymous_kib() - before;
    long session = (long)(soti_engine_bytes(engine) / 1024);
    print_message("file of %zu MiB: %ld KiB of anonymous memory after loading, %ld KiB after a "
                  "step, of which the session's own may be %ld KiB\n",
                  model->checkpoint.maps[0].size >> 20, loaded, used, session);
    assert_true(loaded < 64 * 1024);
    assert_true(used < 64 * 1024 + session);
    soti_engine_free(engine);
    soti_model_release(model);
}

static void model_of_fp16_file_stays_in_the_file(void **state)
{
    (void)state;
    char folder[] = "/tmp/sot-test-XXXXXX";
    char path[64];
    if (SANITIZED || resident_anonymous_kib() < 0) {
        print_message("skipped: a sanitizer's own memory counts, or no RssAnon here\n");
        skip();
    }
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    make_file(path);
    measure(path);
    assert_int_equal(remove(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_of_fp16_file_stays_in_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
