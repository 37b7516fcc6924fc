/* A profile: the tables that were measured and what they were measured on; the public sot_profile
 * is this. Measuring is profile_measure.c's, the file profile_file.c's, texts estimate.c's.
 *
 * Two tables are the paper's; the others are of what libsot's passes are made of and the paper's do
 * not tell apart. A pass of any kind is put together from them (soti_pass_ns). */
#ifndef SOTI_SOT_PROFILE_TABLES_H
#define SOTI_SOT_PROFILE_TABLES_H

#include "sot/profile_grid.h"
#include "sot/sot.h"

/* batches x lengths of each table, and what a cell is the time of. */
enum {
    SOTI_TABLE_PREFILL, /* sequences x tokens: prompts from nothing, and the first token of each */
    SOTI_TABLE_DECODE,  /* sequences x context: a token of each, which share nothing */
    SOTI_TABLE_ROWS,    /* 1 x rows: a pass with so many tokens of one prompt from nothing */
    SOTI_TABLE_PAST,    /* rows x context: such a pass behind so many tokens */
    SOTI_TABLE_SHARED,  /* sequences x context: a token of each, whose context is the same pages */
    SOTI_N_TABLES
};

enum { SOTI_N_PROFILE_TEXTS = 5 };

struct sot_profile {
    sot_profile_info info; /* its strings are texts */
    char *texts[SOTI_N_PROFILE_TEXTS];
    soti_profile_grid tables[SOTI_N_TABLES];
};

/* A profile without tables, with copies of what info says. Returns MEMORY. */
sot_status soti_profile_create(const sot_profile_info *info, sot_profile **out);
sot_status soti_profile_copy(const sot_profile *profile, sot_profile **out);
void soti_profile_free(sot_profile *profile); /* NULL: nothing */

/* Counts cells and finds the largest ones, when all tables are there. */
void soti_profile_complete(sot_profile *profile);

/* The name of a table in files and sentences. */
const char *soti_table_name(uint32_t i_table);

/* One pass over the weights. */
typedef struct soti_pass_shape {
    uint32_t n_prompt; /* rows of prompts */
    uint32_t n_decode; /* rows that decode */
    uint32_t n_logits; /* rows behind which a token is picked */
    double n_before;   /* tokens before the prompts' rows, all of those together */
    double n_own;      /* tokens before each row that decodes, on average, in pages of its own */
    double n_shared;   /* and in pages that all of those share */
} soti_pass_shape;

/* What it takes, in ns; *outside as soti_grid_at. */
double soti_pass_ns(const sot_profile *profile, const soti_pass_shape *pass, bool *outside);

#endif
