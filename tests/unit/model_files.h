/* Tiny models on disk for the tests of lib/io: a GGUF writer and a safetensors writer, written from
 * the formats' specifications, with every field open to being set wrong. The names and shapes here
 * are written out by hand; they are the tests' own knowledge of what a LLaMA consists of. */
#ifndef TESTS_UNIT_MODEL_FILES_H
#define TESTS_UNIT_MODEL_FILES_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "base/half.h"
#include "base/utf8.h"
#include "io/checkpoint.h"

#define UNUSED __attribute__((unused))

/* ---- folders and files ---- */

static char
    test_folder[64]; /* of this program; made and removed by the group's setup and teardown */

static UNUSED int folder_setup(void **state)
{
    (void)state;
    snprintf(test_folder, sizeof test_folder, "/tmp/sot-test-XXXXXX");
    return mkdtemp(test_folder) == NULL ? -1 : 0;
}

static void folder_remove(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char inner[512];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (unlink(inner) != 0) {
            folder_remove(inner);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    rmdir(path);
}

static UNUSED int folder_teardown(void **state)
{
    (void)state;
    folder_remove(test_folder);
    return 0;
}

/* The path of name in the test folder; valid until the eighth call after this one. */
static UNUSED const char *path_of(const char *name)
{
    static char paths[8][256];
    static unsigned i_path;
    char *path = paths[i_path++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", test_folder, name);
    return path;
}

static UNUSED void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* A file that has no bytes on the disk, only a size. */
static UNUSED void write_hole(const char *path, size_t size)
{
    write_file(path, "", 0);
    assert_int_equal(truncate(path, (off_t)size), 0);
}

/* ---- bytes ---- */

typedef struct bytes {
    uint8_t data[1 << 16];
    size_t size;
} bytes;

static void put(bytes *out, const void *data, size_t size)
{
    assert_true(out->size + size <= sizeof out->data);
    memcpy(out->data + out->size, data, size);
    out->size += size;
}

static void put_number(bytes *out, uint64_t number, size_t n_bytes)
{
    uint8_t data[8];
    for (size_t i = 0; i < n_bytes; i++) {
        data[i] = (uint8_t)(number >> (8 * i));
    }
    put(out, data, n_bytes);
}

/* ---- the tiny model ---- */

/* Every dimension differs from every other: d_model 8, n_head 2, n_kv 1, d_head 6, d_ff 10, n_vocab
 * 7, one layer. */
typedef struct tiny_tensor {
    const char *name;
    const char *gguf_name;
    uint64_t dims[2]; /* rows, columns; columns 0: one dimension */
} tiny_tensor;

enum { N_TINY = 12 };
static UNUSED const tiny_tensor tiny_tensors[N_TINY] = {
    {"model.embed_tokens.weight", "token_embd.weight", {7, 8}},
    {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight", {8, 0}},
    {"model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", {12, 8}},
    {"model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", {6, 8}},
    {"model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", {6, 8}},
    {"model.layers.0.self_attn.o_proj.weight", "blk.0.attn_output.weight", {8, 12}},
    {"model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight", {8, 0}},
    {"model.layers.0.mlp.gate_proj.weight", "blk.0.ffn_gate.weight", {10, 8}},
    {"model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up.weight", {10, 8}},
    {"model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight", {8, 10}},
    {"model.norm.weight", "output_norm.weight", {8, 0}},
    {"lm_head.weight", "output.weight", {7, 8}},
};

/* Element i of tensor t, exact in every format. */
static float tiny_value(size_t t, size_t i)
{
    return (float)((int)((t * 131 + i * 7) % 61) - 30) / 16.0f;
}

static size_t tiny_count(size_t t)
{
    return (size_t)(tiny_tensors[t].dims[0] *
                    (tiny_tensors[t].dims[1] ? tiny_tensors[t].dims[1] : 1));
}

static UNUSED void put_tiny_values(bytes *out, size_t t, size_t count, uint32_t type)
{
    for (size_t i = 0; i < count; i++) {
        float value = tiny_value(t, i);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (type == SOTI_TYPE_F32) {
            put_number(out, bits, 4);
        } else {
            put_number(out, type == SOTI_TYPE_F16 ? soti_half_from_float(value) : bits >> 16, 2);
        }
    }
}

/* All tensors of an opened tiny model have their shapes and values. */
static UNUSED void check_tiny_tensors(const soti_checkpoint *checkpoint)
{
    assert_int_equal(checkpoint->n_tensors, N_TINY - (checkpoint->tied_output ? 1 : 0));
    for (size_t t = 0; t < checkpoint->n_tensors; t++) {
        const soti_tensor *tensor = soti_checkpoint_find(checkpoint, tiny_tensors[t].name);
        assert_non_null(tensor);
        assert_int_equal(tensor->n_dims, tiny_tensors[t].dims[1] ? 2 : 1);
        assert_int_equal(tensor->dims[0], tiny_tensors[t].dims[0]);
        assert_int_equal(tensor->dims[1], tiny_tensors[t].dims[1]);
        bytes expected = {.size = 0};
        put_tiny_values(&expected, t, tiny_count(t), tensor->type);
        assert_int_equal(tensor->bytes, expected.size);
        assert_memory_equal(tensor->data, expected.data, expected.size);
    }
    for (size_t t = 1; t < checkpoint->n_tensors; t++) {
        assert_true(strcmp(checkpoint->tensors[t - 1].name, checkpoint->tensors[t].name) < 0);
    }
}

static UNUSED void check_tiny_shape(const soti_shape *shape)
{
    assert_int_equal(shape->n_layer, 1);
    assert_int_equal(shape->n_head, 2);
    assert_int_equal(shape->n_kv, 1);
    assert_int_equal(shape->d_head, 6);
    assert_int_equal(shape->d_model, 8);
    assert_int_equal(shape->d_ff, 10);
    assert_int_equal(shape->n_vocab, 7);
    assert_float_equal(shape->norm_eps, 1e-5f, 1e-12f);
}

/* ---- what an open does ---- */

static const soti_log no_log = {NULL, NULL};

static sot_status open_model(const char *path, soti_checkpoint *out)
{
    return soti_checkpoint_open(path, 0, &no_log, NULL, NULL, out);
}

/* Opening fails with this status and a sentence that has all the parts; nothing is left. The last
 * argument is NULL. */
static UNUSED void check_refused(const char *path, sot_status status, ...)
{
    static const soti_checkpoint zeroed;
    soti_checkpoint checkpoint;
    memset(&checkpoint, 0xA5, sizeof checkpoint);
    sot_status found = open_model(path, &checkpoint);
    if (found != status) {
        print_error("%s: status %d, message \"%s\"\n", path, found, soti_fail_message());
    }
    assert_int_equal(found, status);
    assert_memory_equal(&checkpoint, &zeroed, sizeof zeroed);
    va_list parts;
    const char *part;
    va_start(parts, status);
    while ((part = va_arg(parts, const char *)) != NULL) {
        if (strstr(soti_fail_message(), part) == NULL) {
            print_error("\"%s\" is not in \"%s\"\n", part, soti_fail_message());
            va_end(parts);
            fail();
        }
    }
    va_end(parts);
}

/* Opening works, or fails in order: what damaged files of any kind must do. */
static UNUSED bool open_survives(const char *path)
{
    soti_checkpoint checkpoint;
    sot_status status = open_model(path, &checkpoint);
    if (status != SOT_OK) {
        const char *message = soti_fail_message();
        assert_int_not_equal(message[0], '\0');
        assert_int_equal(soti_utf8_find_invalid(message, strlen(message)), strlen(message));
        return false;
    }
    for (size_t i = 0; i < checkpoint.n_tensors; i++) {
        const soti_tensor *tensor = &checkpoint.tensors[i];
        bool inside = false;
        for (size_t j = 0; j < checkpoint.n_maps; j++) {
            const soti_filemap *map = &checkpoint.maps[j];
            inside = inside || (tensor->data >= map->data &&
                                tensor->data + tensor->bytes <= map->data + map->size);
        }
        assert_true(inside);
    }
    soti_checkpoint_close(&checkpoint);
    return true;
}

/* Every allocation of an open fails in turn: MEMORY each time, and no leak (AddressSanitizer). */
static UNUSED void check_every_allocation(const char *path)
{
    static const soti_checkpoint zeroed;
    for (long n = 0;; n++) {
        soti_checkpoint checkpoint;
        assert_true(n < 10000);
        soti_alloc_fail_at(n);
        sot_status status = open_model(path, &checkpoint);
        bool struck = soti_alloc_fail_at(-1) < 0;
        if (!struck) {
            assert_int_equal(status, SOT_OK);
            soti_checkpoint_close(&checkpoint);
            assert_true(n > 3);
            return;
        }
        assert_int_equal(status, SOT_ERR_MEMORY);
        assert_non_null(strstr(soti_fail_message(), "memory"));
        assert_memory_equal(&checkpoint, &zeroed, sizeof zeroed);
    }
}

#endif
