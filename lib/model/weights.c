/* See weights.h. Two walks over the matrices in the order of the forward pass: the first takes what
 * can be used in place and adds up what must be copied, so that the second converts into memory of
 * exactly that size. In-place tensors are read here only to lock them; otherwise their pages come
 * in on first use. */
#include "weights.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "base/half.h"
#include "base/pool.h"

enum {
    COPY_ALIGNMENT = 64, /* bytes; a cache line */
    COPY_GRAIN = 4096    /* elements a thread takes at least */
};

typedef struct builder {
    const soti_checkpoint *checkpoint;
    soti_weight_set *set;
    bool locks;
    sot_progress_fn progress;
    void *user;
    uint64_t done_bytes, total_bytes;
    soti_pool *pool;     /* only where something is copied */
    uint16_t *next_copy; /* where in set->converted the next copied matrix goes */
} builder;

typedef sot_status (*matrix_fn)(builder *build, const soti_tensor *tensor, const uint16_t **slot);

static size_t element_count(const soti_tensor *tensor)
{
    size_t n = (size_t)tensor->dims[0];
    return tensor->n_dims == 2 ? n * (size_t)tensor->dims[1] : n;
}

static bool must_copy(const soti_tensor *tensor)
{
    return tensor->type != SOTI_TYPE_F16 || (uintptr_t)tensor->data % sizeof(uint16_t) != 0;
}

static size_t copy_bytes(const soti_tensor *tensor)
{
    size_t bytes = element_count(tensor) * sizeof(uint16_t);
    return (bytes + COPY_ALIGNMENT - 1) / COPY_ALIGNMENT * COPY_ALIGNMENT;
}

static sot_status find(const builder *build, const char *name, const soti_tensor **out)
{
    *out = soti_checkpoint_find(build->checkpoint, name);
    return *out != NULL ? SOT_OK
                        : soti_fail(SOT_ERR_FORMAT, "%s: tensor %s is missing",
                                    build->checkpoint->path, name);
}

static sot_status visit(builder *build, const char *name, const uint16_t **slot, matrix_fn fn)
{
    const soti_tensor *tensor;
    RETURN_IF_ERROR(find(build, name, &tensor));
    return fn(build, tensor, slot);
}

static sot_status visit_layer(builder *build, uint32_t i_layer, matrix_fn fn)
{
    soti_layer_weights *layer = &build->set->layers[i_layer];
    const struct {
        const char *name;
        const uint16_t **slot;
    } matrices[] = {
        {"self_attn.q_proj", &layer->wq},  {"self_attn.k_proj", &layer->wk},
        {"self_attn.v_proj", &layer->wv},  {"self_attn.o_proj", &layer->wo},
        {"mlp.gate_proj", &layer->w_gate}, {"mlp.up_proj", &layer->w_up},
        {"mlp.down_proj", &layer->w_down},
    };
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        char name[80];
        snprintf(name, sizeof name, "model.layers.%u.%s.weight", i_layer, matrices[i].name);
        RETURN_IF_ERROR(visit(build, name, matrices[i].slot, fn));
    }
    return SOT_OK;
}

static sot_status visit_all(builder *build, matrix_fn fn)
{
    soti_weights *view = &build->set->view;
    RETURN_IF_ERROR(visit(build, "model.embed_tokens.weight", &view->embedding, fn));
    for (uint32_t i = 0; i < build->checkpoint->shape.n_layer; i++) {
        RETURN_IF_ERROR(visit_layer(build, i, fn));
    }
    if (build->checkpoint->tied_output) {
        view->output = view->embedding;
        return SOT_OK;
    }
    return visit(build, "lm_head.weight", &view->output, fn);
}

