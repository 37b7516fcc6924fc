/* See hf_config.h. Keys and defaults are those of Transformers' LlamaConfig; what its model does
 * and ours does not is refused by name. */
#include "io/hf_config.h"

#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/json_file.h"
#include "io/path_name.h"
#include "io/tensor_list.h"

static const char config_file[] = "config.json";

static sot_status refuse_text(const json_t *config, const char *key, bool required,
                              const char *supported)
{
    const char *text = supported;
    RETURN_IF_ERROR(soti_json_get_text(config_file, config, key, required, &text));
    if (strcmp(text, supported) != 0) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "%s: %s is \"%s\", supported is \"%s\"", config_file,
                         key, text, supported);
    }
    return SOT_OK;
}

static sot_status refuse_flag(const json_t *config, const char *key)
{
    bool flag = false;
    RETURN_IF_ERROR(soti_json_get_bool(config_file, config, key, &flag));
    if (flag) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "%s: %s is true, supported is false", config_file,
                         key);
    }
    return SOT_OK;
}

/* "LlamaForCausalLM", or "LLaMAForCausalLM" as the first converters wrote it. */
static sot_status check_architecture(const json_t *config)
{
    const json_t *list = json_object_get(config, "architectures");
    const char *name = json_string_value(json_array_get(list, 0));
    if (name != NULL && strcasecmp(name, "LlamaForCausalLM") != 0) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: architectures is \"%s\", supported is \"LlamaForCausalLM\"",
                         config_file, name);
    }
    return SOT_OK;
}

static sot_status check_features(const json_t *config)
{
    RETURN_IF_ERROR(refuse_text(config, "model_type", true, "llama"));
    RETURN_IF_ERROR(check_architecture(config));
    RETURN_IF_ERROR(refuse_text(config, "hidden_act", false, "silu"));
    RETURN_IF_ERROR(refuse_flag(config, "attention_bias"));
    RETURN_IF_ERROR(refuse_flag(config, "mlp_bias"));
    const json_t *quantization = json_object_get(config, "quantization_config");
    if (quantization != NULL && !json_is_null(quantization)) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: quantization_config: quantised weights are not "
                         "supported",
                         config_file);
    }
    return SOT_OK;
}

/* rope_scaling (before Transformers 5) and rope_parameters (since) have the same members. */
static sot_status read_rope_object(const json_t *config, const char *key, soti_shape *shape)
{
    const json_t *rope = json_object_get(config, key);
    const char *type = "default";
    float rotated = 1.0f;
    if (rope == NULL || json_is_null(rope)) {
        return SOT_OK;
    }
    if (!json_is_object(rope)) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %s is not an object", config_file, key);
    }
    RETURN_IF_ERROR(soti_json_get_text(config_file, rope, "type", false, &type));
    RETURN_IF_ERROR(soti_json_get_text(config_file, rope, "rope_type", false, &type));
    RETURN_IF_ERROR(
        soti_json_get_float(config_file, rope, "rope_theta", false, &shape->rope_theta));
    RETURN_IF_ERROR(
        soti_json_get_float(config_file, rope, "partial_rotary_factor", false, &rotated));
    if (rotated != 1.0f) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "%s: %s: partial_rotary_factor is %g, supported is 1",
                         config_file, key, (double)rotated);
    }
    if (strcmp(type, "default") == 0) {
        return SOT_OK;
    }
    if (strcmp(type, "linear") != 0) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: %s is of type \"%s\", supported are \"default\" and \"linear\"",
                         config_file, key, type);
    }
    return soti_json_get_float(config_file, rope, "factor", true, &shape->rope_scale);
}

static sot_status read_rope(const json_t *config, soti_shape *shape)
{
    shape->rope_layout = SOTI_ROPE_HALF_SPLIT;
    shape->rope_theta = 10000.0f;
    shape->rope_scale = 1.0f;
    RETURN_IF_ERROR(
        soti_json_get_float(config_file, config, "rope_theta", false, &shape->rope_theta));
    RETURN_IF_ERROR(read_rope_object(config, "rope_scaling", shape));
    return read_rope_object(config, "rope_parameters", shape);
}

