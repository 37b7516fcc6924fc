/* The exported functions of prompt templates; sot/prompts_load.c does the work. */
#include "sot/sot.h"

#include "base/alloc.h"
#include "base/fail.h"
#include "sot/prompts_load.h"

sot_status sot_prompts_load(const char *path, sot_prompts **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_prompts_load: out is NULL");
    }
    *out = NULL;
    if (path == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_prompts_load: path is NULL");
    }
    return soti_prompts_load(path, out);
}

void sot_prompts_free(sot_prompts *prompts)
{
    soti_free(prompts);
}
