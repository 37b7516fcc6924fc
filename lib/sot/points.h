/* A parsed skeleton (App. B.1): the public sot_points. */
#ifndef SOTI_SOT_POINTS_H
#define SOTI_SOT_POINTS_H

#include <stddef.h>
#include <stdint.h>

#include "io/tokenizer.h"
#include "sot/sot.h"

enum { SOTI_POINTS_DEFAULT_MAX = 64 };

typedef struct soti_point {
    char *index; /* the digits as written, NUL-terminated */
    char *text;  /* NUL-terminated, may hold NUL bytes */
    size_t text_size;
} soti_point;

struct sot_points {
    soti_point *points; /* (n_points) */
    size_t n_points;
    size_t n_dropped; /* distinct points over the cap */
    char *source;     /* the response, ill-formed bytes as U+FFFD */
    size_t source_size;
    /* For a stage 2 that is the next round of stage 1's conversation; empty for points that did not
     * come from there. Ids, because those of the text need not be what the model generated. */
    soti_tokens conversation; /* the skeleton's prompt and what was generated behind it */
    size_t n_prompt;          /* tokens of conversation that are the prompt */
    size_t n_said; /* bytes of source that conversation says; only where a stop string cut
                      a token apart is there more */
};

/* As sot_points_parse, max_points 0 meaning the default. */
sot_status soti_points_parse(const char *text, size_t text_size, uint32_t max_points,
                             sot_points **out);
sot_status soti_points_copy(const sot_points *points, sot_points **out);
void soti_points_free(sot_points *points);

#endif
