/* Any bytes as a trained router's file, as they are and then with size and checksum put right,
 * which chance never does; what is read scores the same bytes as a question. Built by run.sh. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../router_image.h"
#include "sot/router_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_file(const uint8_t *data, size_t size, const char *question, size_t n_question)
{
    sot_router *router;
    if (soti_router_file_read("fuzz", data, size, &router) != SOT_OK) {
        return;
    }
    float score;
    if (soti_classifier_score(router, question, n_question, &score) != SOT_OK ||
        !(score >= 0.0f && score <= 1.0f)) {
        abort();
    }
    soti_classifier_free(router);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_file(data, size, (const char *)data, size);
    if (size < 80) {
        return 0;
    }
    soti_buffer sealed = {0};
    soti_buffer_append(&sealed, data, size);
    router_image_seal(&sealed, 1);
    try_file((const uint8_t *)sealed.data, sealed.size, (const char *)data, size);
    soti_buffer_free(&sealed);
    return 0;
}
