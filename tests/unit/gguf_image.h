/* A GGUF file to be, field by field; see model_files.h. Written from docs/gguf.md of ggml. */
#ifndef TESTS_UNIT_GGUF_IMAGE_H
#define TESTS_UNIT_GGUF_IMAGE_H

#include "model_files.h"

enum { GGUF_PAIRS_MAX = 48, GGUF_TENSORS_MAX = 16, GGUF_ITEMS_MAX = 8, GGUF_FIELDS_MAX = 512 };

/* Types of values, from the specification. */
enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };

typedef struct gguf_pair {
    const char *key;
    uint32_t type;
    uint64_t number;    /* whole types, bool */
    double real;        /* real types */
    const char *text;   /* string */
    uint32_t item_type; /* array: I32, F32 or STRING */
    uint64_t n_items;
    const char *texts[GGUF_ITEMS_MAX];
    double numbers[GGUF_ITEMS_MAX];
} gguf_pair;

typedef struct gguf_tensor {
    const char *name;
    uint32_t n_dims;
    uint64_t dims[4]; /* fastest first, as in the file */
    uint32_t type;    /* ggml's number */
    uint64_t offset;
} gguf_tensor;

/* A length, count, offset or type in the written file. */
typedef struct gguf_field {
    const char *what;
    size_t offset;
    size_t n_bytes;
    uint64_t value;
} gguf_field;

typedef struct gguf_image {
    char magic[5];
    uint32_t version;
    uint32_t alignment; /* of the data; the pair general.alignment is set by the test */
    gguf_pair pairs[GGUF_PAIRS_MAX];
    size_t n_pairs;
    gguf_tensor tensors[GGUF_TENSORS_MAX];
    size_t n_tensors;
    bytes data;
    gguf_field fields[GGUF_FIELDS_MAX]; /* known once written */
    size_t n_fields;
} gguf_image;

static UNUSED gguf_pair *image_pair(gguf_image *image, const char *key)
{
    for (size_t i = 0; i < image->n_pairs; i++) {
        if (strcmp(image->pairs[i].key, key) == 0) {
            return &image->pairs[i];
        }
    }
    assert_true(image->n_pairs < GGUF_PAIRS_MAX);
    image->pairs[image->n_pairs] = (gguf_pair){.key = key};
    return &image->pairs[image->n_pairs++];
}

static UNUSED void image_remove_pair(gguf_image *image, const char *key)
{
    *image_pair(image, key) = image->pairs[image->n_pairs - 1];
    image->n_pairs--;
}

static UNUSED void image_set_number(gguf_image *image, const char *key, uint32_t type,
                                    uint64_t number)
{
    gguf_pair *pair = image_pair(image, key);
    pair->type = type;
    pair->number = number;
}

static UNUSED void image_set_real(gguf_image *image, const char *key, uint32_t type, double real)
{
    gguf_pair *pair = image_pair(image, key);
    pair->type = type;
    pair->real = real;
}

static UNUSED void image_set_text(gguf_image *image, const char *key, const char *text)
{
    gguf_pair *pair = image_pair(image, key);
    pair->type = STRING;
    pair->text = text;
}

