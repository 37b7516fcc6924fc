/* Models without a file: "random:7b", "random:DIMxLAYERSxHEADSxFFxVOCAB", "?seed=N" behind either.
 * Every weight is a function of (seed, tensor, position) alone, so a model is the same on every
 * machine and with any number of threads. Names and dimensions come from tensor_names.c.
 *
 * Weights are uniform with mean 0. A matrix with n columns has the standard deviation 1/sqrt(n),
 * which keeps the size of what it is applied to; matrices that add to the residual stream are
 * smaller by sqrt(2 n_layer), so that the stream does not grow with depth. */
#include "io/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "base/half.h"
#include "base/pool.h"
#include "base/random.h"
#include "io/tensor_list.h"
#include "io/tensor_names.h"

enum {
    PREFIX_BYTES = 7, /* "random:" */
    N_LEVELS = 4096,  /* distinct values of a matrix: 12 random bits each */
    BLOCK_VALUES = 8, /* made from one 128-bit random block */
    MANY_VALUES = BLOCK_VALUES * SOTI_RANDOM_LANES,
    UNIT_ROWS = 32,         /* a thread's share of a product is a multiple of as many rows */
    CHUNK_VALUES = 1 << 24, /* between two calls of progress: 32 MiB */
    ALIGNMENT = 64,         /* of a tensor's start, bytes */
    CONTEXT_TOKENS = 4096,
    VOCABULARY_MIN = 259
};

static const char seed_key[] = "?seed=";

typedef struct preset {
    const char *name;
    const char *dimensions;
} preset;

static const preset presets[] = {
    {"7b", "4096x32x32x11008x32000"},
    {"13b", "5120x40x40x13824x32000"},
    {"33b", "6656x60x52x17920x32000"},
};

/* One run of the pool: piece i_piece of n_pieces of every thread's rows of a tensor. */
typedef struct fill_job {
    const uint16_t *levels; /* (N_LEVELS) */
    uint16_t *values;       /* (n_rows, n_columns) */
    size_t n_rows, n_columns;
    size_t i_piece, n_pieces;
    uint64_t seed;
    uint64_t stream;
} fill_job;

/* Reads digits at *text and moves it behind them. */
static bool read_number(const char **text, uint64_t largest, uint64_t *out)
{
    const char *at = *text;
    uint64_t number = 0;
    while (*at >= '0' && *at <= '9') {
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (largest - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
        at++;
    }
    bool any = at != *text;
    *text = at;
    *out = number;
    return any;
}

static sot_status parse_dimensions(const char *spec, const char *text, size_t size,
                                   soti_shape *shape)
{
    static const char *const names[] = {"DIM", "LAYERS", "HEADS", "FF", "VOCAB"};
    uint32_t *const targets[] = {&shape->d_model, &shape->n_layer, &shape->n_head, &shape->d_ff,
                                 &shape->n_vocab};
    const char *at = text;
    for (size_t i = 0; i < 5; i++) {
        uint64_t number;
        if (i > 0 && *at != 'x') {
            return soti_fail(SOT_ERR_ARGUMENT,
                             "%s: expected x and %s behind \"%.*s\": the form is "
                             "random:DIMxLAYERSxHEADSxFFxVOCAB",
                             spec, names[i], (int)(at - text), text);
        }
        at += i > 0;
        const char *start = at;
        if (!read_number(&at, UINT32_MAX, &number)) {
            return soti_fail(SOT_ERR_ARGUMENT,
                             "%s: %s is not a number from 1 to %u at \"%s\": the form is "
                             "random:7b, 13b, 33b or random:DIMxLAYERSxHEADSxFFxVOCAB",
                             spec, names[i], UINT32_MAX, start);
        }
        *targets[i] = (uint32_t)number;
    }
    if (at != text + size) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: unexpected \"%s\" behind VOCAB", spec, at);
    }
    return SOT_OK;
}

static sot_status parse_seed(const char *spec, const char *text, uint64_t *seed)
{
    size_t key_size = sizeof seed_key - 1;
    *seed = 0;
    if (text == NULL) {
        return SOT_OK;
    }
    const char *at = text + key_size;
    if (strncmp(text, seed_key, key_size) != 0 || !read_number(&at, UINT64_MAX, seed) ||
        *at != '\0') {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: \"%s\" is not ?seed=N with N from 0 to %llu", spec,
                         text, (unsigned long long)UINT64_MAX);
    }
    return SOT_OK;
}

