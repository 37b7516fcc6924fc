/* libsot: Skeleton-of-Thought (Ning et al., ICLR 2024, arXiv 2307.15337) on a LLaMA runtime.
 *
 * Read from the top: load a model, create a session, ask (sections 1 to 4); then the two stages one
 * by one (5), tokens and logits (6), measuring (7), errors and versions (8). Section numbers behind
 * "paper" are the paper's.
 *
 * Rules that hold everywhere:
 * - Every function that can fail returns a sot_status; sot_error_message() then has a sentence.
 * - *out is set to NULL on failure, except where a partial result is promised.
 * - Any function with a status can also return INTERNAL: a promise inside the library was broken.
 * - A parameter struct begins with struct_size; zero in a field means its default; a NULL pointer
 *   stands for all defaults. Initialize with the _INIT macro; a language without macros makes it
 *   all zero but for struct_size, which is as many bytes as that language knows of. A shorter
 *   struct of an older version is fine, a longer one of a newer version too while what this version
 *   does not know is zero (else UNSUPPORTED).
 * - Strings in are NUL-terminated UTF-8 unless a size goes with them; strings out are borrowed from
 *   the object they came from and live as long as it does.
 * - The library never prints, exits, aborts or reads the environment. */
#ifndef SOT_SOT_H
#define SOT_SOT_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* What libsot.so exports. */
#if defined(_WIN32)
#define SOT_API
#elif defined(__GNUC__)
#define SOT_API __attribute__((visibility("default")))
#else
#define SOT_API
#endif

