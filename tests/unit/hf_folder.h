/* A Hugging Face model directory to be, member by member; see model_files.h. The safetensors writer
 * follows the format's description (github.com/huggingface/safetensors). */
#ifndef TESTS_UNIT_HF_FOLDER_H
#define TESTS_UNIT_HF_FOLDER_H

#include "model_files.h"

enum { HF_MEMBERS_MAX = 32, HF_TENSORS_MAX = 32 };

typedef struct hf_member {
    const char *key;
    const char *value; /* JSON text */
} hf_member;

typedef struct hf_config {
    hf_member members[HF_MEMBERS_MAX];
    size_t n_members;
} hf_config;

/* value NULL removes the member. */
static UNUSED void config_set(hf_config *config, const char *key, const char *value)
{
    size_t i = 0;
    while (i < config->n_members && strcmp(config->members[i].key, key) != 0) {
        i++;
    }
    if (value == NULL) {
        assert_true(i < config->n_members);
        config->members[i] = config->members[--config->n_members];
        return;
    }
    assert_true(i < HF_MEMBERS_MAX);
    config->n_members += i == config->n_members;
    config->members[i] = (hf_member){key, value};
}

static UNUSED void config_begin(hf_config *config)
{
    config->n_members = 0;
    config_set(config, "model_type", "\"llama\"");
    config_set(config, "architectures", "[\"LlamaForCausalLM\"]");
    config_set(config, "hidden_act", "\"silu\"");
    config_set(config, "hidden_size", "8");
    config_set(config, "intermediate_size", "10");
    config_set(config, "num_hidden_layers", "1");
    config_set(config, "num_attention_heads", "2");
    config_set(config, "num_key_value_heads", "1");
    config_set(config, "head_dim", "6");
    config_set(config, "vocab_size", "7");
    config_set(config, "rms_norm_eps", "1e-05");
    config_set(config, "max_position_embeddings", "64");
}

static UNUSED void config_write(const hf_config *config)
{
    static char text[8192];
    size_t used = (size_t)snprintf(text, sizeof text, "{");
    for (size_t i = 0; i < config->n_members; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s\n  \"%s\": %s", i ? "," : "",
                                 config->members[i].key, config->members[i].value);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "\n}\n");
    write_file(path_of("config.json"), text, used);
}

typedef struct st_tensor {
    const char *name;
    const char *type;
    char shape[64]; /* JSON text */
    uint64_t begin;
    uint64_t end;
} st_tensor;

/* One safetensors file. */
typedef struct st_image {
    st_tensor tensors[HF_TENSORS_MAX];
    size_t n_tensors;
    const char *more;     /* JSON members in front of the tensors, each with a comma behind it */
    int64_t length_error; /* added to the header's length */
    bytes data;
} st_image;

static UNUSED st_tensor *st_find(st_image *image, const char *name)
{
    for (size_t i = 0; i < image->n_tensors; i++) {
        if (strcmp(image->tensors[i].name, name) == 0) {
            return &image->tensors[i];
        }
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

static UNUSED void st_remove(st_image *image, const char *name)
{
    *st_find(image, name) = image->tensors[image->n_tensors - 1];
    image->n_tensors--;
}

static UNUSED void st_add_tiny(st_image *image, size_t t, uint32_t type)
{
    static const char *const types[] = {
        [SOTI_TYPE_F16] = "F16", [SOTI_TYPE_BF16] = "BF16", [SOTI_TYPE_F32] = "F32"};
    const tiny_tensor *tiny = &tiny_tensors[t];
    st_tensor *tensor = &image->tensors[image->n_tensors++];
    *tensor = (st_tensor){.name = tiny->name, .type = types[type], .begin = image->data.size};
    snprintf(tensor->shape, sizeof tensor->shape, tiny->dims[1] ? "[%u, %u]" : "[%u]",
             (unsigned)tiny->dims[0], (unsigned)tiny->dims[1]);
    put_tiny_values(&image->data, t, tiny_count(t), type);
    tensor->end = image->data.size;
}

/* Tensors first .. end of the tiny model in BF16. */
static UNUSED void st_begin(st_image *image, size_t first, size_t end)
{
    memset(image, 0, sizeof *image);
    image->more = "\"__metadata__\": {\"format\": \"pt\"},";
    for (size_t t = first; t < end; t++) {
        st_add_tiny(image, t, SOTI_TYPE_BF16);
    }
}

/* Writes header text and data as they are. */
static UNUSED void st_write_raw(const char *name, uint64_t length, const char *header,
                                size_t header_size, const bytes *data)
{
    static bytes out;
    out.size = 0;
    put_number(&out, length, 8);
    put(&out, header, header_size);
    put(&out, data->data, data->size);
    write_file(path_of(name), out.data, out.size);
}

static UNUSED void st_write(const st_image *image, const char *name)
{
    static char header[8192];
    size_t used = (size_t)snprintf(header, sizeof header, "{%s", image->more ? image->more : "");
    for (size_t i = 0; i < image->n_tensors; i++) {
        const st_tensor *tensor = &image->tensors[i];
        used += (size_t)snprintf(
            header + used, sizeof header - used,
            "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%llu,%llu]}", i ? "," : "",
            tensor->name, tensor->type, tensor->shape, (unsigned long long)tensor->begin,
            (unsigned long long)tensor->end);
    }
    used += (size_t)snprintf(header + used, sizeof header - used, "}");
    while (used % 8 != 0) {
        header[used++] = ' ';
    }
    st_write_raw(name, (uint64_t)((int64_t)used + image->length_error), header, used, &image->data);
}

/* A whole directory: config.json and one file, both right. */
static UNUSED void hf_folder_begin(hf_config *config, st_image *image)
{
    folder_remove(test_folder);
    assert_int_equal(mkdir(test_folder, 0700), 0);
    config_begin(config);
    config_write(config);
    st_begin(image, 0, N_TINY);
    st_write(image, "model.safetensors");
}

#endif
