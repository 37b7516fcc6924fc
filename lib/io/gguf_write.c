/* See gguf_write.h. The metadata is written twice: first to nowhere, which counts its pairs, since
 * the file states their number in front. Tensors go from where they lie to the file in pieces, so
 * that the memory needed does not depend on the model. */
#include "io/gguf_write.h"

#include <stdbool.h>
#include <string.h>

#include "base/fail.h"
#include "io/file_out.h"
#include "io/gguf_metadata.h"

enum {
    ALIGNMENT = 32,
    GGUF_VERSION = 3,
    TYPE_F32 = 0, /* ggml's numbers of tensor types */
    TYPE_F16 = 1,
    FILE_TYPE_MOSTLY_F16 = 1,
    DEFAULT_BOS = 1, /* what readers take for granted where the file names no id */
    DEFAULT_EOS = 2,
    DEFAULT_UNKNOWN = 0,
    REPORT_BYTES = 1 << 25 /* progress is called behind each tensor, and after so many */
};

typedef struct gguf_writer {
    const soti_gguf_model *model;
    const char *path;
    soti_file_out *file; /* NULL: nothing is written */
    uint64_t offset;     /* of the next byte */
    uint64_t n_pairs;    /* of metadata so far */
    sot_progress_fn progress;
    void *user;
    uint64_t done_bytes, total_bytes, reported_bytes;
} gguf_writer;

static sot_status put(gguf_writer *writer, const void *data, size_t size)
{
    writer->offset += size;
    return writer->file != NULL ? soti_file_out_put(writer->file, data, size) : SOT_OK;
}

static sot_status put_number(gguf_writer *writer, uint64_t number, size_t n_bytes)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < n_bytes; i++) {
        bytes[i] = (uint8_t)(number >> (8 * i));
    }
    return put(writer, bytes, n_bytes);
}

static sot_status put_u32(gguf_writer *writer, uint32_t number)
{
    return put_number(writer, number, 4);
}

static sot_status put_u64(gguf_writer *writer, uint64_t number)
{
    return put_number(writer, number, 8);
}

static sot_status put_float(gguf_writer *writer, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return put_u32(writer, bits);
}

static sot_status put_text(gguf_writer *writer, const char *text, size_t size)
{
    RETURN_IF_ERROR(put_u64(writer, size));
    return put(writer, text, size);
}

static sot_status pad(gguf_writer *writer)
{
    static const uint8_t zeros[ALIGNMENT];
    return put(writer, zeros, (size_t)(-writer->offset % ALIGNMENT));
}

/* ---- metadata -----------------------------------------------------------------------------------
 */

static sot_status begin_pair(gguf_writer *writer, const char *key, uint32_t type)
{
    writer->n_pairs++;
    RETURN_IF_ERROR(put_text(writer, key, strlen(key)));
    return put_u32(writer, type);
}

static sot_status pair_u32(gguf_writer *writer, const char *key, uint32_t value)
{
    RETURN_IF_ERROR(begin_pair(writer, key, SOTI_GGUF_UINT32));
    return put_u32(writer, value);
}

static sot_status pair_float(gguf_writer *writer, const char *key, float value)
{
    RETURN_IF_ERROR(begin_pair(writer, key, SOTI_GGUF_FLOAT32));
    return put_float(writer, value);
}

static sot_status pair_bool(gguf_writer *writer, const char *key, uint32_t value)
{
    RETURN_IF_ERROR(begin_pair(writer, key, SOTI_GGUF_BOOL));
    return put_number(writer, value != 0, 1);
}

static sot_status pair_text(gguf_writer *writer, const char *key, const char *text)
{
    RETURN_IF_ERROR(begin_pair(writer, key, SOTI_GGUF_STRING));
    return put_text(writer, text, strlen(text));
}

static sot_status begin_array(gguf_writer *writer, const char *key, uint32_t type, uint64_t n)
{
    RETURN_IF_ERROR(begin_pair(writer, key, SOTI_GGUF_ARRAY));
    RETURN_IF_ERROR(put_u32(writer, type));
    return put_u64(writer, n);
}

static sot_status write_general(gguf_writer *writer)
{
    const soti_gguf_model *model = writer->model;
    RETURN_IF_ERROR(pair_text(writer, "general.architecture", "llama"));
    if (model->name[0] != '\0') {
        RETURN_IF_ERROR(pair_text(writer, "general.name", model->name));
    }
    RETURN_IF_ERROR(pair_u32(writer, "general.file_type", FILE_TYPE_MOSTLY_F16));
    RETURN_IF_ERROR(pair_u32(writer, "general.alignment", ALIGNMENT));
    return pair_text(writer, "sot.conversation", model->conversation);
}

