/* A GGUF file (versions 2 and 3, architecture llama) as a checkpoint. Owns what keys and tensor
 * entries mean; the container is gguf_metadata.c, the tokenizer's arrays gguf_vocabulary.c, the
 * comparison with what a LLaMA needs tensor_list.c. */
#include "io/checkpoint.h"

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/gguf_metadata.h"
#include "io/gguf_vocabulary.h"
#include "io/path_name.h"
#include "io/tensor_list.h"

/* magic, version, number of tensors, number of pairs; pairs; tensor entries; padding; data */
typedef struct gguf_reader {
    soti_cursor cursor;
    soti_gguf_metadata metadata;
    soti_tensor_list tensors;
    uint64_t n_tensors;
    const soti_log *log;
    soti_checkpoint *out;
} gguf_reader;

enum { TYPE_F32 = 0, TYPE_F16 = 1, TYPE_BF16 = 30, ENTRY_BYTES_MIN = 8 + 1 + 4 + 8 + 4 + 8 };

/* Names of ggml's tensor types, to name what we refuse. */
static const char *const ggml_type_names[] = {
    [0] = "F32",     [1] = "F16",      [2] = "Q4_0",   [3] = "Q4_1",    [6] = "Q5_0",
    [7] = "Q5_1",    [8] = "Q8_0",     [9] = "Q8_1",   [10] = "Q2_K",   [11] = "Q3_K",
    [12] = "Q4_K",   [13] = "Q5_K",    [14] = "Q6_K",  [15] = "Q8_K",   [16] = "IQ2_XXS",
    [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S", [20] = "IQ4_NL", [21] = "IQ3_S",
    [22] = "IQ2_S",  [23] = "IQ4_XS",  [24] = "I8",    [25] = "I16",    [26] = "I32",
    [27] = "I64",    [28] = "F64",     [29] = "IQ1_M", [30] = "BF16",   [34] = "TQ1_0",
    [35] = "TQ2_0",  [39] = "MXFP4",
};

static sot_status read_header(gguf_reader *reader, uint64_t *n_values)
{
    soti_cursor *cursor = &reader->cursor;
    const uint8_t *magic;
    uint32_t version;
    RETURN_IF_ERROR(soti_cursor_bytes(cursor, "the magic number", 4, &magic));
    if (memcmp(magic, "GGUF", 4) != 0) {
        return soti_fail(SOT_ERR_FORMAT,
                         "%s: not a GGUF file: it begins with bytes %02x %02x %02x %02x",
                         cursor->file, magic[0], magic[1], magic[2], magic[3]);
    }
    RETURN_IF_ERROR(soti_cursor_u32(cursor, "the version", &version));
    if (version != 2 && version != 3) {
        bool big_endian = version == 0x02000000u || version == 0x03000000u;
        return soti_fail(SOT_ERR_UNSUPPORTED, "%s: GGUF version %u%s, supported are 2 and 3",
                         cursor->file, big_endian ? version >> 24 : version,
                         big_endian ? " in big-endian order" : "");
    }
    RETURN_IF_ERROR(soti_cursor_u64(cursor, "the number of tensors", &reader->n_tensors));
    RETURN_IF_ERROR(soti_cursor_u64(cursor, "the number of metadata pairs", n_values));
    if (reader->n_tensors > (cursor->size - cursor->offset) / ENTRY_BYTES_MIN) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %llu tensors do not fit the %zu bytes left",
                         cursor->file, (unsigned long long)reader->n_tensors,
                         cursor->size - cursor->offset);
    }
    return SOT_OK;
}

static bool text_is(const char *text, size_t size, const char *expected)
{
    return size == strlen(expected) && memcmp(text, expected, size) == 0;
}

/* Refuses what changes the computation and we do not do. */
static sot_status check_features(const soti_gguf_metadata *metadata)
{
    const char *text;
    size_t size;
    uint32_t number = 0;
    RETURN_IF_ERROR(soti_gguf_get_text(metadata, "general.architecture", true, &text, &size));
    if (!text_is(text, size, "llama")) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "%s: architecture %.*s, supported is llama",
                         metadata->file, (int)size, text);
    }
    RETURN_IF_ERROR(soti_gguf_get_u32(metadata, "split.count", false, &number));
    if (number > 1) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: one of %u parts of a split GGUF file: merge them first",
                         metadata->file, number);
    }
    number = 0;
    RETURN_IF_ERROR(soti_gguf_get_u32(metadata, "llama.expert_count", false, &number));
    if (number > 0) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "%s: a mixture of %u experts is not supported",
                         metadata->file, number);
    }
    return SOT_OK;
}

