/* A Hugging Face directory that is loaded or refused in order. The input is config.json, a byte
 * 0xFF, added_tokens.json, 0xFF, the header of model.safetensors, 0xFF, its data. The header's
 * length is put right and the data is filled up, which chance never does. With a first byte 0xFE
 * the rest is model.safetensors as it is, in front of a fixed config.json. */
#include "fuzz_folder.h"
#include "fuzz_model.h"

enum { RAW = 0xFE, DATA_BYTES = 4096 };

static const char fixed_config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 8, \"intermediate_size\": 10,"
    " \"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"num_key_value_heads\": 1,"
    " \"head_dim\": 6, \"rms_norm_eps\": 1e-5, \"vocab_size\": 7}";

/* Of SentencePiece: unknown, BOS, EOS, a space, "a", a full stop; BPE, a normalizer's part. */
static const char small_vocabulary[] = "\x0A\x09\x0A\x05<unk>\x18\x02"
                                       "\x0A\x07\x0A\x03<s>\x18\x03"
                                       "\x0A\x08\x0A\x04</s>\x18\x03"
                                       "\x0A\x05\x0A\x03\xE2\x96\x81"
                                       "\x0A\x03\x0A\x01"
                                       "a"
                                       "\x0A\x03\x0A\x01."
                                       "\x12\x02\x18\x02"
                                       "\x1A\x02\x18\x00";

static void put_weights(fuzz_bytes header, fuzz_bytes data)
{
    size_t n_data = data.size > DATA_BYTES ? data.size : DATA_BYTES;
    uint8_t *file = calloc(1, 8 + header.size + n_data);
    fuzz_check(file != NULL);
    for (int i = 0; i < 8; i++) {
        file[i] = (uint8_t)((uint64_t)header.size >> (8 * i));
    }
    memcpy(file + 8, header.data, header.size);
    memcpy(file + 8 + header.size, data.data, data.size);
    fuzz_folder_put("model.safetensors", file, 8 + header.size + n_data);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes input = {data, size};
    if (size > 0 && data[0] == RAW) {
        fuzz_folder_put("config.json", fixed_config, sizeof fixed_config - 1);
        fuzz_folder_take("added_tokens.json");
        fuzz_folder_take("tokenizer.model");
        fuzz_folder_put("model.safetensors", data + 1, size - 1);
    } else {
        fuzz_bytes config = fuzz_next_field(&input);
        fuzz_bytes added = fuzz_next_field(&input);
        fuzz_bytes header = fuzz_next_field(&input);
        fuzz_folder_put("config.json", config.data, config.size);
        fuzz_folder_take("added_tokens.json");
        fuzz_folder_take("tokenizer.model");
        if (added.size > 0) {
            fuzz_folder_put("added_tokens.json", added.data, added.size);
            fuzz_folder_put("tokenizer.model", small_vocabulary, sizeof small_vocabulary - 1);
        }
        put_weights(header, input);
    }
    fuzz_try_model(fuzz_folder.path, size % 2 ? SOT_MODEL_COPY : 0);
    return 0;
}