static sot_status write_shape(gguf_writer *writer)
{
    const soti_shape *shape = writer->model->shape;
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {
        {"llama.block_count", shape->n_layer},
        {"llama.embedding_length", shape->d_model},
        {"llama.feed_forward_length", shape->d_ff},
        {"llama.attention.head_count", shape->n_head},
        {"llama.attention.head_count_kv", shape->n_kv},
        {"llama.attention.key_length", shape->d_head},
        {"llama.attention.value_length", shape->d_head},
        {"llama.rope.dimension_count", shape->d_head},
        {"llama.vocab_size", shape->n_vocab},
    };
    if (writer->model->n_ctx_train > 0) {
        RETURN_IF_ERROR(pair_u32(writer, "llama.context_length", writer->model->n_ctx_train));
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        RETURN_IF_ERROR(pair_u32(writer, numbers[i].key, numbers[i].value));
    }
    RETURN_IF_ERROR(pair_float(writer, "llama.attention.layer_norm_rms_epsilon", shape->norm_eps));
    RETURN_IF_ERROR(pair_float(writer, "llama.rope.freq_base", shape->rope_theta));
    if (shape->rope_scale != 1.0f) {
        RETURN_IF_ERROR(pair_text(writer, "llama.rope.scaling.type", "linear"));
        RETURN_IF_ERROR(pair_float(writer, "llama.rope.scaling.factor", shape->rope_scale));
    }
    return SOT_OK;
}

/* A file without the key would mean default_id, and no value of the key means that there is none.
 */
static sot_status write_id(gguf_writer *writer, const char *key, int32_t id, uint32_t default_id)
{
    const soti_vocabulary *vocabulary = writer->model->vocabulary;
    if (id >= 0) {
        return pair_u32(writer, key, (uint32_t)id);
    }
    if (vocabulary != NULL && default_id < vocabulary->n_pieces) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: the tokenizer has no %s, which a GGUF file cannot say", writer->path,
                         key + strlen("tokenizer.ggml."));
    }
    return SOT_OK;
}

static sot_status write_pieces(gguf_writer *writer, const soti_vocabulary *vocabulary)
{
    uint32_t n = vocabulary->n_pieces;
    RETURN_IF_ERROR(begin_array(writer, "tokenizer.ggml.tokens", SOTI_GGUF_STRING, n));
    for (uint32_t i = 0; i < n; i++) {
        const soti_piece *piece = &vocabulary->pieces[i];
        RETURN_IF_ERROR(put_text(writer, vocabulary->text + piece->offset, piece->size));
    }
    RETURN_IF_ERROR(begin_array(writer, "tokenizer.ggml.scores", SOTI_GGUF_FLOAT32, n));
    for (uint32_t i = 0; i < n; i++) {
        RETURN_IF_ERROR(put_float(writer, vocabulary->pieces[i].score));
    }
    RETURN_IF_ERROR(begin_array(writer, "tokenizer.ggml.token_type", SOTI_GGUF_INT32, n));
    for (uint32_t i = 0; i < n; i++) {
        RETURN_IF_ERROR(put_u32(writer, vocabulary->pieces[i].type));
    }
    return SOT_OK;
}

static sot_status write_tokenizer(gguf_writer *writer)
{
    const soti_gguf_model *model = writer->model;
    const soti_vocabulary *vocabulary = model->vocabulary;
    RETURN_IF_ERROR(write_id(writer, "tokenizer.ggml.bos_token_id", model->bos_id, DEFAULT_BOS));
    RETURN_IF_ERROR(write_id(writer, "tokenizer.ggml.eos_token_id", model->eos_id, DEFAULT_EOS));
    if (vocabulary == NULL) {
        return SOT_OK;
    }
    RETURN_IF_ERROR(
        write_id(writer, "tokenizer.ggml.unknown_token_id", vocabulary->unk_id, DEFAULT_UNKNOWN));
    RETURN_IF_ERROR(pair_text(writer, "tokenizer.ggml.model", "llama"));
    RETURN_IF_ERROR(
        pair_bool(writer, "tokenizer.ggml.add_space_prefix", vocabulary->add_dummy_prefix));
    RETURN_IF_ERROR(pair_bool(writer, "tokenizer.ggml.remove_extra_whitespaces",
                              vocabulary->remove_extra_whitespaces));
    if (vocabulary->unk_surface != NULL) {
        RETURN_IF_ERROR(pair_text(writer, "sot.unknown_surface", vocabulary->unk_surface));
    }
    return write_pieces(writer, vocabulary);
}

static sot_status write_metadata(gguf_writer *writer)
{
    RETURN_IF_ERROR(write_general(writer));
    RETURN_IF_ERROR(write_shape(writer));
    return write_tokenizer(writer);
}

/* ---- tensors ------------------------------------------------------------------------------------
 */

static uint64_t tensor_bytes(const soti_gguf_tensor *tensor)
{
    return tensor->n_rows > 0 ? tensor->n_rows * tensor->n_columns * sizeof(uint16_t)
                              : tensor->n_columns * sizeof(float);
}