static sot_status read_rope(const soti_gguf_metadata *metadata, soti_shape *shape)
{
    const char *text;
    size_t size;
    uint32_t n_rotated = shape->d_head;
    shape->rope_layout = SOTI_ROPE_INTERLEAVED;
    shape->rope_theta = 10000.0f;
    shape->rope_scale = 1.0f;
    RETURN_IF_ERROR(soti_gguf_get_u32(metadata, "llama.rope.dimension_count", false, &n_rotated));
    if (n_rotated != shape->d_head) {
        return soti_fail(
            SOT_ERR_UNSUPPORTED,
            "%s: llama.rope.dimension_count is %u, supported is the size of a head, %u",
            metadata->file, n_rotated, shape->d_head);
    }
    RETURN_IF_ERROR(
        soti_gguf_get_float(metadata, "llama.rope.freq_base", false, &shape->rope_theta));
    RETURN_IF_ERROR(soti_gguf_get_text(metadata, "llama.rope.scaling.type", false, &text, &size));
    if (text == NULL) { /* files from before scaling had a type */
        RETURN_IF_ERROR(
            soti_gguf_get_float(metadata, "llama.rope.scale_linear", false, &shape->rope_scale));
        return soti_gguf_get_float(metadata, "llama.rope.scaling.factor", false,
                                   &shape->rope_scale);
    }
    if (text_is(text, size, "none")) {
        return SOT_OK;
    }
    if (!text_is(text, size, "linear")) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: llama.rope.scaling.type is %.*s, supported are none and linear",
                         metadata->file, (int)size, text);
    }
    return soti_gguf_get_float(metadata, "llama.rope.scaling.factor", true, &shape->rope_scale);
}

static sot_status read_head_size(const soti_gguf_metadata *metadata, soti_shape *shape)
{
    if (soti_gguf_find(metadata, "llama.attention.key_length") != NULL) {
        RETURN_IF_ERROR(
            soti_gguf_get_u32(metadata, "llama.attention.key_length", true, &shape->d_head));
    } else if (shape->n_head == 0 || shape->d_model % shape->n_head != 0) {
        return soti_fail(SOT_ERR_FORMAT,
                         "%s: an embedding of %u cannot be divided among %u attention heads",
                         metadata->file, shape->d_model, shape->n_head);
    } else {
        shape->d_head = shape->d_model / shape->n_head;
    }
    uint32_t value_length = shape->d_head;
    RETURN_IF_ERROR(
        soti_gguf_get_u32(metadata, "llama.attention.value_length", false, &value_length));
    if (value_length != shape->d_head) {
        return soti_fail(
            SOT_ERR_UNSUPPORTED,
            "%s: llama.attention.value_length is %u, supported is the size of a key, %u",
            metadata->file, value_length, shape->d_head);
    }
    return SOT_OK;
}

/* The vocabulary's size is stated by llama.vocab_size, or by the tokenizer, or only by the rows of
 * the embedding. Where they disagree the check of shapes says so. */
static sot_status read_vocabulary_size(gguf_reader *reader, soti_shape *shape)
{
    const soti_gguf_metadata *metadata = &reader->metadata;
    const soti_gguf_value *tokens;
    if (soti_gguf_find(metadata, "llama.vocab_size") != NULL) {
        return soti_gguf_get_u32(metadata, "llama.vocab_size", true, &shape->n_vocab);
    }
    RETURN_IF_ERROR(
        soti_gguf_get_array(metadata, "tokenizer.ggml.tokens", SOTI_GGUF_STRING, false, &tokens));
    const soti_tensor_entry *embedding =
        soti_tensor_list_find(&reader->tensors, "token_embd.weight");
    uint64_t n = tokens != NULL ? tokens->n_items : embedding != NULL ? embedding->dims[0] : 0;
    shape->n_vocab = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    return SOT_OK;
}

