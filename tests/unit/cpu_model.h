/* For the tests of lib/cpu/: a random LLaMA of any small shape, its forward pass in double
 * precision written as plainly as the equations, and the opening of a context on it. */
#ifndef TESTS_UNIT_CPU_MODEL_H
#define TESTS_UNIT_CPU_MODEL_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/half.h"
#include "base/random.h"

typedef struct cpu_model {
    soti_shape shape;
    soti_weights view;
    soti_layer_weights *layers;
    float *norms;
    uint16_t *halves; /* all matrices, at an address that is even and no more */
    char *halves_block;
    soti_device *device;
    soti_device_weights *weights;
} cpu_model;

/* Uniform in [-1, 1). */
static inline double cpu_noise(uint64_t stream, uint64_t i)
{
    return 2.0 * (double)soti_random_uniform(7, stream, i) - 1;
}

/* Where the drawing in cpu_context.h says that an element of a key (i_value 0) or value (1) of one
 * position of a page is: blocks of eight pages, a head's keys together, then its values. */
static inline size_t cpu_page_place(const soti_shape *shape, size_t n_pages, size_t i_layer,
                                    size_t page, size_t i_value, size_t i_kv, size_t position)
{
    size_t n_head = (size_t)SOTI_PAGE_TOKENS * shape->d_head; /* of a head of a page */
    size_t n_block = 8 * n_head * 2 * shape->n_kv;
    size_t n_layer = (n_pages + 7) / 8 * n_block;
    return i_layer * n_layer + page / 8 * n_block + i_kv * (2 * 8 * n_head) +
           i_value * (8 * n_head) + page % 8 * n_head + position % SOTI_PAGE_TOKENS * shape->d_head;
}

static inline size_t cpu_random_matrix(uint16_t *to, size_t n_out, size_t n_in, double scale,
                                       uint64_t stream)
{
    for (size_t i = 0; i < n_out * n_in; i++) {
        double value = cpu_noise(stream, i) * scale * sqrt(3.0 / (double)n_in);
        to[i] = soti_half_from_float((float)value);
    }
    return n_out * n_in;
}

static inline void cpu_model_make(cpu_model *model, const soti_shape *shape, int is_tied)
{
    size_t d = shape->d_model;
    size_t n_q = (size_t)shape->n_head * shape->d_head;
    size_t n_k = (size_t)shape->n_kv * shape->d_head;
    size_t per_layer = d * (2 * n_q + 2 * n_k + 3 * (size_t)shape->d_ff);
    size_t total = shape->n_layer * per_layer + 2 * shape->n_vocab * d;
    memset(model, 0, sizeof *model);
    model->shape = *shape;
    model->layers = calloc(shape->n_layer, sizeof *model->layers);
    model->norms = calloc((2 * shape->n_layer + 1) * d, sizeof(float));
    model->halves_block = calloc(total + 1, sizeof(uint16_t));
    model->halves = (uint16_t *)(void *)(model->halves_block + 2);
    for (size_t i = 0; i < (2 * shape->n_layer + 1) * d; i++) {
        model->norms[i] = (float)(1 + 0.3 * cpu_noise(1, i));
    }
    uint16_t *next = model->halves;
    uint64_t stream = 10;
    for (uint32_t l = 0; l < shape->n_layer; l++) {
        soti_layer_weights *layer = &model->layers[l];
        layer->attention_norm = model->norms + 2 * l * d;
        layer->ffn_norm = model->norms + (2 * l + 1) * d;
        layer->wq = next;
        next += cpu_random_matrix(next, n_q, d, 1.5, stream++);
        layer->wk = next;
        next += cpu_random_matrix(next, n_k, d, 1.5, stream++);
        layer->wv = next;
        next += cpu_random_matrix(next, n_k, d, 1, stream++);
        layer->wo = next;
        next += cpu_random_matrix(next, d, n_q, 1, stream++);
        layer->w_gate = next;
        next += cpu_random_matrix(next, shape->d_ff, d, 1, stream++);
        layer->w_up = next;
        next += cpu_random_matrix(next, shape->d_ff, d, 1, stream++);
        layer->w_down = next;
        next += cpu_random_matrix(next, d, shape->d_ff, 1, stream++);
    }
    model->view.embedding = next;
    next += cpu_random_matrix(next, shape->n_vocab, d, sqrt((double)d), stream++);
    model->view.output = model->view.embedding;
    if (!is_tied) {
        model->view.output = next;
        cpu_random_matrix(next, shape->n_vocab, d, 1, stream++);
    }
    model->view.layers = model->layers;
    model->view.output_norm = model->norms + 2 * shape->n_layer * d;
}