static sot_status read_shape(const json_t *config, soti_shape *shape)
{
    RETURN_IF_ERROR(soti_json_get_u32(config_file, config, "hidden_size", true, &shape->d_model));
    RETURN_IF_ERROR(
        soti_json_get_u32(config_file, config, "intermediate_size", true, &shape->d_ff));
    RETURN_IF_ERROR(
        soti_json_get_u32(config_file, config, "num_hidden_layers", true, &shape->n_layer));
    RETURN_IF_ERROR(
        soti_json_get_u32(config_file, config, "num_attention_heads", true, &shape->n_head));
    RETURN_IF_ERROR(soti_json_get_u32(config_file, config, "vocab_size", true, &shape->n_vocab));
    shape->n_kv = shape->n_head;
    RETURN_IF_ERROR(
        soti_json_get_u32(config_file, config, "num_key_value_heads", false, &shape->n_kv));
    shape->norm_eps = 1e-6f;
    RETURN_IF_ERROR(
        soti_json_get_float(config_file, config, "rms_norm_eps", false, &shape->norm_eps));
    RETURN_IF_ERROR(soti_json_get_u32(config_file, config, "head_dim", false, &shape->d_head));
    const json_t *head_dim = json_object_get(config, "head_dim");
    if (head_dim == NULL || json_is_null(head_dim)) {
        if (shape->n_head == 0 || shape->d_model % shape->n_head != 0) {
            return soti_fail(SOT_ERR_FORMAT,
                             "%s: hidden_size %u cannot be divided by num_attention_heads %u",
                             config_file, shape->d_model, shape->n_head);
        }
        shape->d_head = shape->d_model / shape->n_head;
    }
    RETURN_IF_ERROR(read_rope(config, shape));
    sot_status status = soti_shape_check(shape);
    return status == SOT_OK ? SOT_OK : soti_fail_in(status, "%s: ", config_file);
}

/* A number, or a list whose first one counts. */
static sot_status read_id(const json_t *config, const char *key, uint32_t n_vocab, int32_t *out)
{
    const json_t *value = json_object_get(config, key);
    if (json_is_array(value)) {
        value = json_array_get(value, 0);
    }
    if (value == NULL || json_is_null(value)) {
        return SOT_OK;
    }
    if (!json_is_integer(value)) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %s is not an integer", config_file, key);
    }
    json_int_t id = json_integer_value(value);
    if (id < -1 || id >= (json_int_t)n_vocab) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %s is %lld, but vocab_size is %u", config_file, key,
                         (long long)id, n_vocab);
    }
    *out = (int32_t)id;
    return SOT_OK;
}

static sot_status read_config(const json_t *config, soti_checkpoint *out)
{
    bool tied = false;
    const char *name = "";
    uint32_t n_ctx_extended = 0;
    RETURN_IF_ERROR(check_features(config));
    RETURN_IF_ERROR(read_shape(config, &out->shape));
    RETURN_IF_ERROR(soti_json_get_bool(config_file, config, "tie_word_embeddings", &tied));
    out->tied_output = tied;
    RETURN_IF_ERROR(soti_json_get_u32(config_file, config, "max_position_embeddings", false,
                                      &out->n_ctx_train));
    /* models with linear scaling state the context before scaling above and the real one here */
    RETURN_IF_ERROR(
        soti_json_get_u32(config_file, config, "max_sequence_length", false, &n_ctx_extended));
    if (n_ctx_extended > out->n_ctx_train) {
        out->n_ctx_train = n_ctx_extended;
    }
    RETURN_IF_ERROR(read_id(config, "bos_token_id", out->shape.n_vocab, &out->bos_id));
    RETURN_IF_ERROR(read_id(config, "eos_token_id", out->shape.n_vocab, &out->eos_id));
    RETURN_IF_ERROR(soti_json_get_text(config_file, config, "_name_or_path", false, &name));
    size_t size;
    const char *last = soti_path_component(name, 0, &size);
    out->name = soti_copy_text(last, size);
    return out->name != NULL ? SOT_OK : SOT_ERR_MEMORY;
}

sot_status soti_hf_config_read(const char *folder, soti_checkpoint *out)
{
    json_t *config;
    RETURN_IF_ERROR(soti_json_read(folder, config_file, &config));
    sot_status status = read_config(config, out);
    json_decref(config);
    return status;
}