static sot_status read_shape(gguf_reader *reader)
{
    const soti_gguf_metadata *metadata = &reader->metadata;
    soti_shape *shape = &reader->out->shape;
    RETURN_IF_ERROR(
        soti_gguf_get_u32(metadata, "llama.context_length", false, &reader->out->n_ctx_train));
    RETURN_IF_ERROR(soti_gguf_get_u32(metadata, "llama.embedding_length", true, &shape->d_model));
    RETURN_IF_ERROR(soti_gguf_get_u32(metadata, "llama.block_count", true, &shape->n_layer));
    RETURN_IF_ERROR(soti_gguf_get_u32(metadata, "llama.feed_forward_length", true, &shape->d_ff));
    RETURN_IF_ERROR(
        soti_gguf_get_u32(metadata, "llama.attention.head_count", true, &shape->n_head));
    shape->n_kv = shape->n_head;
    RETURN_IF_ERROR(
        soti_gguf_get_u32(metadata, "llama.attention.head_count_kv", false, &shape->n_kv));
    RETURN_IF_ERROR(soti_gguf_get_float(metadata, "llama.attention.layer_norm_rms_epsilon", true,
                                        &shape->norm_eps));
    RETURN_IF_ERROR(read_head_size(metadata, shape));
    RETURN_IF_ERROR(read_rope(metadata, shape));
    RETURN_IF_ERROR(read_vocabulary_size(reader, shape));
    sot_status status = soti_shape_check(shape);
    return status == SOT_OK ? SOT_OK : soti_fail_in(status, "%s: ", metadata->file);
}

static sot_status read_type(gguf_reader *reader, const char *name, int name_size,
                            soti_tensor_entry *entry)
{
    enum { N_NAMES = sizeof ggml_type_names / sizeof ggml_type_names[0] };
    uint32_t type;
    RETURN_IF_ERROR(soti_cursor_u32(&reader->cursor, "the type of a tensor", &type));
    switch (type) {
    case TYPE_F32:
        entry->type = SOTI_TYPE_F32;
        return SOT_OK;
    case TYPE_F16:
        entry->type = SOTI_TYPE_F16;
        return SOT_OK;
    case TYPE_BF16:
        entry->type = SOTI_TYPE_BF16;
        return SOT_OK;
    default:
        return soti_fail(
            SOT_ERR_UNSUPPORTED, "%s: tensor %.*s: type %u (%s), supported are F32, F16, BF16",
            reader->cursor.file, name_size, name, type,
            type < N_NAMES && ggml_type_names[type] != NULL ? ggml_type_names[type] : "unknown");
    }
}

/* Reads one entry. Its begin is still relative to the data, whose start is not known yet. */
static sot_status read_tensor(gguf_reader *reader, size_t i)
{
    soti_cursor *cursor = &reader->cursor;
    soti_tensor_entry entry = {0};
    const char *name;
    size_t name_size;
    RETURN_IF_ERROR(soti_cursor_string(cursor, "the name of a tensor", &name, &name_size));
    RETURN_IF_ERROR(soti_tensor_name_check(cursor->file, i, name, name_size));
    RETURN_IF_ERROR(soti_cursor_u32(cursor, "the number of dimensions", &entry.n_dims));
    if (entry.n_dims == 0 || entry.n_dims > SOTI_TENSOR_DIMS_MAX) {
        return soti_fail(SOT_ERR_FORMAT, "%s: tensor %.*s: %u dimensions, expected 1 to %d",
                         cursor->file, (int)name_size, name, entry.n_dims, SOTI_TENSOR_DIMS_MAX);
    }
    uint64_t n = 1;
    for (uint32_t i_dim = entry.n_dims; i_dim-- > 0;) { /* the file has the fastest one first */
        RETURN_IF_ERROR(soti_cursor_u64(cursor, "the dimensions", &entry.dims[i_dim]));
        if (entry.dims[i_dim] == 0 || __builtin_mul_overflow(n, entry.dims[i_dim], &n) ||
            n > INT64_MAX / 4) {
            return soti_fail(SOT_ERR_FORMAT, "%s: tensor %.*s: dimension %u is %llu", cursor->file,
                             (int)name_size, name, i_dim, (unsigned long long)entry.dims[i_dim]);
        }
    }
    RETURN_IF_ERROR(read_type(reader, name, (int)name_size, &entry));
    RETURN_IF_ERROR(soti_cursor_u64(cursor, "the offset of a tensor", &entry.begin));
    entry.end = n * soti_type_bytes(entry.type); /* its size, for now */
    return soti_tensor_list_add(&reader->tensors, &entry, name, name_size);
}