static inline void cpu_model_free(cpu_model *model)
{
    free(model->layers);
    free(model->norms);
    free(model->halves_block);
}

static inline sot_status cpu_model_open(cpu_model *model)
{
    const soti_backend *backend = soti_cpu_backend();
    sot_status status = backend->device_open(0, NULL, &model->device);
    if (status == SOT_OK) {
        status = backend->weights_create(model->device, &model->shape, &model->view, NULL, NULL,
                                         &model->weights);
    }
    return status;
}

static inline void cpu_model_close(cpu_model *model)
{
    soti_cpu_backend()->weights_free(model->weights);
    soti_cpu_backend()->device_close(model->device);
}

/* All stages behind batch_begin. */
static inline sot_status cpu_forward(const cpu_model *model, soti_context *context)
{
    const soti_backend *backend = soti_cpu_backend();
    sot_status status = backend->embed(context);
    for (uint32_t l = 0; l < model->shape.n_layer && status == SOT_OK; l++) {
        status = backend->qkv(context, l);
        status = status != SOT_OK ? status : backend->attention(context, l);
        status = status != SOT_OK ? status : backend->attention_output(context, l);
        status = status != SOT_OK ? status : backend->gate_up(context, l);
        status = status != SOT_OK ? status : backend->down(context, l);
    }
    return status != SOT_OK ? status : backend->logits(context);
}

static inline void cpu_reference_product(const uint16_t *w, size_t n_out, size_t n_in,
                                         const double *x, double *out)
{
    for (size_t i = 0; i < n_out; i++) {
        out[i] = 0;
        for (size_t k = 0; k < n_in; k++) {
            out[i] += (double)soti_half_to_float(w[i * n_in + k]) * x[k];
        }
    }
}

static inline void cpu_reference_norm(const double *x, const float *gain, size_t n, float eps,
                                      double *out)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i] * x[i];
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = x[i] / sqrt(sum / (double)n + (double)eps) * (double)gain[i];
    }
}

/* As Transformers' apply_rotary_pos_emb (half-split) or the original LLaMA code (interleaved). */
static inline void cpu_reference_rope(const soti_shape *shape, uint32_t position, double *head)
{
    uint32_t half = shape->d_head / 2;
    for (uint32_t i = 0; i < half; i++) {
        double angle = position / (double)shape->rope_scale *
                       pow((double)shape->rope_theta, -2.0 * i / shape->d_head);
        int is_split = shape->rope_layout == SOTI_ROPE_HALF_SPLIT;
        double *first = head + (is_split ? i : 2 * i);
        double *second = head + (is_split ? i + half : 2 * i + 1);
        double a = *first;
        double b = *second;
        *first = a * cos(angle) - b * sin(angle);
        *second = b * cos(angle) + a * sin(angle);
    }
}

/* One row's attention over keys and values (n_positions, n_kv * d_head). */
static inline void cpu_reference_attention(const soti_shape *shape, const double *q,
                                           const double *keys, const double *values,
                                           uint32_t n_positions, double *out)
{
    size_t d = shape->d_head;
    size_t n_k = shape->n_kv * d;
    double *scores = calloc(n_positions, sizeof *scores);
    for (uint32_t h = 0; h < shape->n_head; h++) {
        size_t kv = (size_t)(h / (shape->n_head / shape->n_kv)) * d;
        double largest = -INFINITY;
        double sum = 0;
        for (uint32_t p = 0; p < n_positions; p++) {
            scores[p] = 0;
            for (size_t i = 0; i < d; i++) {
                scores[p] += q[h * d + i] * keys[p * n_k + kv + i] / sqrt((double)d);
            }
            largest = fmax(largest, scores[p]);
        }
        for (uint32_t p = 0; p < n_positions; p++) {
            scores[p] = exp(scores[p] - largest);
            sum += scores[p];
        }
        for (size_t i = 0; i < d; i++) {
            out[h * d + i] = 0;
            for (uint32_t p = 0; p < n_positions; p++) {
                out[h * d + i] += scores[p] / sum * values[p * n_k + kv + i];
            }
        }
    }
    free(scores);
}

