/* Any bytes as model.safetensors.index.json of a directory with three files of weights, two of
 * which have what a model needs. No file from elsewhere is ever opened. */
#include "base/buffer.h"
#include "fuzz_folder.h"
#include "fuzz_model.h"
#include "io/tensor_names.h"

static const char config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 4, \"intermediate_size\": 3,"
    " \"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"rms_norm_eps\": 1e-5,"
    " \"vocab_size\": 5, \"tie_word_embeddings\": true}";

static const soti_shape shape = {
    .n_layer = 1, .n_head = 2, .n_kv = 2, .d_head = 2, .d_model = 4, .d_ff = 3, .n_vocab = 5};

/* Tensors i with i % 2 == which, in FP16; the third file repeats the first one's. */
static void put_weights(const char *name, size_t which)
{
    char entry[192];
    char dims[48];
    soti_buffer file = {0};
    unsigned long long at = 0;
    soti_buffer_append(&file, "\0\0\0\0\0\0\0\0{", 9);
    for (size_t i = which; i < soti_expected_tensor_count(&shape, 1); i += 2) {
        soti_expected_tensor tensor;
        soti_expected_tensor_get(&shape, i, &tensor);
        unsigned long long rows = tensor.dims[0];
        unsigned long long columns = tensor.n_dims == 2 ? tensor.dims[1] : 1;
        int n = snprintf(dims, sizeof dims, "%llu", rows);
        if (tensor.n_dims == 2) {
            snprintf(dims + n, sizeof dims - (size_t)n, ",%llu", columns);
        }
        snprintf(entry, sizeof entry,
                 "%s\"%s\":{\"dtype\":\"F16\",\"shape\":[%s],\"data_offsets\":[%llu,%llu]}",
                 i > which ? "," : "", tensor.name, dims, at, at + 2 * rows * columns);
        soti_buffer_append_text(&file, entry);
        at += 2 * rows * columns;
    }
    soti_buffer_append(&file, "}", 1);
    for (int i = 0; i < 8; i++) {
        file.data[i] = (char)(uint8_t)((uint64_t)(file.size - 8) >> (8 * i));
    }
    for (; at > 0; at -= 2) {
        soti_buffer_append(&file, "\0\x3C", 2);
    }
    fuzz_folder_put(name, file.data, file.size);
    soti_buffer_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_ready;
    if (!is_ready) {
        fuzz_folder_put("config.json", config, sizeof config - 1);
        put_weights("a.safetensors", 0);
        put_weights("b.safetensors", 1);
        put_weights("c.safetensors", 0);
        is_ready = true;
    }
    fuzz_folder_put("model.safetensors.index.json", data, size);
    fuzz_try_model(fuzz_folder.path, size % 2 ? SOT_MODEL_COPY : 0);
    return 0;
}
