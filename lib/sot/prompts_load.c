/* See prompts_load.h. Whether a template says what it must is prompts.c's to check; here it is
 * found in the file, and a failure gets the names of file and member. */
#include "sot/prompts_load.h"

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/filemap.h"
#include "io/json_file.h"
#include "sot/prompts.h"

/* One template; *text borrows from object. Where it is not required it may be missing. */
static sot_status get_template(const char *path, const json_t *object, const char *member,
                               bool required, soti_prompt_kind kind, const char **text)
{
    *text = NULL;
    RETURN_IF_ERROR(soti_json_get_text(path, object, member, required, text));
    if (*text != NULL && soti_prompt_check(kind, *text) != SOT_OK) {
        return soti_fail_in(SOT_ERR_FORMAT, "%s: %s: ", path, member);
    }
    return SOT_OK;
}

/* Copies text behind the struct, and moves *end behind the copy. */
static const char *put_text(char **end, const char *text)
{
    if (text == NULL) {
        return NULL;
    }
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*end, text, size);
    *end += size;
    return copy;
}

static sot_status read_object(const char *path, const json_t *object, sot_prompts **out)
{
    bool is_chained = false;
    sot_prompts found = SOT_PROMPTS_INIT;
    RETURN_IF_ERROR(soti_json_get_bool(path, object, "chained", &is_chained));
    RETURN_IF_ERROR(
        get_template(path, object, "outline_prompt", true, SOTI_PROMPT_SKELETON, &found.skeleton));
    RETURN_IF_ERROR(get_template(path, object, "point_prompt", true,
                                 is_chained ? SOTI_PROMPT_CHAINED_POINT : SOTI_PROMPT_POINT,
                                 &found.point));
    RETURN_IF_ERROR(
        get_template(path, object, "router_prompt", false, SOTI_PROMPT_ROUTER, &found.router));
    found.flags = is_chained ? SOT_PROMPTS_CHAINED : 0;
    size_t size = sizeof found + strlen(found.skeleton) + 1 + strlen(found.point) + 1 +
                  (found.router != NULL ? strlen(found.router) + 1 : 0);
    sot_prompts *prompts = soti_alloc(1, size);
    if (prompts == NULL) {
        return SOT_ERR_MEMORY;
    }
    char *end = (char *)(prompts + 1);
    *prompts = found;
    prompts->skeleton = put_text(&end, found.skeleton);
    prompts->point = put_text(&end, found.point);
    prompts->router = put_text(&end, found.router);
    *out = prompts;
    return SOT_OK;
}

sot_status soti_prompts_load(const char *path, sot_prompts **out)
{
    soti_filemap map;
    json_t *object = NULL;
    *out = NULL;
    RETURN_IF_ERROR(soti_filemap_read(path, SOTI_SMALL_FILE_MAX, NULL, &map));
    sot_status status = soti_json_parse(path, map.data, map.size, &object);
    if (status == SOT_OK) {
        status = read_object(path, object, out);
    }
    json_decref(object);
    soti_filemap_close(&map);
    return status;
}
