/* See conversation_sign.h. Model families: METHOD, table of conversation templates. */
#include "io/conversation_sign.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "io/path_name.h"

typedef struct conversation_sign {
    const char *contains;      /* in any case of letters */
    const char *also_contains; /* NULL: nothing more */
    const char *conversation;
} conversation_sign;

/* The first that fits counts: stable-vicuna is no vicuna. */
static const conversation_sign signs[] = {
    {"stable-vicuna", NULL, "stablevicuna"},
    {"stable_vicuna", NULL, "stablevicuna"},
    {"stablevicuna", NULL, "stablevicuna"},
    {"vicuna", NULL, "vicuna"},
    {"ultralm", NULL, "ultralm"},
    {"openchat", NULL, "openchat"},
    {"llama-2", "chat", "llama2-chat"},
    {"llama_2", "chat", "llama2-chat"},
    {"llama2", "chat", "llama2-chat"},
};

static bool contains(const char *text, size_t size, const char *part)
{
    size_t part_size = strlen(part);
    for (size_t i = 0; i + part_size <= size; i++) {
        if (strncasecmp(text + i, part, part_size) == 0) {
            return true;
        }
    }
    return false;
}

static const char *detect_in_text(const char *text, size_t size)
{
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (contains(text, size, signs[i].contains) &&
            (signs[i].also_contains == NULL || contains(text, size, signs[i].also_contains))) {
            return signs[i].conversation;
        }
    }
    return NULL;
}

static bool has_piece(const soti_vocabulary *vocabulary, const char *text)
{
    size_t size = strlen(text);
    for (uint32_t i = 0; i < vocabulary->n_pieces; i++) {
        const soti_piece *piece = &vocabulary->pieces[i];
        if (piece->size == size && memcmp(vocabulary->text + piece->offset, text, size) == 0) {
            return true;
        }
    }
    return false;
}

const char *soti_conversation_detect(const char *path, const char *name,
                                     const soti_vocabulary *vocabulary)
{
    size_t size;
    const char *found = detect_in_text(name, strlen(name));
    if (found == NULL) {
        const char *last = soti_path_component(path, 0, &size);
        found = detect_in_text(last, size);
    }
    if (found == NULL) { /* a download cache: models--lmsys--vicuna-7b-v1.5/snapshots/<hash> */
        const char *parent = soti_path_component(path, 1, &size);
        if (size == 9 && memcmp(parent, "snapshots", 9) == 0) {
            const char *model = soti_path_component(path, 2, &size);
            found = detect_in_text(model, size);
        }
    }
    if (found == NULL && has_piece(vocabulary, "<|end_of_turn|>")) {
        found = "openchat";
    }
    return found != NULL ? found : "none";
}
