/* The exported sot_router functions: arguments are checked here, sot/router_file.c reads the file
 * and sot/classifier.c scores. */
#include "sot/sot.h"

#include "base/fail.h"
#include "sot/classifier.h"
#include "sot/router_file.h"

sot_status sot_router_load(const char *path, sot_router **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_router_load: out is NULL");
    }
    return soti_router_file_load(path, out);
}

void sot_router_free(sot_router *router)
{
    soti_classifier_free(router);
}

sot_status sot_router_classify(const sot_router *router, const char *question, size_t size,
                               float *score, uint32_t *label)
{
    float own;
    if (score != NULL) {
        *score = 0.0f;
    }
    if (label != NULL) {
        *label = SOT_LABEL_UNDECIDED;
    }
    if (router == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_router_classify: router is NULL");
    }
    if (question == NULL && size > 0) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_router_classify: question is NULL, its size is %zu",
                         size);
    }
    RETURN_IF_ERROR(soti_classifier_score(router, question != NULL ? question : "", size, &own));
    if (score != NULL) {
        *score = own;
    }
    if (label != NULL) {
        *label = soti_classifier_label(router, own);
    }
    return SOT_OK;
}