/* What the _INIT macros are made of: zero but for struct_size. */
#ifndef __cplusplus
#define SOT_STRUCT_INIT(type) {.struct_size = (uint32_t)sizeof(type)}
#else
#define SOT_STRUCT_INIT(type) sot_struct_init<type>()
extern "C++" template <typename Struct> inline Struct sot_struct_init()
{
    Struct made = Struct();
    made.struct_size = static_cast<uint32_t>(sizeof made);
    return made;
}
extern "C" {
#endif

/* The version of this header; sot_version_number() is that of the library. */
#define SOT_VERSION_MAJOR 0
#define SOT_VERSION_MINOR 1
#define SOT_VERSION_PATCH 0

typedef struct sot_model sot_model;     /* weights, tokenizer; immutable, for all threads */
typedef struct sot_session sot_session; /* pages, activations, threads; one thread at a time */
typedef struct sot_points sot_points;   /* a parsed skeleton */
typedef struct sot_answer sot_answer;   /* what was generated, with statistics */

/* ---- 1. Models --------------------------------------------------------------------------------
 */

/* Called while a model loads or is saved, about once per tensor, or per 32 MiB of a file that is
 * copied: done of total bytes. On a CUDA device weights are read, then moved there, and count
 * twice; with SOT_MODEL_COPY the last byte is left until what was read is converted. Non-zero
 * cancels. Since 0.1. */
typedef int32_t (*sot_progress_fn)(uint64_t done_bytes, uint64_t total_bytes, void *user);

/* What a line of information is about. */
enum {
    SOT_LOG_DEBUG = 1,  /* of use to whoever works on the library; this version has none */
    SOT_LOG_INFO = 2,   /* what was chosen: a device, tensors that are not used */
    SOT_LOG_WARNING = 3 /* a file that says what it should not, and how it is read */
};

/* Called with one line of information, UTF-8 without newline or other control characters, from the
 * thread that runs the call. level is SOT_LOG_*. Since 0.1. */
typedef void (*sot_log_fn)(int32_t level, const char *line, void *user);

/* How weights are held. Without a flag FP16 weights are used where their file is mapped: nothing is
 * copied, pages come in when first used and go when memory is short, and processes share them. The
 * file must then stay as it is while the model lives, or while it loads where all weights are
 * converted. It may be renamed, removed or replaced by renaming; but bytes written into it change
 * answers, and where it becomes shorter, the call that needs what is gone ends the process with
 * SIGBUS, no library's to catch. On a CUDA device this is about the host's copy, which
 * sot_model_save alone reads once the model is loaded. Since 0.1. */
enum {
    SOT_MODEL_COPY = 1, /* files are read whole into memory before anything else, and not needed
                           afterwards: takes as many bytes as they have (where weights are
                           converted, until that is done), shared with no other process */
    SOT_MODEL_LOCK = 2  /* weights are brought in at loading and stay in memory (mlock), so that no
                           answer waits for a disk; MEMORY where RLIMIT_MEMLOCK forbids it. Not in a
                           child of fork; does not help where the file becomes shorter */
};

/* How a model is loaded. Since 0.1. */
typedef struct sot_model_params {
    uint32_t struct_size;
    uint32_t flags;        /* SOT_MODEL_* */
    const char *device;    /* "cpu", "cuda:N", "cuda" ("cuda:0"), or "auto" (default): the first
                              CUDA device that takes the weights, otherwise the CPU and a line in
                              the log that says why */
    sot_progress_fn progress; /* default: none */
    void *progress_user;      /* passed to progress */
    sot_log_fn log;           /* default: none */
    void *log_user;           /* passed to log */
} sot_model_params;
#define SOT_MODEL_PARAMS_INIT SOT_STRUCT_INIT(sot_model_params)

/* Loads a model: a GGUF file, a Hugging Face directory (config.json, *.safetensors,
 * tokenizer.model), or "random:7b", "random:13b", "random:33b",
 * "random:DIMxLAYERSxHEADSxFFxVOCAB", each with an optional "?seed=N".
 * A file whose size or date changes while it is opened or copied is IO. CUDA devices are reached
 * through libsot-cuda.so, which is looked for beside libsot.
 * Returns ARGUMENT, MEMORY, IO, FORMAT, UNSUPPORTED, RANGE (a weight FP16 cannot hold), CANCELLED,
 * DEVICE (plugin, driver or device is missing; a sentence says which). The caller owns *out.
 * Since 0.1. */
SOT_API sot_status sot_model_load(const char *path, const sot_model_params *params,
                                  sot_model **out);

/* Gives the model up. Its memory goes when its last session has gone, in any order. NULL: nothing.
 * Since 0.1. */
SOT_API void sot_model_free(sot_model *model);

/* What a model is. Since 0.1. */
typedef struct sot_model_info {
    uint32_t struct_size;
    uint32_t n_layer;          /* layers */
    uint32_t n_head;           /* heads of queries */
    uint32_t n_kv;             /* heads of keys and values */
    uint32_t d_head;           /* width of a head */
    uint32_t d_model;          /* width of a row */
    uint32_t d_ff;             /* width of the feed-forward part */
    uint32_t n_vocab;          /* tokens there are */
    uint32_t n_ctx_train;      /* context the model was trained with, tokens; 0: not stated */
    int32_t bos_id, eos_id;    /* -1: none */
    uint64_t n_parameters;     /* weights, all tensors together */
    uint64_t weight_bytes;     /* bytes one decode step reads */
    uint64_t converted_bytes;  /* weights that were copied because the file's type is not FP16 */
    float rope_theta;          /* base of the rotary angles */
    float rope_scale;          /* positions are divided by it; 1: none */
    float norm_eps;            /* of the root mean square norms */
    uint32_t has_tokenizer;    /* 1 or 0 */
    const char *name;          /* as the file states it, "" if it does not */
    const char *device;        /* "cpu" or "cuda:N" */
    const char *conversation;  /* conversation template detected, "none" if there is no sign */
} sot_model_info;
#define SOT_MODEL_INFO_INIT SOT_STRUCT_INIT(sot_model_info)

/* Fills the first struct_size bytes of *info; the strings are borrowed from the model.
 * Returns ARGUMENT. Since 0.1. */
SOT_API sot_status sot_model_get_info(const sot_model *model, sot_model_info *info);

/* Writes a model as one GGUF file (version 3) that other programs of the field read, too: weights
 * as FP16 with norms as FP32, shape, tokenizer. A model from Hugging Face's files, or a random one,
 * has the rows of its query and key matrices put into GGUF's rotary order; then attention adds the
 * same products up in another order, so logits agree but for rounding. The file is written beside
 * path and takes its place when complete. progress may be NULL. The model may be in use.
 * Returns ARGUMENT, MEMORY, IO, CANCELLED, UNSUPPORTED (a tokenizer that GGUF cannot state).
 * Since 0.1. */
SOT_API sot_status sot_model_save(const sot_model *model, const char *path,
                                  sot_progress_fn progress, void *user);

/* ---- 2. Sessions ------------------------------------------------------------------------------
 */

/* What a session computes with, and how much it can hold. Since 0.1. */
typedef struct sot_session_params {
    uint32_t struct_size;
    uint32_t n_threads;  /* threads that compute, the calling one among them; default: one per CPU
                            this process may run on; at most 256 */
    uint32_t n_ctx;      /* tokens a sequence can hold; default: n_ctx_train (2048 where it is not
                            stated), at most 4096 */
    uint32_t max_batch;  /* sequences decoded together; default 16, at most 4096 */
    uint32_t kv_tokens;  /* tokens the page pool holds; default n_ctx + 256 * max_batch + 1024 */
    uint32_t chunk_rows; /* rows of one pass, at least max_batch; default 128, on a CUDA device
                            512, or max_batch */
    const char *isa;     /* instruction set of the CPU: NULL or "auto", "amx", "avx512", "avx2",
                            "neon", "portable"; on a machine with AMX "auto" and "amx" ask Linux
                            for its tiles, for the whole process: alternate signal stacks then
                            need room for 8 KiB more */
    uint32_t pin_threads; /* 1: thread i > 0 stays on the i-th CPU (from 0) this process may run on,
                             the calling thread is left alone; default: no thread is pinned */
    uint32_t flags;      /* none defined yet; 0 */
} sot_session_params;
#define SOT_SESSION_PARAMS_INIT SOT_STRUCT_INIT(sot_session_params)

/* Creates a session on a model and reserves all memory that generating will need.
 * Returns ARGUMENT, MEMORY, THREAD, UNSUPPORTED (an isa this machine lacks), DEVICE.
 * The session keeps the model alive. In a child of fork() a model on the CPU serves on; a session
 * of the parent's that no call was using can be freed, using it is ARGUMENT; what is on a CUDA
 * device is the parent's.
 * The caller owns *out. Since 0.1. */
SOT_API sot_status sot_session_create(sot_model *model, const sot_session_params *params,
                                      sot_session **out);

/* What a session came to. Since 0.1. */
typedef struct sot_session_info {
    uint32_t struct_size;
    uint32_t n_threads;     /* 0: the device has none */
    uint32_t n_ctx, max_batch, kv_tokens, chunk_rows; /* as they were chosen */
    const char *isa;        /* the instruction set in use; "" on a device that has none */
    uint64_t session_bytes; /* memory reserved */
} sot_session_info;
#define SOT_SESSION_INFO_INIT SOT_STRUCT_INIT(sot_session_info)

/* Fills the first struct_size bytes of *info; isa lives as long as the library.
 * Returns ARGUMENT. Since 0.1. */
SOT_API sot_status sot_session_get_info(const sot_session *session, sot_session_info *info);

/* Frees a session that no call is using. NULL: nothing. Since 0.1. */
SOT_API void sot_session_free(sot_session *session);

/* Asks the running call, or the next one if none runs, to stop with SOT_ERR_CANCELLED and what it
 * has. The request is used up when that call returns. Safe from any thread and from a signal
 * handler. NULL: nothing. Since 0.1. */
SOT_API void sot_session_cancel(sot_session *session);

/* ---- 3. Parameters of generation --------------------------------------------------------------
 */

/* How sot_generate answers. */
enum {
    SOT_MODE_DEFAULT = 0, /* SOT_MODE_SOT */
    SOT_MODE_NORMAL = 1,  /* the bare question, token by token: the paper's baseline */
    SOT_MODE_SOT = 2,     /* skeleton, then all points as one batch (paper §2) */
    SOT_MODE_ROUTED = 3   /* a router chooses one of both (SoT-R, paper §4) */
};

/* Why a text ended. */
enum {
    SOT_FINISH_NONE = 0,      /* still growing, or there is no such text */
    SOT_FINISH_STOP = 1,      /* end-of-sequence, a stop id or a stop string */
    SOT_FINISH_LENGTH = 2,    /* the token limit */
    SOT_FINISH_CONTEXT = 3,   /* the context or page pool was full */
    SOT_FINISH_CANCELLED = 4  /* cancelled, or stopped by the event callback */
};

/* The parts of one answer's making; SOT_STAGE_* - 1 indexes the arrays of sot_stats. */
enum {
    SOT_STAGE_NORMAL = 1,   /* the normal answer */
    SOT_STAGE_SKELETON = 2, /* stage 1 */
    SOT_STAGE_EXPAND = 3,   /* stage 2, all points together */
    SOT_STAGE_ROUTE = 4     /* the router's question to the model */
};

/* What an event tells. */
enum {
    SOT_EVENT_STAGE = 1,     /* a stage begins: stage */
    SOT_EVENT_TEXT = 2,      /* normal answer or skeleton grew by text; a skeleton's first text is
                                its partial answer, so that all make sot_points_source */
    SOT_EVENT_POINT = 3,     /* the skeleton was parsed: one event per point, index = its number as
                                written, text = its outline */
    SOT_EVENT_EXPANSION = 4, /* the expansion of point i_point grew by text */
    SOT_EVENT_POINT_END = 5, /* the expansion of point i_point ended: finish; once per point, also
                                for one that never started */
    SOT_EVENT_PREFILL = 6,   /* n_done of the stage's n_total prompt tokens are computed; those that
                                were found in pages are in neither */
    SOT_EVENT_DECISION = 7,  /* the router has decided: decision */
    SOT_EVENT_DROPPED = 8    /* a conversation is too long: its oldest n_done of n_total rounds were
                                dropped */
};

typedef struct sot_decision sot_decision; /* router.h */
typedef struct sot_router sot_router;     /* a trained router (router.h) */

/* What is told while an answer grows. What the type does not name is 0 or NULL, text is "".
 * Since 0.1. */
typedef struct sot_event {
    uint32_t struct_size;
    uint32_t type;         /* SOT_EVENT_* */
    uint32_t stage;        /* SOT_STAGE_*; 0 for SOT_EVENT_DROPPED */
    uint32_t i_point;      /* 0-based, in skeleton order */
    const char *text;      /* UTF-8, never part of a character; valid during the call only */
    size_t text_size;      /* bytes; text is also NUL-terminated */
    uint32_t finish;       /* SOT_FINISH_* */
    uint32_t n_done, n_total; /* SOT_EVENT_PREFILL: tokens; SOT_EVENT_DROPPED: rounds */
    const char *index;     /* SOT_EVENT_POINT: "3", as sot_points_index; otherwise NULL */
    const sot_decision *decision; /* SOT_EVENT_DECISION; otherwise NULL */
} sot_event;

/* Called from the thread that runs the call; it may call sot_session_cancel, and what else it calls
 * on this session is BUSY. Non-zero stops the call as sot_session_cancel does, and the callback is
 * not called again by it. A stop that comes when everything is generated changes nothing.
 * Since 0.1. */
typedef int32_t (*sot_event_fn)(const sot_event *event, void *user);

/* A conversation template of the caller's own. The prompt of a round is
 *   user_tag question user_end assistant_tag answer_gap answer assistant_end
 * and a system message, where one is given, goes in front as system_tag message system_end, inside
 * the first user turn (behind its user_tag). The last round ends with assistant_tag and what the
 * prompt template makes the answer begin with; answer_gap goes before complete answers only, those
 * of the history, where they do not begin with it themselves. Control pieces such as </s> are read
 * as themselves in these strings, and never in questions and answers. NULL is the empty string.
 * Since 0.1. */
typedef struct sot_conversation {
    uint32_t struct_size;
    uint32_t flags;            /* none defined yet; 0 */
    const char *user_tag;      /* "USER: " */
    const char *user_end;      /* " " */
    const char *assistant_tag; /* "ASSISTANT:" */
    const char *assistant_end; /* "</s>" */
    const char *system_tag;    /* "<<SYS>>\n", of LLaMA-2-chat */
    const char *system_end;    /* "\n<</SYS>>\n\n" */
    const char *stop;          /* a stop string or a control piece that ends the turn, or NULL */
    const char *answer_gap;    /* " " */
} sot_conversation;
#define SOT_CONVERSATION_INIT SOT_STRUCT_INIT(sot_conversation)

enum { SOT_PROMPTS_CHAINED = 1 }; /* point continues stage 1's conversation, see below */

/* Prompt templates of the caller's own (paper Prompts 1-3). skeleton must have {request} and none
 * of the others; point must have {request}, {outline}, {point} and {point_outline}. Other braces
 * are plain text. "[ROLESWITCHING assistant:]", at most once, ends the user's part; what follows
 * is the partial answer that the model continues. NULL: the paper's two-shot wording.
 * SOT_PROMPTS_CHAINED: point is the user's next turn behind stage 1's question and skeleton, which
 * are not computed again; it must have {point} and {point_outline}, and {request} and {outline}
 * have no meaning in it. A session that no longer has their pages computes them as a prompt, on a
 * CUDA device not to the same last bit: there expansions may differ then. Since 0.1. */
typedef struct sot_prompts {
    uint32_t struct_size;
    uint32_t flags;       /* SOT_PROMPTS_* */
    const char *skeleton; /* asks for the skeleton, stage 1 */
    const char *point;    /* asks for a point, stage 2 */
    const char *router;   /* must have {request} alone; NULL: the paper's (App. C.1) */
} sot_prompts;
#define SOT_PROMPTS_INIT SOT_STRUCT_INIT(sot_prompts)

/* Reads prompt templates from a JSON file, an object with the strings outline_prompt (the
 * skeleton's), point_prompt and, where it is wanted, router_prompt; "chained": true is
 * SOT_PROMPTS_CHAINED. Other members are left alone.
 * Returns ARGUMENT, MEMORY, IO, FORMAT (the sentence names file, member and placeholder). The
 * caller owns *out and what it points to. Since 0.1. */
SOT_API sot_status sot_prompts_load(const char *path, sot_prompts **out);

/* Frees what sot_prompts_load returned. NULL: nothing. Since 0.1. */
SOT_API void sot_prompts_free(sot_prompts *prompts);

/* Flags of sot_generate_params. */
enum {
    SOT_GENERATE_IGNORE_STOPS = 1, /* end of sequence, stop ids and stop strings end no text, each
                                      runs to its token limit; for measuring */
    SOT_GENERATE_CONCURRENT = 2    /* routed mode: router, skeleton and normal answer begin as one
                                      batch; when the router decides, the loser leaves it (paper
                                      App. C.4). Events and tokens are as without it. Routers other
                                      than the prompting one decide before anything else begins */
};

/* Who decides whether a question suits SoT (paper §4). */
enum {
    SOT_ROUTER_DEFAULT = 0,   /* trained where trained_router is given, otherwise prompting */
    SOT_ROUTER_PROMPTING = 1, /* the model itself is asked (App. C.1) */
    SOT_ROUTER_TRAINED = 2,   /* a classifier (App. C.2) */
    SOT_ROUTER_ALWAYS = 3,    /* SoT */
    SOT_ROUTER_NEVER = 4,     /* normal */
    SOT_ROUTER_CALLBACK = 5   /* on_route */
};

/* A router of the caller's own: fills decision->label and, if it likes, score. Non-zero stops the
 * call as sot_session_cancel does. Since 0.1. */
typedef int32_t (*sot_route_fn)(const char *question, sot_decision *decision, void *user);

/* How questions are answered. What it points to must stay until the call returns. Since 0.1. */
typedef struct sot_generate_params {
    uint32_t struct_size;
    uint32_t mode;                  /* SOT_MODE_* (sot_generate only) */
    float temperature;              /* 0 (default): greedy */
    float top_p;                    /* keep the smallest set of this probability; 0, 1: all */
    float repetition_penalty;       /* over the text generated so far; 0, 1: none */
    uint32_t top_k;                 /* keep the k likeliest; 0: all */
    uint64_t seed;                  /* of the random streams, one stream per sequence */
    uint32_t max_tokens;            /* normal answer; default 1024 */
    uint32_t max_skeleton_tokens;   /* default 512 */
    uint32_t max_point_tokens;      /* each expansion; default 256 */
    uint32_t max_points;            /* cap on the points parsed from a skeleton; default 64 */
    const int32_t *stop_ids;        /* (n_stop_ids) tokens that end a text, besides EOS */
    size_t n_stop_ids;              /* default 0 */
    const char *const *stop_strings; /* (n_stop_strings) texts that end a text and are cut off */
    size_t n_stop_strings;          /* default 0 */
    sot_event_fn on_event;          /* default: none */
    void *event_user;               /* passed to on_event */
    const char *conversation;       /* "vicuna", "llama2-chat", "ultralm", "openchat",
                                       "stablevicuna", "none"; default: the model's */
    const sot_conversation *custom_conversation; /* goes before conversation */
    const char *system_message;     /* default: none, for LLaMA-2-chat too */
    const sot_prompts *prompts;     /* default: those of wording */
    const char *const *history;     /* (n_history) earlier rounds: question, answer, question … */
    size_t n_history;               /* even */
    uint32_t flags;                 /* SOT_GENERATE_* */
    const uint32_t *point_limits;   /* (n_point_limits) max_point_tokens of each point, in skeleton
                                       order; 0 or no entry: max_point_tokens */
    size_t n_point_limits;          /* default 0 */
    const char *wording;            /* of the prompts: "two-shot" (default), "zero-shot" (the
                                       paper's Prompt 3), "compact", "chained"; prompts go before */
    const char *forced_skeleton;    /* for measuring: what follows the partial answer in place of
                                       what the model would write, token by token at the same cost
                                       and to its end; NULL: the model writes */
    uint32_t router;                /* SOT_ROUTER_* (routed mode) */
    uint32_t reserved;              /* 0 */
    const sot_router *trained_router; /* for SOT_ROUTER_TRAINED; must outlive the call */
    sot_route_fn on_route;            /* for SOT_ROUTER_CALLBACK */
    void *route_user;                 /* passed to on_route */
} sot_generate_params;
#define SOT_GENERATE_PARAMS_INIT SOT_STRUCT_INIT(sot_generate_params)

/* ---- 4. Asking --------------------------------------------------------------------------------
 */

/* Answers a question, in params->mode (paper §2). A skeleton without points is no failure: the
 * answer then is the skeleton response and sot_answer_point_count() is 0; so it is for a skeleton
 * that was cancelled or ran out of context, whose points are parsed but not expanded. Routed mode
 * answers normally where the router is undecided, or its question to the model has no room;
 * cancelled before the decision, the answer is empty.
 * Returns ARGUMENT, MEMORY, UNSUPPORTED (no tokenizer), BUSY, DEVICE; and with a partial answer in
 * *out: CANCELLED, CONTEXT_FULL.
 * The caller owns *out. Since 0.1. */
SOT_API sot_status sot_generate(sot_session *session, const char *question,
                                const sot_generate_params *params, sot_answer **out);

/* The answer's text. SoT: "{index}. {point} {expansion}" per point, the expansion without white
 * space at both ends, joined by newlines (paper §2.1, step 3); under a point template without a
 * partial answer (zero-shot), where an expansion is to begin with its point itself, each point is
 * there once all the same. Normal: what was generated, without white space at both ends. Borrowed.
 * Since 0.1. */
SOT_API const char *sot_answer_text(const sot_answer *answer);
SOT_API size_t sot_answer_text_size(const sot_answer *answer); /* bytes */

/* The skeleton of a SoT answer, borrowed; NULL for a normal one. Since 0.1. */
SOT_API const sot_points *sot_answer_points(const sot_answer *answer);

/* Number of expanded points; 0 for a normal answer and for a skeleton without points. Since 0.1. */
SOT_API size_t sot_answer_point_count(const sot_answer *answer);

/* Point i's expansion as generated, not trimmed; NULL when i is out of range. Borrowed. Its tokens
 * are all that were picked for it, the one that stopped it included. Since 0.1. */
SOT_API const char *sot_answer_point(const sot_answer *answer, size_t i);
SOT_API size_t sot_answer_point_size(const sot_answer *answer, size_t i); /* bytes */
SOT_API uint32_t sot_answer_point_finish(const sot_answer *answer, size_t i); /* SOT_FINISH_* */
SOT_API uint32_t sot_answer_point_tokens(const sot_answer *answer, size_t i);

/* Why the answer as a whole ended: that of the normal text, or the first of CANCELLED, CONTEXT,
 * LENGTH, STOP that holds for any part. Since 0.1. */
SOT_API uint32_t sot_answer_finish(const sot_answer *answer);

/* What an answer took. Since 0.1. */
typedef struct sot_stats {
    uint32_t struct_size;
    uint32_t mode;              /* SOT_MODE_* that made the answer */
    uint32_t n_points;          /* points expanded */
    uint32_t n_points_dropped;  /* points over the cap */
    uint64_t prefill_ns[4], decode_ns[4]; /* per stage, index SOT_STAGE_* - 1, as all arrays here:
                                             ns of the steady clock; a pass of several stages, or
                                             one that prefills and decodes, is split by its rows */
    uint32_t prefill_tokens[4]; /* prompt tokens computed; all of them with the reused ones */
    uint32_t reused_tokens[4];  /* prompt tokens found in pages that were already computed */
    uint32_t decode_tokens[4];  /* tokens picked, those that end a text included */
    uint32_t decode_steps[4];   /* passes over the weights with rows that decode; a text's first
                                   token comes with its prompt's last pass */
    uint32_t max_rows[4];       /* most rows that decoded in one pass */
    uint32_t longest_expansion; /* tokens */
    uint64_t total_ns;          /* of the call, from its beginning to its end */
    uint64_t peak_page_tokens;  /* most tokens' worth of pages in use at once, kept ones too */
    uint64_t session_bytes;     /* memory that the session has reserved */
    uint64_t route_ns;          /* until the router had decided; 0 where none was asked */
    uint32_t spent_tokens;      /* concurrent routing: computed and picked for the text that lost;
                                   otherwise 0 */
    uint32_t reserved;          /* 0 */
    int64_t won_ns;             /* concurrent routing, otherwise 0: estimate of the time that
                                   beginning at once has won: what router and winner would have
                                   taken one after the other for what they did until the decision
                                   (prompts by their rows' share of a pass, each token a pass as
                                   this answer's others were), less what was taken; below 0 where
                                   the loser cost more */
} sot_stats;
#define SOT_STATS_INIT SOT_STRUCT_INIT(sot_stats)

/* Fills the first struct_size bytes of *stats. Returns ARGUMENT. Since 0.1. */
SOT_API sot_status sot_answer_get_stats(const sot_answer *answer, sot_stats *stats);

/* Frees an answer and all that was borrowed from it. NULL: nothing. Since 0.1. */
SOT_API void sot_answer_free(sot_answer *answer);

/* ---- 5. The two stages one by one -------------------------------------------------------------
 */

/* Stage 1: lets the model write a skeleton for the question and parses it (paper §2.1).
 * Returns as sot_generate does; CANCELLED and CONTEXT_FULL come with what could be parsed.
 * The caller owns *out. Since 0.1. */
SOT_API sot_status sot_skeleton(sot_session *session, const char *question,
                                const sot_generate_params *params, sot_points **out);

/* Stage 2: expands all points as one batch (paper §2.1); the points may come from sot_skeleton or
 * sot_points_parse. The common beginning of the requests is computed once. Points beyond
 * max_batch, or beyond what the page pool holds, join as others finish. The tokens of a point do
 * not depend on what it is batched with. max_points does not apply. Under a chained wording points
 * of sot_skeleton go on from the tokens generated there, whose pages the session keeps until the
 * next skeleton; other points from their text.
 * Returns as sot_generate does. The caller owns *out. Since 0.1. */
SOT_API sot_status sot_expand_batch(sot_session *session, const char *question,
                                    const sot_points *points, const sot_generate_params *params,
                                    sot_answer **out);

/* Parses a skeleton response (paper App. B.1). Takes any bytes: what is not UTF-8 is read as
 * U+FFFD. Keeps the first point of each index text, in order of appearance, at most max_points
 * (0: 64). No points is success. Returns ARGUMENT, MEMORY. The caller owns *out. Since 0.1. */
SOT_API sot_status sot_points_parse(const char *text, size_t text_size, uint32_t max_points,
                                    sot_points **out);

/* What was parsed; strings are borrowed, NULL and size 0 when i is out of range.
 * sot_points_free(NULL) does nothing; the points of an answer are the answer's. Since 0.1. */
SOT_API size_t sot_points_count(const sot_points *points);
SOT_API size_t sot_points_dropped(const sot_points *points);              /* over the cap */
SOT_API const char *sot_points_index(const sot_points *points, size_t i); /* "3" */
SOT_API const char *sot_points_text(const sot_points *points, size_t i);  /* "Dim Sum. " */
SOT_API size_t sot_points_text_size(const sot_points *points, size_t i);  /* bytes; may hold NUL */
SOT_API const char *sot_points_source(const sot_points *points); /* the skeleton response, whole */
SOT_API size_t sot_points_source_size(const sot_points *points);
SOT_API void sot_points_free(sot_points *points);

/* ---- 6. Tokens and logits ---------------------------------------------------------------------
 */

/* Flags of sot_tokenize and sot_detokenize. */
enum {
    SOT_TOKENIZE_BOS = 1,    /* put BOS first */
    SOT_TOKENIZE_SPECIAL = 2 /* read control pieces in the text as themselves */
};

/* Text to tokens, as SentencePiece does. *count is the number of tokens, also when they do not fit:
 * then CAPACITY is returned and tokens is unspecified. tokens may be NULL when capacity is 0.
 * Returns ARGUMENT, MEMORY, UNSUPPORTED (no tokenizer), CAPACITY. Since 0.1. */
SOT_API sot_status sot_tokenize(const sot_model *model, const char *text, size_t text_size,
                                uint32_t flags, int32_t *tokens, size_t capacity, size_t *count);

/* Tokens to text, as SentencePiece does; control pieces are left out unless flags has
 * SOT_TOKENIZE_SPECIAL. Not NUL-terminated. *text_size is the size needed in bytes.
 * Returns ARGUMENT (a token out of range), MEMORY, UNSUPPORTED, CAPACITY. Since 0.1. */
SOT_API sot_status sot_detokenize(const sot_model *model, const int32_t *tokens, size_t count,
                                  uint32_t flags, char *text, size_t capacity, size_t *text_size);

/* The logits behind the last of count tokens: logits is (n_vocab). Pages of a beginning shared with
 * the last call are reused.
 * Returns ARGUMENT, CONTEXT_FULL (count exceeds n_ctx or the page pool), CANCELLED, BUSY, DEVICE.
 * Since 0.1. */
SOT_API sot_status sot_logits(sot_session *session, const int32_t *tokens, size_t count,
                              float *logits);

/* ---- 7. Measuring -----------------------------------------------------------------------------
 */

/* What sot_session_measure times. Since 0.1. */
typedef struct sot_measure_params {
    uint32_t struct_size;
    uint32_t n_sequences; /* computed together; default 1, at most max_batch */
    uint32_t n_new;       /* tokens of each that are computed; default 1: a decode step; more: a
                             prompt, in passes of chunk_rows */
    uint32_t n_past;      /* tokens each has in pages before them */
    uint32_t n_shared;    /* how many of n_past, from the first on, lie in pages that all sequences
                             share; rounded down to whole pages */
    uint32_t n_warmup;    /* uncounted runs first; default 1, at most 10000 */
    uint32_t n_repeats;   /* counted runs; default 5, at most 10000 */
    uint32_t flags;       /* none defined yet; 0 */
} sot_measure_params;
#define SOT_MEASURE_PARAMS_INIT SOT_STRUCT_INIT(sot_measure_params)

/* Times the passes that generating is made of, without text: what is in the pages does not matter,
 * so n_past costs little to set up. A run ends with the greedy choice of each sequence's next
 * token. times_ns is (n_repeats): ns of the steady clock, one per run. What the session keeps in
 * pages stays where there is room.
 * Returns ARGUMENT, MEMORY, CONTEXT_FULL (n_ctx or the page pool), CANCELLED (times_ns then has
 * what was counted, the rest is 0), UNSUPPORTED, BUSY, DEVICE. Since 0.1. */
SOT_API sot_status sot_session_measure(sot_session *session, const sot_measure_params *params,
                                       uint64_t *times_ns);

/* ---- 8. Errors and versions -------------------------------------------------------------------
 */

/* "SOT_ERR_FORMAT"; for a number that is no status, "SOT_UNKNOWN". Since 0.1. */
SOT_API const char *sot_status_name(sot_status status);

/* This thread's last failure in one sentence, "" if there was none: UTF-8 without control
 * characters, whatever it quotes. Valid until this thread's next call into the library.
 * Since 0.1. */
SOT_API const char *sot_error_message(void);

/* The version of the library. Since 0.1. */
SOT_API uint32_t sot_version_number(void);    /* MAJOR * 1000000 + MINOR * 1000 + PATCH */
SOT_API const char *sot_version_string(void); /* "0.1.0" */

#ifdef __cplusplus
}
#endif

#include "chat.h"
#include "profile.h"
#include "router.h"

#endif
