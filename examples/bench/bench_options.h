/* The command line: one table from which parsing and the help text come. */
#ifndef SOT_BENCH_OPTIONS_H
#define SOT_BENCH_OPTIONS_H

#include <sot/sot.h>

/* Exit codes: sot-bench(1). */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* What can be measured. */
enum {
    CASE_LOAD = 1,
    CASE_PREFILL = 2,
    CASE_DECODE = 4,
    CASE_ATTENTION = 8,
    CASE_TOKENIZER = 16,
    CASE_REPLAY = 32,
    CASE_ALL = 63
};

struct bench_options {
    const char *model;
    const char *isa;
    const char *device; /* "cpu", "cuda", "cuda:N" */
    int is_cuda;        /* it is one of the latter */
    uint32_t i_device;  /* N */
    const char *json_path;
    const char *gguf_path;
    const char *cases_list;
    const char *lengths_list, *lengths_path;
    const char *replay_model, *replay_category;
    uint32_t n_threads;      /* 0: one per CPU */
    uint32_t repeats;        /* of each pass */
    uint32_t replay_repeats; /* of each text */
    uint32_t cases;          /* CASE_*, from cases_list or all of them */
    int pin, quick, paper_prompts, list_lengths, help, version;
};

/* Parses the command line. Returns -1 to go on, or the exit code of a program that is done: after
 * --help and --version, or after having said what is wrong. */
int bench_options_parse(struct bench_options *options, int argc, char **argv);

/* "cpu", the default, "cuda" (the first device) or "cuda:N". Returns -1 or EXIT_USAGE. */
int bench_parse_device(const char **device, int *is_cuda, uint32_t *i_device);

const char *case_name(unsigned which); /* CASE_* in a word */

/* Says what the library's last failure was; the exit code for it. */
int exit_code_of(sot_status status);

#endif
