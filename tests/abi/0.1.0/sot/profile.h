/* The latency model of Skeleton-of-Thought (paper App. E, F): tables of how long prompts and decode
 * steps take on the user's device, measured once and kept in a file, and from them the latency of
 * normal generation and of SoT for given lengths, without a model.
 *
 * sot.h includes this file and states the rules that hold here, too. docs/latency-model.md says
 * what the model is, how far it is to be trusted, and what the paper's differs in. */
#ifndef SOT_PROFILE_H
#define SOT_PROFILE_H

#include "sot.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sot_profile sot_profile; /* tables; immutable, for all threads */

/* ---- Measuring, files --------------------------------------------------------------------------
 */

/* Flags of sot_profile_params. */
enum {
    SOT_PROFILE_FULL = 1 /* the paper's whole grid, batches of 1 to 16, prompts of 1, 11, ..., 691
                            tokens, decoding at every context from 1 to 1024; it takes hours where
                            a model is large. Without it: some cells of that grid, the rest by
                            interpolation */
};

/* Called before each cell with how much of all that is expected to take time is done. Non-zero
 * cancels. Since 0.1. */
typedef int32_t (*sot_profile_fn)(uint64_t done, uint64_t total, void *user);

/* What is measured, and how often. Since 0.1. */
typedef struct sot_profile_params {
    uint32_t struct_size;
    uint32_t flags;             /* SOT_PROFILE_* */
    uint32_t max_batch;         /* largest batch; default 16 */
    uint32_t max_context;       /* longest context in tokens; default 1024 */
    uint32_t n_decode_repeats;  /* times a decode step is taken; default 3; at most 1000 */
    uint32_t n_prefill_repeats; /* times a prompt is taken, the first 2 uncounted; default 7; 3 to
                                   1000 */
    uint64_t cell_ns;           /* a cell is repeated no more once it has taken so long; default:
                                   1 s, with SOT_PROFILE_FULL no limit */
    const char *machine;        /* what to call the machine or its GPU in the file; or NULL */
    sot_profile_fn progress;    /* default: none */
    void *progress_user;        /* passed to progress */
} sot_profile_params;
#define SOT_PROFILE_PARAMS_INIT SOT_STRUCT_INIT(sot_profile_params)

/* Measures the tables with the session's model, device and threads; each cell is the geometric mean
 * of its counted repeats but those that were interrupted. Cells that the session's max_batch, n_ctx
 * or page pool has no room for are left out, which sot_profile_info counts. Pages that the session
 * keeps may be given up.
 * Returns ARGUMENT, MEMORY, CONTEXT_FULL (no room even for one sequence), CANCELLED, UNSUPPORTED,
 * BUSY, DEVICE. The caller owns *out. Since 0.1. */
SOT_API sot_status sot_profile_measure(sot_session *session, const sot_profile_params *params,
                                       sot_profile **out);

/* Machines drift: where what else they do changes, so does how long everything takes. This measures
 * a few cells again, for seconds, and makes *out a copy of the profile whose decode steps and
 * prompts are scaled by what those came to. The session must be on the model, the device and with
 * the threads that the profile was measured on.
 * Returns as sot_profile_measure; ARGUMENT for another model, device or number of threads, too.
 * The caller owns *out. Since 0.1. */
SOT_API sot_status sot_profile_refresh(const sot_profile *profile, sot_session *session,
                                       sot_profile **out);

/* Writes the profile as a JSON file, beside path and then in its place. Returns ARGUMENT, MEMORY,
 * IO. Since 0.1. */
SOT_API sot_status sot_profile_save(const sot_profile *profile, const char *path);

/* Reads a profile. Returns ARGUMENT, MEMORY, IO, FORMAT and UNSUPPORTED (a later version's file);
 * sentences name the file and the member. The caller owns *out. Since 0.1. */
SOT_API sot_status sot_profile_load(const char *path, sot_profile **out);

/* NULL: nothing. Since 0.1. */
SOT_API void sot_profile_free(sot_profile *profile);

/* What a profile was measured with, and what it covers. Since 0.1. */
typedef struct sot_profile_info {
    uint32_t struct_size;
    uint32_t flags;           /* SOT_PROFILE_*: how it was measured */
    const char *libsot;       /* version of the library that measured */
    const char *machine;      /* as sot_profile_params, "" where none was given */
    const char *device;       /* as sot_model_info */
    const char *isa;          /* as sot_session_info */
    const char *model_name;   /* as sot_model_info */
    uint32_t n_threads, n_ctx, max_batch, chunk_rows; /* of the session */
    uint32_t n_layer, n_head, n_kv, d_head, d_model, d_ff, n_vocab; /* of the model */
    uint32_t n_cells;         /* measured, all tables together */
    uint32_t n_cells_left_out; /* that the session had no room for */
    uint32_t prefill_max_batch, prefill_max_tokens; /* largest of the cells of t_P */
    uint32_t decode_max_batch, decode_max_context;  /* and of those of t_D */
    uint32_t reserved;        /* 0 */
    uint64_t weight_bytes;    /* of the model */
} sot_profile_info;
#define SOT_PROFILE_INFO_INIT SOT_STRUCT_INIT(sot_profile_info)

/* Fills the first struct_size bytes of *info; the strings are borrowed from the profile.
 * Returns ARGUMENT. Since 0.1. */
SOT_API sot_status sot_profile_get_info(const sot_profile *profile, sot_profile_info *info);

/* The paper's tables, in ns: t_P(B, k), B prompts of k tokens each and the first token behind each;
 * t_D(B, k), a step that decodes one token of each of B sequences that have k tokens before it and
 * share none. Between cells by linear interpolation, beyond them by the last two cells' straight
 * line. 0 where profile is NULL or B or k is 0. Since 0.1. */