static inline double cpu_rounded(double value, int rounds)
{
    return rounds ? (double)soti_half_to_float(soti_half_from_float((float)value)) : value;
}

/* logits (n_tokens, n_vocab) of one sequence. rounds 1: keys and values are rounded to FP16, as
 * pages do; 0: nothing is rounded. */
static inline void cpu_reference_forward(const cpu_model *model, const int32_t *tokens,
                                         uint32_t n_tokens, int rounds, double *logits)
{
    const soti_shape *shape = &model->shape;
    size_t d = shape->d_model;
    size_t n_q = (size_t)shape->n_head * shape->d_head;
    size_t n_k = (size_t)shape->n_kv * shape->d_head;
    size_t kv_size = n_tokens * n_k;
    double *x = calloc(d, sizeof *x);
    double *normed = calloc(d, sizeof *x);
    double *q = calloc(n_q, sizeof *x);
    double *attended = calloc(n_q, sizeof *x);
    double *gate = calloc(shape->d_ff, sizeof *x);
    double *up = calloc(shape->d_ff, sizeof *x);
    double *keys = calloc(shape->n_layer * kv_size, sizeof *x);
    double *values = calloc(shape->n_layer * kv_size, sizeof *x);
    for (uint32_t t = 0; t < n_tokens; t++) {
        for (size_t i = 0; i < d; i++) {
            x[i] = (double)soti_half_to_float(model->view.embedding[(size_t)tokens[t] * d + i]);
        }
        for (uint32_t l = 0; l < shape->n_layer; l++) {
            const soti_layer_weights *layer = &model->layers[l];
            double *key = keys + l * kv_size + t * n_k;
            double *value = values + l * kv_size + t * n_k;
            cpu_reference_norm(x, layer->attention_norm, d, shape->norm_eps, normed);
            cpu_reference_product(layer->wq, n_q, d, normed, q);
            cpu_reference_product(layer->wk, n_k, d, normed, key);
            cpu_reference_product(layer->wv, n_k, d, normed, value);
            for (uint32_t h = 0; h < shape->n_head; h++) {
                cpu_reference_rope(shape, t, q + (size_t)h * shape->d_head);
            }
            for (uint32_t h = 0; h < shape->n_kv; h++) {
                cpu_reference_rope(shape, t, key + (size_t)h * shape->d_head);
            }
            for (size_t i = 0; i < n_k; i++) {
                key[i] = cpu_rounded(key[i], rounds);
                value[i] = cpu_rounded(value[i], rounds);
            }
            cpu_reference_attention(shape, q, keys + l * kv_size, values + l * kv_size, t + 1,
                                    attended);
            cpu_reference_product(layer->wo, d, n_q, attended, normed);
            for (size_t i = 0; i < d; i++) {
                x[i] += normed[i];
            }
            cpu_reference_norm(x, layer->ffn_norm, d, shape->norm_eps, normed);
            cpu_reference_product(layer->w_gate, shape->d_ff, d, normed, gate);
            cpu_reference_product(layer->w_up, shape->d_ff, d, normed, up);
            for (size_t i = 0; i < shape->d_ff; i++) {
                gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
            }
            cpu_reference_product(layer->w_down, d, shape->d_ff, gate, normed);
            for (size_t i = 0; i < d; i++) {
                x[i] += normed[i];
            }
        }
        cpu_reference_norm(x, model->view.output_norm, d, shape->norm_eps, normed);
        cpu_reference_product(model->view.output, shape->n_vocab, d, normed,
                              logits + (size_t)t * shape->n_vocab);
    }
    free(x);
    free(normed);
    free(q);
    free(attended);
    free(gate);
    free(up);
    free(keys);
    free(values);
}

#endif
