/* Any bytes as a .safetensors file: reading works or fails in order, and every tensor's bytes lie
 * inside the file; then the list is compared with a tiny model's, which must not go wrong either.
 * Built as fuzz_gguf.c says, with this file in its place; its corpus is corpus/fuzz_safetensors. */
#include <stdint.h>
#include <stdlib.h>

#include "io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[] = "fuzz.safetensors";
    soti_filemap map = {path, data, size};
    soti_tensor_list list = {NULL, 0, 0};
    soti_log log = {NULL, NULL};
    soti_checkpoint checkpoint = {
        .path = path,
        .maps = &map,
        .n_maps = 1,
        .shape = {.n_layer = 1,
                  .n_head = 2,
                  .n_kv = 1,
                  .d_head = 6,
                  .d_model = 8,
                  .d_ff = 10,
                  .n_vocab = 7},
    };
    if (size > 0 && soti_safetensors_read(&map, 0, &list) == SOT_OK) {
        for (size_t i = 0; i < list.count; i++) {
            const soti_tensor_entry *entry = &list.entries[i];
            if (entry->begin > entry->end || entry->end > size) {
                abort();
            }
        }
        soti_tensor_list_finish(&list, SOTI_NAMES_HUGGINGFACE, &log, &checkpoint);
    }
    soti_tensor_list_free(&list);
    checkpoint.maps = NULL; /* not the checkpoint's own: only what finishing made is to be freed */
    checkpoint.n_maps = 0;
    checkpoint.path = NULL;
    soti_checkpoint_close(&checkpoint);
    return 0;
}
