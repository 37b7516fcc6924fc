/* records.jsonl: what a run generated, one line per question and mode. sot-eval(1) describes
 * the format. Reading gives structures; writing appends a line so that a program that is killed at
 * any moment loses and repeats none. */
#ifndef SOT_EVAL_RECORDS_H
#define SOT_EVAL_RECORDS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct record_point {
    const char *index;   /* "1" */
    const char *outline; /* the skeleton's words */
    const char *text;    /* the expansion, as generated */
    const char *finish;  /* "stop", "length", "context", "cancelled", "none" */
    uint32_t tokens;     /* of the expansion */
};

/* sot_stats of one stage. */
struct record_stage {
    uint64_t prefill_ns, decode_ns;
    uint32_t prefill_tokens, reused_tokens, decode_tokens, decode_steps, max_rows;
};

enum { STAGE_NORMAL, STAGE_SKELETON, STAGE_EXPAND, STAGE_ROUTE, N_STAGES };

/* Strings are borrowed from json and end at a NUL byte that a model may have written. */
struct record {
    int64_t question_id;
    const char *category; /* "" where the question has none */
    int difficulty;       /* -1: not stated */
    int suitable;         /* 1, 0; -1: not stated */
    const char *mode;     /* as asked for: "normal", "sot", "routed" */
    const char *ran;      /* what came of it: "normal", "sot" */
    const char *finish;   /* of the answer as a whole */
    const char *status;   /* "SOT_OK", "SOT_ERR_CONTEXT_FULL", …: of generating it */
    const char *question, *answer;
    const char *skeleton;   /* NULL: none was generated */
    uint32_t n_tokens;      /* generated in all stages */
    uint32_t answer_tokens; /* of the answer's text */
    uint32_t n_points, n_points_dropped;
    struct record_point *points; /* (n_points) */
    uint32_t longest_point;      /* tokens */
    uint64_t total_ns;
    uint64_t peak_bytes; /* weights, session, and of its pages those in use */
    struct record_stage stages[N_STAGES];
    const json_t *decision; /* the router's, an object; NULL: none */
    const char *started;    /* "2026-01-31T12:00:00Z" */
    json_t *json;           /* the line */
};

struct record_list {
    struct record *records; /* (n), in the file's order */
    size_t n;
    uint64_t n_bytes; /* of whole lines */
    uint64_t n_torn;  /* bytes behind them: a line that was not written to its end */
};

/* Reads path; *list must be zero. A torn last line is left out and counted. A file that is absent
 * is no failure where may_be_absent. Returns 0 after having said what is wrong: path, line and
 * member. */
int records_read(const char *path, int may_be_absent, struct record_list *list);
void records_free(struct record_list *list);

/* The record of that question and mode; NULL if there is none. */
const struct record *records_find(const struct record_list *list, int64_t question_id,
                                  const char *mode);

/* Adds a record to *list, which takes object over (also on failure). what is said in front of what
 * is wrong with it. */
int records_add(struct record_list *list, json_t *object, const char *what);

/* A file of records that is appended to; one program at a time. */
struct record_file {
    const char *path;
    int fd; /* -1: closed */
    uint64_t size;
};

/* Creates path if it is absent, locks it, reads what it holds and cuts a torn last line off.
 * Returns 0 after having said what is wrong. */
int record_file_open(struct record_file *file, const char *path, struct record_list *list);
/* Appends object as a line, with one write, and waits until the disk has it. Returns 0 after having
 * said what is wrong; the file is then as it was. */
int record_file_append(struct record_file *file, const json_t *object);
void record_file_close(struct record_file *file);

#endif