/* Turns offsets within the data into offsets within the file. */
static sot_status place_tensors(gguf_reader *reader)
{
    soti_cursor *cursor = &reader->cursor;
    uint32_t alignment = 32;
    RETURN_IF_ERROR(soti_gguf_get_u32(&reader->metadata, "general.alignment", false, &alignment));
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
        return soti_fail(SOT_ERR_FORMAT, "%s: general.alignment is %u, expected a power of two",
                         cursor->file, alignment);
    }
    uint64_t start = ((uint64_t)cursor->offset + alignment - 1) / alignment * alignment;
    for (size_t i = 0; i < reader->tensors.count; i++) {
        soti_tensor_entry *entry = &reader->tensors.entries[i];
        uint64_t offset = entry->begin;
        uint64_t bytes = entry->end;
        if (offset % alignment != 0) {
            return soti_fail(SOT_ERR_FORMAT,
                             "%s: tensor %s: offset %llu is no multiple of the alignment, %u",
                             cursor->file, entry->name, (unsigned long long)offset, alignment);
        }
        if (__builtin_add_overflow(start, offset, &entry->begin) ||
            __builtin_add_overflow(entry->begin, bytes, &entry->end) || entry->end > cursor->size) {
            return soti_fail(
                SOT_ERR_FORMAT,
                "%s: tensor %s: %llu bytes at offset %llu of the data, which starts at "
                "%llu, but the file has %zu bytes",
                cursor->file, entry->name, (unsigned long long)bytes, (unsigned long long)offset,
                (unsigned long long)start, cursor->size);
        }
    }
    return SOT_OK;
}

static sot_status copy_optional(const soti_gguf_metadata *metadata, const char *key, char **out)
{
    const char *text;
    size_t size;
    RETURN_IF_ERROR(soti_gguf_get_text(metadata, key, false, &text, &size));
    if (text == NULL) {
        return SOT_OK;
    }
    *out = soti_copy_text(text, size);
    return *out != NULL ? SOT_OK : SOT_ERR_MEMORY;
}

static sot_status read_model(gguf_reader *reader)
{
    soti_checkpoint *out = reader->out;
    uint64_t n_values;
    RETURN_IF_ERROR(read_header(reader, &n_values));
    RETURN_IF_ERROR(soti_gguf_metadata_read(&reader->cursor, n_values, &reader->metadata));
    RETURN_IF_ERROR(check_features(&reader->metadata));
    for (uint64_t i = 0; i < reader->n_tensors; i++) {
        RETURN_IF_ERROR(read_tensor(reader, (size_t)i));
    }
    RETURN_IF_ERROR(place_tensors(reader));
    RETURN_IF_ERROR(read_shape(reader));
    if (soti_tensor_list_find(&reader->tensors, "rope_freqs.weight") != NULL) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: tensor rope_freqs.weight: rotary frequency factors are not supported",
                         reader->cursor.file);
    }
    out->tied_output = soti_tensor_list_find(&reader->tensors, "output.weight") == NULL;
    RETURN_IF_ERROR(soti_tensor_list_finish(&reader->tensors, SOTI_NAMES_GGUF, reader->log, out));
    RETURN_IF_ERROR(copy_optional(&reader->metadata, "general.name", &out->name));
    RETURN_IF_ERROR(copy_optional(&reader->metadata, "sot.conversation", &out->conversation));
    return soti_gguf_read_vocabulary(&reader->metadata, out);
}

sot_status soti_gguf_read(const char *path, const soti_intake *intake, soti_checkpoint *out)
{
    out->maps = soti_alloc(1, sizeof *out->maps);
    if (out->maps == NULL) {
        return SOT_ERR_MEMORY;
    }
    RETURN_IF_ERROR(soti_checkpoint_take_file(path, intake, out));
    gguf_reader reader = {
        .cursor = {.file = soti_path_base(out->maps[0].path),
                   .data = out->maps[0].data,
                   .size = out->maps[0].size},
        .log = intake->log,
        .out = out,
    };
    sot_status status = read_model(&reader);
    soti_tensor_list_free(&reader.tensors);
    soti_gguf_metadata_free(&reader.metadata);
    return status;
}