SOT_API double sot_profile_prefill_ns(const sot_profile *profile, uint32_t n_sequences,
                                      uint32_t n_tokens);
SOT_API double sot_profile_decode_ns(const sot_profile *profile, uint32_t n_sequences,
                                     uint32_t n_context);

/* ---- Estimating --------------------------------------------------------------------------------
 */

/* How long the texts of one question are, in tokens. A text's tokens are all that are picked for
 * it, the one that ends it included. Since 0.1. */
typedef struct sot_lengths {
    uint32_t struct_size;
    uint32_t normal_prompt;   /* of the normal answer, at least 1 */
    uint32_t normal_tokens;   /* the answer, at least 1 */
    uint32_t skeleton_prompt; /* stage 1, at least 1 */
    uint32_t skeleton_found;  /* how many of them are in pages already; fewer than all */
    uint32_t skeleton_tokens; /* the skeleton, at least 1 */
    uint32_t common_prompt;   /* stage 2: what all requests begin with */
    uint32_t common_found;    /* how many of them are in pages already; at most all */
    const uint32_t *point_prompt_tails; /* (n_points) the rest of each request, at least 1 */
    const uint32_t *point_tokens;       /* (n_points) each expansion, at least 1 */
    uint32_t n_points; /* 0: the skeleton is the answer; at most 4096 */
    uint32_t flags;    /* none defined yet; 0 */
} sot_lengths;
#define SOT_LENGTHS_INIT SOT_STRUCT_INIT(sot_lengths)

/* Whose estimates go beyond what was measured. */
enum {
    SOT_EXTRAPOLATED_LIBSOT = 1, /* libsot's: normal_ns to speedup */
    SOT_EXTRAPOLATED_PAPER = 2   /* the paper's: members that begin with paper_ */
};

/* Latencies in ns. The first five are libsot's: the common beginning is computed once, what is in
 * pages is not computed, a text's first token comes with its prompt's last pass, a row that has
 * ended leaves the batch, prompts go in passes of chunk_rows rows. The paper_ ones are its
 * equations (1) to (4) to the letter: nothing is shared or found, the batch is as wide as it begins
 * and goes on until the longest expansion behind the longest request ends. Since 0.1. */
typedef struct sot_estimate {
    uint32_t struct_size;
    uint32_t extrapolated; /* SOT_EXTRAPOLATED_*: lengths or batches lie beyond measured cells */
    double normal_ns;         /* the normal answer */
    double skeleton_ns;       /* stage 1 */
    double expand_ns;         /* stage 2 */
    double sot_ns;            /* both stages */
    double speedup;           /* normal_ns / sot_ns */
    double paper_normal_ns, paper_skeleton_ns, paper_expand_ns; /* as the three above */
    double paper_speedup;     /* paper_normal_ns / (paper_skeleton_ns + paper_expand_ns) */
    double paper_normal_flops, paper_expand_flops; /* achieved FLOP/s of decoding, equation (4) */
} sot_estimate;
#define SOT_ESTIMATE_INIT SOT_STRUCT_INIT(sot_estimate)

/* Estimates the latency of one question with a batch of one host, nothing else under way.
 * Returns ARGUMENT (a length out of range; the sentence names it), MEMORY. Since 0.1. */
SOT_API sot_status sot_profile_estimate(const sot_profile *profile, const sot_lengths *lengths,
                                        sot_estimate *estimate);

/* A kind of question, for the number of points from which on SoT pays off. All points are of one
 * length, and what depends on their number is stated per point. Prompts as in sot_lengths.
 * Since 0.1. */
typedef struct sot_break_even_params {
    uint32_t struct_size;
    uint32_t point_tokens;    /* M: each expansion; default 64 */
    float normal_per_point;   /* tokens of the normal answer for each point; default M */
    float skeleton_per_point; /* tokens of the skeleton for each point; default 8.43, the mean of
                                 the 14 points that the paper's two-shot prompt shows */
    uint32_t normal_prompt;   /* default 13, as in the paper's Table 7 */
    uint32_t skeleton_prompt; /* default 171, the same */
    uint32_t skeleton_found;  /* default 0 */
    uint32_t common_prompt;   /* without the skeleton, which is added; default 40, the same */
    uint32_t common_found;    /* default 0 */
    uint32_t point_tail;      /* default 23, the same */
    uint32_t max_points;      /* the most points looked at; default 16, at most 256 */
    uint32_t flags;           /* none defined yet; 0 */
} sot_break_even_params;
#define SOT_BREAK_EVEN_PARAMS_INIT SOT_STRUCT_INIT(sot_break_even_params)

/* SoT pays off from n_points on: with so many points, and every larger number up to max_points, it
 * is estimated to be faster than the normal answer. Since 0.1. */
typedef struct sot_break_even {
    uint32_t struct_size;
    uint32_t n_points;     /* 0: not even with max_points */
    double speedup;        /* with n_points; with max_points where n_points is 0 */
    double max_speedup;    /* the largest there is with any number of points up to max_points */
    uint32_t best_points;  /* with so many */
    uint32_t extrapolated; /* SOT_EXTRAPOLATED_LIBSOT: some estimate on the way was */
} sot_break_even;
#define SOT_BREAK_EVEN_INIT SOT_STRUCT_INIT(sot_break_even)

/* Estimates from how many points on SoT pays off. Returns as sot_profile_estimate. Since 0.1. */
SOT_API sot_status sot_profile_break_even(const sot_profile *profile,
                                          const sot_break_even_params *params,
                                          sot_break_even *result);

#ifdef __cplusplus
}
#endif

#endif