static sot_status parse_spec(const char *spec, soti_shape *shape, uint64_t *seed)
{
    const char *text = spec + PREFIX_BYTES;
    const char *query = strchr(text, '?');
    size_t size = query != NULL ? (size_t)(query - text) : strlen(text);
    RETURN_IF_ERROR(parse_seed(spec, query, seed));
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        if (strlen(presets[i].name) == size && memcmp(presets[i].name, text, size) == 0) {
            text = presets[i].dimensions;
            size = strlen(text);
            break;
        }
    }
    RETURN_IF_ERROR(parse_dimensions(spec, text, size, shape));
    if (shape->n_head == 0 || shape->d_model % shape->n_head != 0) {
        return soti_fail(SOT_ERR_ARGUMENT, "%s: DIM %u cannot be divided by HEADS %u", spec,
                         shape->d_model, shape->n_head);
    }
    shape->n_kv = shape->n_head;
    shape->d_head = shape->d_model / shape->n_head;
    shape->rope_layout = SOTI_ROPE_HALF_SPLIT;
    shape->rope_theta = 10000.0f;
    shape->rope_scale = 1.0f;
    shape->norm_eps = 1e-5f;
    if (soti_shape_check(shape) != SOT_OK) {
        return soti_fail_in(SOT_ERR_ARGUMENT, "%s: ", spec);
    }
    return SOT_OK;
}

/* Lays the tensors out one behind the other; data is NULL on the first pass, which only measures.
 */
static sot_status lay_out(soti_checkpoint *out, uint8_t *data, size_t *bytes)
{
    size_t at = 0;
    size_t count = soti_expected_tensor_count(&out->shape, 0);
    for (size_t i = 0; i < count; i++) {
        soti_expected_tensor expected;
        soti_expected_tensor_get(&out->shape, i, &expected);
        uint64_t n = expected.dims[0] * (expected.n_dims == 2 ? expected.dims[1] : 1);
        size_t begin = at;
        size_t room;
        if (__builtin_mul_overflow(n, sizeof(uint16_t), &room) || !soti_add(at, room, &at) ||
            !soti_add(at, ALIGNMENT - 1, &at)) {
            return soti_fail(SOT_ERR_MEMORY, "%s: the weights exceed the address space", out->path);
        }
        at -= at % ALIGNMENT;
        if (data == NULL) {
            continue;
        }
        char *name = soti_copy_text(expected.name, strlen(expected.name));
        if (name == NULL) {
            return SOT_ERR_MEMORY;
        }
        out->tensors[out->n_tensors++] = (soti_tensor){
            .name = name,
            .file = out->path,
            .data = data + begin,
            .bytes = room,
            .type = SOTI_TYPE_F16,
            .n_dims = expected.n_dims,
            .dims = {expected.dims[0], expected.dims[1]},
        };
    }
    *bytes = at;
    return SOT_OK;
}

/* The distinct values of one tensor. */
typedef struct level_job {
    uint32_t role;
    uint32_t n_layer;
    uint64_t n_columns;
    uint16_t *levels; /* (N_LEVELS) */
} level_job;

static void make_levels(void *context, uint32_t i_thread, uint32_t n_threads)
{
    (void)i_thread;
    (void)n_threads;
    const level_job *job = context;
    double deviation = 1.0;
    if (job->role != SOTI_ROLE_EMBEDDING) {
        deviation /= sqrt((double)job->n_columns);
    }
    if (job->role == SOTI_ROLE_RESIDUAL) {
        deviation /= sqrt(2.0 * job->n_layer);
    }
    double largest = deviation * sqrt(3.0); /* of a uniform distribution */
    for (int i = 0; i < N_LEVELS; i++) {
        double place = (2.0 * i + 1.0 - N_LEVELS) / N_LEVELS; /* symmetric, inside (-1, 1) */
        job->levels[i] = soti_half_from_float((float)(place * largest));
    }
}

/* Blocks of BLOCK_VALUES values each from words that lie stride apart. */
static void put_block(const uint16_t *levels, const uint32_t *words, size_t stride, uint16_t *block)
{
    for (size_t j = 0; j < 4; j++) {
        uint32_t word = words[j * stride];
        block[2 * j] = levels[word & (N_LEVELS - 1)];
        block[2 * j + 1] = levels[word >> 16 & (N_LEVELS - 1)];
    }
}

/* Threads fill, and so place in memory, the rows that the same share of a product will read; not so
 * for query, key and value, whose heads are shared out as those of one matrix. With several memory
 * nodes that helps a pool whose threads are pinned; others move about. */
static void fill_share(void *context, uint32_t i_thread, uint32_t n_threads)
{
    const fill_job *job = context;
    size_t first;
    size_t last;
    size_t i;
    size_t end;
    soti_pool_share(job->n_rows, UNIT_ROWS, i_thread, n_threads, &first, &last);
    soti_pool_share((last - first) * job->n_columns, BLOCK_VALUES, (uint32_t)job->i_piece,
                    (uint32_t)job->n_pieces, &i, &end);
    i += first * job->n_columns;
    end += first * job->n_columns;
    for (; i + MANY_VALUES <= end; i += MANY_VALUES) {
        uint32_t words[4][SOTI_RANDOM_LANES];
        soti_random_blocks(job->seed, job->stream, i / BLOCK_VALUES, words);
        for (size_t j = 0; j < SOTI_RANDOM_LANES; j++) {
            put_block(job->levels, words[0] + j, SOTI_RANDOM_LANES,
                      job->values + i + j * BLOCK_VALUES);
        }
    }
    for (; i < end; i += BLOCK_VALUES) {
        uint32_t words[4];
        uint16_t block[BLOCK_VALUES];
        soti_random_block(job->seed, job->stream, i / BLOCK_VALUES, words);
        put_block(job->levels, words, 1, block);
        memcpy(job->values + i, block,
               (end - i < BLOCK_VALUES ? end - i : BLOCK_VALUES) * sizeof block[0]);
    }
}

