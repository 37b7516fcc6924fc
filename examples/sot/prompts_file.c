/* Reading a prompts file: see prompts_file.h. Whether the templates hold what they must is for the
 * library to say. */
#include "prompts_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

int prompts_file_read(const char *path, sot_prompts *prompts, json_t **file)
{
    *file = NULL;
    FILE *stream = fopen(path, "rb");
    if (!stream) {
        complain("%s: %s", path, strerror(errno));
        return 1;
    }
    json_error_t error;
    *file = json_loadf(stream, JSON_REJECT_DUPLICATES, &error);
    fclose(stream);
    if (!*file) {
        complain("%s: line %d: %s", path, error.line, error.text);
        return 1;
    }
    prompts->skeleton = json_string_value(json_object_get(*file, "outline_prompt"));
    prompts->point = json_string_value(json_object_get(*file, "point_prompt"));
    if (!prompts->skeleton || !prompts->point) {
        complain("%s: no text under the key \"%s\"", path,
                 prompts->skeleton ? "point_prompt" : "outline_prompt");
        json_decref(*file);
        *file = NULL;
        return 1;
    }
    return 0;
}
