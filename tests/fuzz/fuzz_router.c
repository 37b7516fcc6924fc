/* The input is a length, a question of as many bytes, and a trained router's file: as it is, then
 * with size and checksum put right, which chance never does. What is read scores the question. */
#include "../router_image.h"
#include "fuzz_input.h"
#include "sot/router_file.h"

static void try_file(fuzz_bytes file, fuzz_bytes question)
{
    sot_router *router;
    if (soti_router_file_read("fuzz", file.data, file.size, &router) != SOT_OK) {
        fuzz_check_text(sot_error_message());
        return;
    }
    float score;
    fuzz_check_ok(
        soti_classifier_score(router, (const char *)question.data, question.size, &score));
    fuzz_check(score >= 0.0f && score <= 1.0f);
    soti_classifier_free(router);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || data[0] > size - 1) {
        return 0;
    }
    fuzz_bytes question = {data + 1, data[0]};
    fuzz_bytes file = {question.data + question.size, size - 1 - question.size};
    try_file(file, question);
    if (file.size < 80) {
        return 0;
    }
    soti_buffer sealed = {0};
    soti_buffer_append(&sealed, file.data, file.size);
    router_image_seal(&sealed, 1);
    try_file((fuzz_bytes){(const uint8_t *)sealed.data, sealed.size}, question);
    soti_buffer_free(&sealed);
    return 0;
}