/* What make_weights carries from tensor to tensor. */
typedef struct filler {
    soti_pool *pool;
    sot_progress_fn progress;
    void *user;
    uint64_t done_bytes;
    uint64_t seed;
    uint16_t *levels;
} filler;

static sot_status fill_tensor(filler *work, size_t i_tensor, uint32_t role, soti_checkpoint *out)
{
    const soti_tensor *tensor = &out->tensors[i_tensor];
    uint16_t *values = (uint16_t *)out->owned + (tensor->data - (uint8_t *)out->owned) / 2;
    size_t count = tensor->bytes / sizeof *values;
    if (role == SOTI_ROLE_NORM) {
        for (int i = 0; i < N_LEVELS; i++) {
            work->levels[i] = soti_half_from_float(1.0f);
        }
    } else {
        level_job job = {role, out->shape.n_layer, tensor->dims[1], work->levels};
        soti_pool_run_here(make_levels, &job); /* whatever way the host rounds */
    }
    size_t n_pieces = (count + CHUNK_VALUES - 1) / CHUNK_VALUES;
    for (size_t i = 0; i < n_pieces; i++) {
        fill_job job = {
            .levels = work->levels,
            .values = values,
            .n_rows = tensor->dims[0],
            .n_columns = count / tensor->dims[0],
            .i_piece = i,
            .n_pieces = n_pieces,
            .seed = work->seed,
            .stream = i_tensor,
        };
        soti_pool_run(work->pool, fill_share, &job);
        work->done_bytes += (count * (i + 1) / n_pieces - count * i / n_pieces) * sizeof *values;
        if (work->progress != NULL &&
            work->progress(work->done_bytes, out->owned_bytes, work->user) != 0) {
            return soti_fail(SOT_ERR_CANCELLED, "%s: cancelled while weights were made", out->path);
        }
    }
    return SOT_OK;
}

static sot_status make_weights(soti_checkpoint *out, uint64_t seed, sot_progress_fn progress,
                               void *user)
{
    filler work = {.progress = progress, .user = user, .seed = seed};
    work.levels = soti_alloc(N_LEVELS, sizeof *work.levels);
    sot_status status = work.levels != NULL ? soti_pool_create_any(&work.pool) : SOT_ERR_MEMORY;
    for (size_t i = 0; status == SOT_OK && i < out->n_tensors; i++) {
        soti_expected_tensor expected;
        soti_expected_tensor_get(&out->shape, i, &expected);
        status = fill_tensor(&work, i, expected.role, out);
    }
    soti_pool_free(work.pool);
    soti_free(work.levels);
    return status;
}

static int compare_tensors(const void *a, const void *b)
{
    return strcmp(((const soti_tensor *)a)->name, ((const soti_tensor *)b)->name);
}

sot_status soti_random_model_read(const char *spec, sot_progress_fn progress, void *user,
                                  soti_checkpoint *out)
{
    uint64_t seed;
    size_t bytes = 0;
    RETURN_IF_ERROR(parse_spec(spec, &out->shape, &seed));
    RETURN_IF_ERROR(lay_out(out, NULL, &bytes));
    out->tensors = soti_alloc(soti_expected_tensor_count(&out->shape, 0), sizeof *out->tensors);
    out->owned = out->tensors != NULL ? soti_map_alloc(bytes) : NULL;
    if (out->owned == NULL) {
        return SOT_ERR_MEMORY;
    }
    out->owned_bytes = bytes;
    RETURN_IF_ERROR(lay_out(out, out->owned, &bytes));
    RETURN_IF_ERROR(make_weights(out, seed, progress, user));
    qsort(out->tensors, out->n_tensors, sizeof *out->tensors, compare_tensors);
    out->n_ctx_train = CONTEXT_TOKENS;
    out->name = soti_copy_text(spec, strlen(spec));
    if (out->name == NULL) {
        return SOT_ERR_MEMORY;
    }
    if (out->shape.n_vocab >= VOCABULARY_MIN) {
        RETURN_IF_ERROR(soti_vocabulary_make_bytes(out->shape.n_vocab, &out->vocabulary));
        out->bos_id = out->vocabulary.bos_id;
        out->eos_id = out->vocabulary.eos_id;
    }
    return SOT_OK;
}