/* Offsets count from the start of the data; every tensor is padded to the alignment. */
static sot_status write_entries(gguf_writer *writer)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < writer->model->n_tensors; i++) {
        const soti_gguf_tensor *tensor = &writer->model->tensors[i];
        bool is_matrix = tensor->n_rows > 0;
        RETURN_IF_ERROR(put_text(writer, tensor->name, strlen(tensor->name)));
        RETURN_IF_ERROR(put_u32(writer, is_matrix ? 2 : 1));
        RETURN_IF_ERROR(put_u64(writer, tensor->n_columns)); /* the fastest dimension is first */
        if (is_matrix) {
            RETURN_IF_ERROR(put_u64(writer, tensor->n_rows));
        }
        RETURN_IF_ERROR(put_u32(writer, is_matrix ? TYPE_F16 : TYPE_F32));
        RETURN_IF_ERROR(put_u64(writer, offset));
        uint64_t bytes = tensor_bytes(tensor);
        offset += bytes + -bytes % ALIGNMENT;
        writer->total_bytes += bytes;
    }
    return SOT_OK;
}

static sot_status report(gguf_writer *writer)
{
    writer->reported_bytes = writer->done_bytes;
    if (writer->progress != NULL &&
        writer->progress(writer->done_bytes, writer->total_bytes, writer->user) != 0) {
        return soti_fail(SOT_ERR_CANCELLED, "writing %s was cancelled after %llu of %llu bytes",
                         writer->path, (unsigned long long)writer->done_bytes,
                         (unsigned long long)writer->total_bytes);
    }
    return SOT_OK;
}

static sot_status put_data(gguf_writer *writer, const void *data, uint64_t bytes)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        size_t n = bytes < REPORT_BYTES ? (size_t)bytes : REPORT_BYTES;
        RETURN_IF_ERROR(put(writer, at, n));
        writer->done_bytes += n;
        at += n;
        bytes -= n;
        if (writer->done_bytes - writer->reported_bytes >= REPORT_BYTES) {
            RETURN_IF_ERROR(report(writer));
        }
    }
    return SOT_OK;
}

/* Row i of a head's first half goes to 2i, row i of its second half to 2i + 1. */
static sot_status put_interleaved(gguf_writer *writer, const soti_gguf_tensor *tensor)
{
    uint64_t n_pairs = tensor->n_rows / tensor->n_split_heads / 2;
    uint64_t row_bytes = tensor->n_columns * sizeof(uint16_t);
    const uint16_t *head = tensor->halves;
    for (uint32_t i_head = 0; i_head < tensor->n_split_heads; i_head++) {
        for (uint64_t i = 0; i < n_pairs; i++) {
            RETURN_IF_ERROR(put_data(writer, head + i * tensor->n_columns, row_bytes));
            RETURN_IF_ERROR(put_data(writer, head + (i + n_pairs) * tensor->n_columns, row_bytes));
        }
        head += 2 * n_pairs * tensor->n_columns;
    }
    return SOT_OK;
}

static sot_status write_tensors(gguf_writer *writer)
{
    RETURN_IF_ERROR(pad(writer));
    for (size_t i = 0; i < writer->model->n_tensors; i++) {
        const soti_gguf_tensor *tensor = &writer->model->tensors[i];
        if (tensor->n_split_heads > 0) {
            RETURN_IF_ERROR(put_interleaved(writer, tensor));
        } else {
            const void *data = tensor->n_rows > 0 ? (const void *)tensor->halves : tensor->floats;
            RETURN_IF_ERROR(put_data(writer, data, tensor_bytes(tensor)));
        }
        if (writer->done_bytes > writer->reported_bytes) {
            RETURN_IF_ERROR(report(writer));
        }
        RETURN_IF_ERROR(pad(writer));
    }
    return SOT_OK;
}

/* ---- the file -----------------------------------------------------------------------------------
 */

static sot_status write_file(gguf_writer *writer, uint64_t n_pairs)
{
    RETURN_IF_ERROR(put(writer, "GGUF", 4));
    RETURN_IF_ERROR(put_u32(writer, GGUF_VERSION));
    RETURN_IF_ERROR(put_u64(writer, writer->model->n_tensors));
    RETURN_IF_ERROR(put_u64(writer, n_pairs));
    RETURN_IF_ERROR(write_metadata(writer));
    RETURN_IF_ERROR(write_entries(writer));
    RETURN_IF_ERROR(write_tensors(writer));
    return soti_file_out_commit(writer->file);
}

sot_status soti_gguf_write(const char *path, const soti_gguf_model *model, sot_progress_fn progress,
                           void *user)
{
    soti_file_out file;
    gguf_writer counter = {.model = model, .path = path};
    gguf_writer writer = {
        .model = model, .path = path, .file = &file, .progress = progress, .user = user};
    RETURN_IF_ERROR(write_metadata(&counter));
    RETURN_IF_ERROR(soti_file_out_open(path, &file));
    sot_status status = write_file(&writer, counter.n_pairs);
    soti_file_out_close(&file);
    return status;
}
