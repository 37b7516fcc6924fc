/* Any bytes as a GGUF file: opening works or fails in order, and what is then called a tensor lies
 * inside the file. From the source folder:
 *   clang -g -O1 -std=c11 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Iinclude -Ilib \
 *       tests/fuzz/fuzz_gguf.c lib/base/[a-z]*.c lib/io/[a-z]*.c -ljansson -lpthread -lm -o fuzz
 *   mkdir -p corpus && ./fuzz -max_len=65536 corpus tests/fuzz/corpus/fuzz_gguf */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int descriptor = -1;
    static char path[64];
    if (descriptor < 0) {
        descriptor = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    }
    if (ftruncate(descriptor, 0) != 0 || pwrite(descriptor, data, size, 0) != (ssize_t)size) {
        abort();
    }
    soti_log log = {NULL, NULL};
    soti_checkpoint checkpoint;
    if (soti_checkpoint_open(path, 0, &log, NULL, NULL, &checkpoint) != SOT_OK) {
        return 0;
    }
    const soti_filemap *map = &checkpoint.maps[0];
    for (size_t i = 0; i < checkpoint.n_tensors; i++) {
        const soti_tensor *tensor = &checkpoint.tensors[i];
        if (tensor->data < map->data || tensor->bytes > map->size ||
            tensor->data + tensor->bytes > map->data + map->size) {
            abort();
        }
    }
    soti_checkpoint_close(&checkpoint);
    return 0;
}
