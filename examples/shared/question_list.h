/* Question files: JSON lines with "question" ("id", "category", "difficulty", "suitable"), or
 * FastChat's with "turns" ("question_id", "category"), of which the first turn is asked. */
#ifndef SOT_SHARED_QUESTION_LIST_H
#define SOT_SHARED_QUESTION_LIST_H

#include <stddef.h>
#include <stdint.h>

struct question {
    int64_t id;
    char *category; /* "" where none is stated */
    char *text;
    int difficulty, suitable; /* -1: not stated */
};

struct question_list {
    struct question *questions; /* (n), in the file's order */
    size_t n;
    size_t n_turns_left_out; /* later turns of FastChat's questions */
    uint64_t digest;         /* FNV-1a, 64 bits, of the file's bytes */
};

/* Reads path; *list must be zero. Returns 0 after having said what is wrong: path, line, member. */
int questions_read(const char *path, struct question_list *list);
void questions_free(struct question_list *list);

/* Keeps the questions of ids ("1,4-9"), of category, and of those the first limit; NULL and 0 keep
 * all. Returns 0 after having said which of them the file does not have. */
int questions_select(struct question_list *list, const char *path, const char *ids,
                     const char *category, size_t limit);

/* FNV-1a over more bytes; the digest of none is FNV_BEGIN. */
#define FNV_BEGIN UINT64_C(0xcbf29ce484222325)
uint64_t fnv_add(uint64_t digest, const void *bytes, size_t size);

#endif