static sot_status measure(builder *build, const soti_tensor *tensor, const uint16_t **slot)
{
    soti_weight_set *set = build->set;
    size_t n = element_count(tensor);
    set->n_parameters += n;
    build->total_bytes += tensor->bytes;
    if (slot != &set->view.embedding || build->checkpoint->tied_output) {
        set->weight_bytes += n * sizeof(uint16_t);
    }
    if (must_copy(tensor)) {
        set->converted_bytes += copy_bytes(tensor);
    }
    return SOT_OK;
}

static sot_status report(builder *build, const soti_tensor *tensor)
{
    build->done_bytes += tensor->bytes;
    if (build->progress != NULL &&
        build->progress(build->done_bytes, build->total_bytes, build->user) != 0) {
        return soti_fail(SOT_ERR_CANCELLED, "loading %s was cancelled after %llu of %llu bytes",
                         build->checkpoint->path, (unsigned long long)build->done_bytes,
                         (unsigned long long)build->total_bytes);
    }
    return SOT_OK;
}

/* data may have any alignment. */
static float element(const soti_tensor *tensor, size_t i)
{
    if (tensor->type == SOTI_TYPE_F32) {
        float value;
        memcpy(&value, tensor->data + i * sizeof value, sizeof value);
        return value;
    }
    uint16_t bits;
    memcpy(&bits, tensor->data + i * sizeof bits, sizeof bits);
    return tensor->type == SOTI_TYPE_BF16 ? soti_bfloat_to_float(bits) : soti_half_to_float(bits);
}

static sot_status fail_range(const soti_tensor *tensor, size_t i, const char *limit)
{
    return soti_fail(SOT_ERR_RANGE, "%s: tensor %s: element %zu is %g, %s", tensor->file,
                     tensor->name, i, (double)element(tensor, i), limit);
}

static bool half_is_finite(uint16_t half)
{
    return (half & 0x7C00u) != 0x7C00u;
}

/* One tensor's conversion by all threads of the pool. */
typedef struct conversion {
    const soti_tensor *tensor;
    uint16_t *out;
    size_t n;
    atomic_size_t first_bad; /* element that FP16 cannot hold; n: none */
} conversion;

static void note_bad(conversion *work, size_t i)
{
    size_t first = atomic_load(&work->first_bad);
    while (i < first && !atomic_compare_exchange_weak(&work->first_bad, &first, i)) {
    }
}

static void convert_share(void *context, uint32_t i_thread, uint32_t n_threads)
{
    conversion *work = context;
    size_t i;
    size_t end;
    soti_pool_share(work->n, COPY_GRAIN, i_thread, n_threads, &i, &end);
    if (work->tensor->type == SOTI_TYPE_F16) { /* at an odd address; used as it is */
        memcpy(work->out + i, work->tensor->data + i * sizeof *work->out,
               (end - i) * sizeof *work->out);
        return;
    }
    for (; i < end; i++) {
        work->out[i] = soti_half_from_float(element(work->tensor, i));
        if (!half_is_finite(work->out[i])) {
            note_bad(work, i);
            return;
        }
    }
}

static sot_status convert(soti_pool *pool, const soti_tensor *tensor, uint16_t *out)
{
    size_t n = element_count(tensor);
    conversion work = {.tensor = tensor, .out = out, .n = n};
    atomic_init(&work.first_bad, n);
    soti_pool_run(pool, convert_share, &work);
    size_t first_bad = atomic_load(&work.first_bad);
    return first_bad == n ? SOT_OK
                          : fail_range(tensor, first_bad, "beyond what FP16 holds (65504)");
}

static sot_status lock_tensor(const builder *build, const soti_tensor *tensor)
{
    if (!build->locks || soti_map_lock(tensor->data, tensor->bytes) == SOT_OK) {
        return SOT_OK;
    }
    return soti_fail_in(SOT_ERR_MEMORY, "%s: tensor %s: ", tensor->file, tensor->name);
}

