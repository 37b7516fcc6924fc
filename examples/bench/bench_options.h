/* The command line of sot-bench without a command, and the options that several commands have. */
#ifndef SOT_BENCH_OPTIONS_H
#define SOT_BENCH_OPTIONS_H

#include "../shared/option_table.h"
#include "../shared/program.h"

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
    int pin, quick, paper_prompts, list_lengths, version, copy_weights, lock_weights;
};

/* Parses the command line. Returns -1 to go on, or the exit code of a program that is done: after
 * --help and --version, or after having said what is wrong. */
int bench_options_parse(struct bench_options *options, int argc, char **argv);

/* "cpu", the default, "cuda" (the first device) or "cuda:N". Returns -1 or EXIT_USAGE. */
int bench_parse_device(const char **device, int *is_cuda, uint32_t *i_device);

const char *case_name(unsigned which); /* CASE_* in a word */

/* Rows of several tables. AT(member) is the offset in the structure that they fill. */
/* clang-format off */
#define MEASURED_MODEL_ROW                                                                         \
    {"model", 'm', OPTION_TEXT, AT(model), 0, 0, "PATH",                                           \
     "GGUF file, Hugging Face directory, or random:SHAPE\n"                                        \
     "(default random:2048x24x16x5504x32000)"}
#define THREADS_ROW                                                                                \
    {"threads", 0, OPTION_COUNT, AT(n_threads), 1, 256, "N",                                       \
     "worker threads (default: one per CPU)"}
#define ISA_ROW                                                                                    \
    {"isa", 0, OPTION_TEXT, AT(isa), 0, 0, "NAME",                                                 \
     "instruction set: auto (default), amx, avx512, avx2, neon,\nportable"}
#define DEVICE_ROW                                                                                 \
    {"device", 0, OPTION_TEXT, AT(device), 0, 0, "NAME", "cpu (default), cuda, or cuda:N"}
#define PIN_ROW                                                                                    \
    {"pin", 0, OPTION_FLAG, AT(pin), 0, 0, NULL, "keep each worker thread on a CPU of its own"}
#define LENGTHS_FILE_ROW                                                                           \
    {"lengths-file", 0, OPTION_TEXT, AT(lengths_path), 0, 0, "FILE", "the same from a JSON file"}
#define REPLAY_MODEL_ROW                                                                           \
    {"replay-model", 0, OPTION_TEXT, AT(replay_model), 0, 0, "NAME",                               \
     "lengths of this model's answers (default LLaMA2-Chat-7B)"}
#define REPLAY_CATEGORY_ROW                                                                        \
    {"replay-category", 0, OPTION_TEXT, AT(replay_category), 0, 0, "NAME",                         \
     "to questions of this category (default average)"}
/* clang-format on */

#endif
