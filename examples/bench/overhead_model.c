/* Writing a Hugging Face model directory around a tokenizer: see overhead_model.h. The file formats
 * are those of Transformers' config.json and of safetensors. */
#include "overhead_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shared/text.h"
#include "bench_options.h"

enum { WIDTH = 32, HIDDEN = 64, HEADS = 2, LAYERS = 2, VOCABULARY = 32000, CONTEXT = 4096 };

#define FP16_ONE 0x3c00

struct folder {
    char path[512];
    char files[3][600]; /* config.json, model.safetensors, tokenizer.model */
};

struct tensor {
    const char *name; /* in each layer behind "model.layers.N." */
    unsigned rows, columns;
    int of_layer;
};

static const struct tensor tensors[] = {
    {"model.embed_tokens.weight", VOCABULARY, WIDTH, 0},
    {"input_layernorm.weight", 1, WIDTH, 1},
    {"self_attn.q_proj.weight", WIDTH, WIDTH, 1},
    {"self_attn.k_proj.weight", WIDTH, WIDTH, 1},
    {"self_attn.v_proj.weight", WIDTH, WIDTH, 1},
    {"self_attn.o_proj.weight", WIDTH, WIDTH, 1},
    {"post_attention_layernorm.weight", 1, WIDTH, 1},
    {"mlp.gate_proj.weight", HIDDEN, WIDTH, 1},
    {"mlp.up_proj.weight", HIDDEN, WIDTH, 1},
    {"mlp.down_proj.weight", WIDTH, HIDDEN, 1},
    {"model.norm.weight", 1, WIDTH, 0},
    {"lm_head.weight", VOCABULARY, WIDTH, 0},
};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };

/* ---- Files -------------------------------------------------------------------------------------
 */

static int failed(const char *path)
{
    complain("%s: %s", path, strerror(errno));
    return 0;
}

static int write_file(const char *path, const struct text *text)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return failed(path);
    int good = fwrite(text->bytes, 1, text->size, file) == text->size;
    good &= fclose(file) == 0;
    return good ? 1 : failed(path);
}

static int copy_file(const char *from, const char *to)
{
    char block[1 << 16];
    struct text bytes = {0};
    FILE *file = fopen(from, "rb");
    if (!file)
        return failed(from);
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;)
        text_append(&bytes, block, n);
    int good = !ferror(file);
    fclose(file);
    good = good ? write_file(to, &bytes) : failed(from);
    text_free(&bytes);
    return good;
}

static void write_config(struct text *text)
{
    text_format(text,
                "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], "
                "\"hidden_size\": %d, \"intermediate_size\": %d, \"num_hidden_layers\": %d, "
                "\"num_attention_heads\": %d, \"vocab_size\": %d, \"rms_norm_eps\": 1e-05, "
                "\"max_position_embeddings\": %d, \"bos_token_id\": 1, \"eos_token_id\": 2}\n",
                WIDTH, HIDDEN, LAYERS, HEADS, VOCABULARY, CONTEXT);
}

/* Norms are 1; every other weight has a random sign and lies between 2^-4 and 2^-2. */
static uint16_t random_weight(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    uint64_t bits = *state >> 20;
    return (uint16_t)((bits & 0x8000) | (11 + (bits >> 16 & 1)) << 10 | (bits & 0x3ff));
}

static void write_tensor(const struct tensor *tensor, unsigned layer, uint64_t *state,
                         struct text *header, struct text *weights)
{
    char name[96];
    size_t begin = weights->size;
    size_t n = (size_t)tensor->rows * tensor->columns;
    uint16_t *values = grow(NULL, n * sizeof *values);
    if (tensor->of_layer)
        snprintf(name, sizeof name, "model.layers.%u.%s", layer, tensor->name);
    else
        snprintf(name, sizeof name, "%s", tensor->name);
    for (size_t i = 0; i < n; i++)
        values[i] = tensor->rows == 1 ? FP16_ONE : random_weight(state);
    text_append(weights, (const char *)values, n * sizeof *values);
    free(values);
    text_format(header, "%s\"%s\": {\"dtype\": \"F16\", \"shape\": [", header->size ? ", " : "{",
                name);
    if (tensor->rows > 1)
        text_format(header, "%u, ", tensor->rows);
    text_format(header, "%u], \"data_offsets\": [%zu, %zu]}", tensor->columns, begin,
                weights->size);
}

static void write_weights(struct text *file)
{
    struct text header = {0};
    struct text weights = {0};
    uint64_t state = 88172645463325252u;
    for (const struct tensor *tensor = tensors; tensor < tensors + N_TENSORS; tensor++)
        for (unsigned layer = 0; layer < (tensor->of_layer ? LAYERS : 1); layer++)
            write_tensor(tensor, layer, &state, &header, &weights);
    text_string(&header, "}");
    while (header.size % 8 != 0)
        text_string(&header, " ");
    for (unsigned i = 0; i < 8; i++) {
        char byte = (char)(header.size >> 8 * i & 0xff);
        text_append(file, &byte, 1);
    }
    text_append(file, header.bytes, header.size);
    text_append(file, weights.bytes, weights.size);
    text_free(&header);
    text_free(&weights);
}

/* ---- The folder --------------------------------------------------------------------------------
 */

static int make_folder(struct folder *folder)
{
    static const char *const names[] = {"config.json", "model.safetensors", "tokenizer.model"};
    const char *place = getenv("TMPDIR");
    int size = snprintf(folder->path, sizeof folder->path, "%s/sot-bench-XXXXXX",
                        place && place[0] ? place : "/tmp");
    if (size >= (int)sizeof folder->path || !mkdtemp(folder->path)) {
        complain("no temporary folder can be made in %s: %s", place && place[0] ? place : "/tmp",
                 strerror(errno));
        return 0;
    }
    for (size_t i = 0; i < 3; i++)
        snprintf(folder->files[i], sizeof folder->files[i], "%s/%s", folder->path, names[i]);
    return 1;
}

static int fill_folder(const struct folder *folder, const char *tokenizer_path)
{
    struct text config = {0};
    struct text weights = {0};
    write_config(&config);
    write_weights(&weights);
    int good = copy_file(tokenizer_path, folder->files[2]) &&
               write_file(folder->files[0], &config) && write_file(folder->files[1], &weights);
    text_free(&config);
    text_free(&weights);
    return good;
}

static void remove_folder(const struct folder *folder)
{
    for (size_t i = 0; i < 3; i++)
        unlink(folder->files[i]);
    rmdir(folder->path);
}

int overhead_model_load(const char *tokenizer_path, sot_model **out)
{
    struct folder folder;
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = "cpu";
    if (!make_folder(&folder))
        return EXIT_FAILED;
    int code = EXIT_FAILED;
    if (fill_folder(&folder, tokenizer_path)) {
        sot_status status = sot_model_load(folder.path, &params, out);
        code = status == SOT_OK ? -1 : exit_code_of(status);
    }
    remove_folder(&folder); /* what is mapped stays as long as the model does */
    return code;
}