static UNUSED gguf_tensor *image_tensor(gguf_image *image, const char *name)
{
    for (size_t i = 0; i < image->n_tensors; i++) {
        if (strcmp(image->tensors[i].name, name) == 0) {
            return &image->tensors[i];
        }
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

static UNUSED void image_remove_tensor(gguf_image *image, const char *name)
{
    gguf_tensor *tensor = image_tensor(image, name);
    memmove(tensor, tensor + 1,
            (size_t)(image->tensors + image->n_tensors - tensor - 1) * sizeof *tensor);
    image->n_tensors--;
}

/* Tensor t with values of type, behind the others. */
static UNUSED void image_add_tiny(gguf_image *image, size_t t, uint32_t type)
{
    static const uint32_t ggml_types[] = {
        [SOTI_TYPE_F32] = 0, [SOTI_TYPE_F16] = 1, [SOTI_TYPE_BF16] = 30};
    const tiny_tensor *tiny = &tiny_tensors[t];
    gguf_tensor *tensor = &image->tensors[image->n_tensors++];
    *tensor = (gguf_tensor){.name = tiny->gguf_name, .type = ggml_types[type]};
    tensor->n_dims = tiny->dims[1] ? 2 : 1;
    tensor->dims[0] = tiny->dims[1] ? tiny->dims[1] : tiny->dims[0];
    tensor->dims[1] = tiny->dims[1] ? tiny->dims[0] : 0;
    while (image->data.size % image->alignment != 0) {
        put_number(&image->data, 0, 1);
    }
    tensor->offset = image->data.size;
    put_tiny_values(&image->data, t, tiny_count(t), type);
}

static UNUSED void image_set_tokens(gguf_image *image)
{
    static const char *const texts[] = {"<unk>", "<s>", "</s>", "\xE2\x96\x81", "a", "b"};
    gguf_pair *tokens = image_pair(image, "tokenizer.ggml.tokens");
    tokens->type = ARRAY;
    tokens->item_type = STRING;
    tokens->n_items = 6;
    memcpy(tokens->texts, texts, sizeof texts);
    gguf_pair *scores = image_pair(image, "tokenizer.ggml.scores");
    scores->type = ARRAY;
    scores->item_type = F32;
    scores->n_items = 6;
    gguf_pair *types = image_pair(image, "tokenizer.ggml.token_type");
    types->type = ARRAY;
    types->item_type = I32;
    types->n_items = 6;
    for (size_t i = 0; i < 6; i++) {
        scores->numbers[i] = -0.5 * (double)i;
        types->numbers[i] = i == 0  ? SOTI_PIECE_UNKNOWN
                            : i < 3 ? SOTI_PIECE_CONTROL
                                    : SOTI_PIECE_NORMAL;
    }
    image_set_text(image, "tokenizer.ggml.model", "llama");
    image_set_number(image, "tokenizer.ggml.bos_token_id", U32, 1);
    image_set_number(image, "tokenizer.ggml.eos_token_id", U32, 2);
    image_set_number(image, "tokenizer.ggml.unknown_token_id", U32, 0);
}

/* The tiny model with its matrices in F16 and its norms in F32, as converters write them. */
static UNUSED void image_begin(gguf_image *image)
{
    memset(image, 0, sizeof *image);
    memcpy(image->magic, "GGUF", 4);
    image->version = 3;
    image->alignment = 32;
    image_set_text(image, "general.architecture", "llama");
    image_set_text(image, "general.name", "tiny");
    image_set_number(image, "llama.context_length", U32, 64);
    image_set_number(image, "llama.embedding_length", U32, 8);
    image_set_number(image, "llama.block_count", U32, 1);
    image_set_number(image, "llama.feed_forward_length", U32, 10);
    image_set_number(image, "llama.attention.head_count", U32, 2);
    image_set_number(image, "llama.attention.head_count_kv", U32, 1);
    image_set_number(image, "llama.attention.key_length", U32, 6);
    image_set_number(image, "llama.vocab_size", U32, 7);
    image_set_real(image, "llama.attention.layer_norm_rms_epsilon", F32, 1e-5);
    for (size_t t = 0; t < N_TINY; t++) {
        image_add_tiny(image, t, tiny_tensors[t].dims[1] ? SOTI_TYPE_F16 : SOTI_TYPE_F32);
    }
}

static void put_field(gguf_image *image, bytes *out, const char *what, uint64_t value,
                      size_t n_bytes)
{
    assert_true(image->n_fields < GGUF_FIELDS_MAX);
    image->fields[image->n_fields++] = (gguf_field){what, out->size, n_bytes, value};
    put_number(out, value, n_bytes);
}

static void put_text(gguf_image *image, bytes *out, const char *what, const char *text)
{
    put_field(image, out, what, strlen(text), 8);
    put(out, text, strlen(text));
}

static void put_real(bytes *out, uint32_t type, double real)
{
    float single = (float)real;
    if (type == F32) {
        put(out, &single, sizeof single);
    } else {
        put(out, &real, sizeof real);
    }
}

static void put_pair(gguf_image *image, bytes *out, const gguf_pair *pair)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    put_text(image, out, "length of a key", pair->key);
    put_field(image, out, "type of a value", pair->type, 4);
    if (pair->type == STRING) {
        put_text(image, out, "length of a value", pair->text);
    } else if (pair->type == F32 || pair->type == F64) {
        put_real(out, pair->type, pair->real);
    } else if (pair->type != ARRAY) {
        put_number(out, pair->number, pair->type <= F64 ? sizes[pair->type] : 4);
    } else {
        put_field(image, out, "type of items", pair->item_type, 4);
        put_field(image, out, "number of items", pair->n_items, 8);
        for (size_t i = 0; i < pair->n_items && i < GGUF_ITEMS_MAX; i++) {
            if (pair->item_type == STRING) {
                put_text(image, out, "length of an item", pair->texts[i]);
            } else if (pair->item_type == F32) {
                put_real(out, F32, pair->numbers[i]);
            } else {
                put_number(out, (uint64_t)(int64_t)pair->numbers[i], 4);
            }
        }
    }
}

static UNUSED void image_bytes(gguf_image *image, bytes *out)
{
    out->size = 0;
    image->n_fields = 0;
    put(out, image->magic, 4);
    put_field(image, out, "version", image->version, 4);
    put_field(image, out, "number of tensors", image->n_tensors, 8);
    put_field(image, out, "number of pairs", image->n_pairs, 8);
    for (size_t i = 0; i < image->n_pairs; i++) {
        put_pair(image, out, &image->pairs[i]);
    }
    for (size_t i = 0; i < image->n_tensors; i++) {
        const gguf_tensor *tensor = &image->tensors[i];
        put_text(image, out, "length of a tensor's name", tensor->name);
        put_field(image, out, "number of dimensions", tensor->n_dims, 4);
        for (uint32_t j = 0; j < tensor->n_dims && j < 4; j++) {
            put_field(image, out, "dimension", tensor->dims[j], 8);
        }
        put_field(image, out, "type of a tensor", tensor->type, 4);
        put_field(image, out, "offset of a tensor", tensor->offset, 8);
    }
    while (out->size % image->alignment != 0) {
        put_number(out, 0, 1);
    }
    put(out, image->data.data, image->data.size);
}

static UNUSED const char *image_write(gguf_image *image)
{
    static bytes out;
    image_bytes(image, &out);
    write_file(path_of("tiny.gguf"), out.data, out.size);
    return path_of("tiny.gguf");
}

#endif
