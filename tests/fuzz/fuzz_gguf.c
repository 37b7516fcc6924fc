/* Any bytes as a GGUF file: it is loaded or refused in order, and a model that was loaded answers.
 */
#include "fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_file file;
    fuzz_try_model(fuzz_file_put(&file, data, size), size % 2 ? SOT_MODEL_COPY : 0);
    return 0;
}