static sot_status place(builder *build, const soti_tensor *tensor, const uint16_t **slot)
{
    if (must_copy(tensor)) {
        RETURN_IF_ERROR(convert(build->pool, tensor, build->next_copy));
        *slot = build->next_copy;
        build->next_copy += copy_bytes(tensor) / sizeof(uint16_t);
    } else {
        *slot = (const uint16_t *)(const void *)tensor->data;
        build->set->is_in_place = true;
        RETURN_IF_ERROR(lock_tensor(build, tensor));
    }
    return report(build, tensor);
}

static sot_status place_norm(builder *build, const char *name, float *out, const float **slot)
{
    const soti_tensor *tensor;
    RETURN_IF_ERROR(find(build, name, &tensor));
    for (uint32_t i = 0; i < build->checkpoint->shape.d_model; i++) {
        out[i] = element(tensor, i);
        if (!isfinite(out[i])) {
            return fail_range(tensor, i, "not a finite number");
        }
    }
    *slot = out;
    build->set->n_parameters += build->checkpoint->shape.d_model;
    return SOT_OK;
}

static sot_status place_norms(builder *build)
{
    const soti_shape *shape = &build->checkpoint->shape;
    float *out = build->set->norms;
    for (uint32_t i = 0; i < shape->n_layer; i++) {
        char name[80];
        snprintf(name, sizeof name, "model.layers.%u.input_layernorm.weight", i);
        RETURN_IF_ERROR(place_norm(build, name, out, &build->set->layers[i].attention_norm));
        out += shape->d_model;
        snprintf(name, sizeof name, "model.layers.%u.post_attention_layernorm.weight", i);
        RETURN_IF_ERROR(place_norm(build, name, out, &build->set->layers[i].ffn_norm));
        out += shape->d_model;
    }
    return place_norm(build, "model.norm.weight", out, &build->set->view.output_norm);
}

static sot_status build_set(builder *build)
{
    const soti_shape *shape = &build->checkpoint->shape;
    soti_weight_set *set = build->set;
    size_t n_norms;
    if (!soti_mul((size_t)shape->n_layer * 2 + 1, shape->d_model, &n_norms)) {
        return soti_fail(SOT_ERR_MEMORY, "%s: norms of %u layers are too large",
                         build->checkpoint->path, shape->n_layer);
    }
    set->layers = soti_alloc(shape->n_layer, sizeof *set->layers);
    set->norms = soti_alloc(n_norms, sizeof *set->norms);
    if (set->layers == NULL || set->norms == NULL) {
        return SOT_ERR_MEMORY;
    }
    set->view.layers = set->layers;
    RETURN_IF_ERROR(place_norms(build));
    RETURN_IF_ERROR(visit_all(build, measure));
    if (set->converted_bytes > 0) {
        set->converted = soti_map_alloc(set->converted_bytes);
        if (set->converted == NULL) {
            return SOT_ERR_MEMORY;
        }
        if (build->locks && soti_map_lock(set->converted, set->converted_bytes) != SOT_OK) {
            return soti_fail_in(SOT_ERR_MEMORY, "%s: converted weights: ", build->checkpoint->path);
        }
        RETURN_IF_ERROR(soti_pool_create_any(&build->pool));
    }
    build->next_copy = set->converted;
    return visit_all(build, place);
}

sot_status soti_weight_set_build(const soti_checkpoint *checkpoint, uint32_t flags,
                                 sot_progress_fn progress, void *user, soti_weight_set *out)
{
    *out = (soti_weight_set){0};
    builder build = {.checkpoint = checkpoint,
                     .set = out,
                     .locks = (flags & SOT_MODEL_LOCK) != 0,
                     .progress = progress,
                     .user = user};
    sot_status status = build_set(&build);
    soti_pool_free(build.pool);
    if (status != SOT_OK) {
        soti_weight_set_free(out);
    }
    return status;
}

void soti_weight_set_free(soti_weight_set *set)
{
    soti_free(set->layers);
    soti_free(set->norms);
    soti_map_free(set->converted, set->converted_bytes);
    *set = (soti_weight_set){0};
}
