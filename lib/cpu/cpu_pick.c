/* Choosing a token from one row of logits. Logits that are not finite are never chosen.
 *
 * Candidates are ordered by logit, the lower id first among equals. Top-k and top-p need only the
 * order's beginning, so the candidates become a heap whose largest are taken off one by one, after
 * those are left out that top-p cannot reach; without them nothing is ordered and the draw walks
 * the ids. The largest logit alone needs no candidates. */
#include <float.h>
#include <math.h>

#include "base/fail.h"
#include "base/random.h"
#include "cpu/cpu_context.h"

enum { SCAN_LANES = 16 };

/* A weight below e^-40 of the largest is nothing beside the draw's resolution of 2^-24. */
static const double negligible = -40;

typedef struct pick_work {
    soti_context *context;
    const soti_pick *picks;
    uint32_t n_picks;
    int32_t *tokens; /* -1: no logit was finite */
} pick_work;

static int is_before(soti_cpu_candidate a, soti_cpu_candidate b)
{
    return a.value > b.value || (a.value == b.value && a.id < b.id);
}

/* Dividing a positive logit and multiplying a negative one both make it less likely (CTRL, Keskar
 * et al. 2019, section 4.1). From the original logit each time, so repeated ids count once. */
static float penalised(float logit, float penalty)
{
    float value = logit > 0 ? logit / penalty : logit * penalty;
    return value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : value;
}

/* The finite logits, penalised, in order of id; returns their number. */
static uint32_t gather(const float *logits, uint32_t n_vocab, const soti_pick *pick,
                       soti_cpu_candidate *candidates)
{
    for (uint32_t id = 0; id < n_vocab; id++) {
        candidates[id] = (soti_cpu_candidate){logits[id], id};
    }
    if (pick->repetition_penalty != 1) {
        for (uint32_t i = 0; i < pick->n_recent; i++) {
            int32_t id = pick->recent[i];
            if (id >= 0 && (uint32_t)id < n_vocab && isfinite(logits[id])) {
                candidates[id].value = penalised(logits[id], pick->repetition_penalty);
            }
        }
    }
    uint32_t n = 0;
    for (uint32_t id = 0; id < n_vocab; id++) {
        if (isfinite(candidates[id].value)) {
            candidates[n++] = candidates[id];
        }
    }
    return n;
}

static soti_cpu_candidate first_of(const soti_cpu_candidate *candidates, uint32_t n)
{
    soti_cpu_candidate first = candidates[0];
    for (uint32_t i = 1; i < n; i++) {
        if (is_before(candidates[i], first)) {
            first = candidates[i];
        }
    }
    return first;
}

/* Puts heap[i] where it belongs among its descendants. */
static void sink(soti_cpu_candidate *heap, uint32_t n, uint32_t i)
{
    soti_cpu_candidate moved = heap[i];
    while (i < n / 2) {
        uint32_t child = 2 * i + 1;
        if (child + 1 < n && is_before(heap[child + 1], heap[child])) {
            child++;
        }
        if (!is_before(heap[child], moved)) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moved;
}

static void make_heap(soti_cpu_candidate *heap, uint32_t n)
{
    for (uint32_t i = n / 2; i > 0; i--) {
        sink(heap, n, i - 1);
    }
}

/* Moves the first of the order behind the heap's end, which comes one nearer. */
static soti_cpu_candidate take_first(soti_cpu_candidate *heap, uint32_t *n)
{
    soti_cpu_candidate first = heap[0];
    (*n)--;
    heap[0] = heap[*n];
    heap[*n] = first;
    if (*n > 0) {
        sink(heap, *n, 0);
    }
    return first;
}

/* Unnormalised probability; largest is the greatest logit, whose weight is 1. */
static double weight_of(float value, float largest, float temperature)
{
    double x = ((double)value - (double)largest) / (double)temperature;
    return x < negligible ? 0 : exp(x);
}

/* Each candidate's weight; returns their total. */
static double weigh(const soti_cpu_candidate *candidates, uint32_t n, float largest,
                    float temperature, double *weights)
{
    double total = 0;
    for (uint32_t i = 0; i < n; i++) {
        weights[i] = weight_of(candidates[i].value, largest, temperature);
        total += weights[i];
    }
    return total;
}

/* The candidate at share u of the total weight. */
static uint32_t draw(const soti_cpu_candidate *candidates, const double *weights, uint32_t n,
                     double total, const soti_pick *pick)
{
    double target = total * (double)soti_random_uniform(pick->seed, pick->stream, pick->counter);
    double sum = 0;
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (weights[i] > 0) {
            chosen = i; /* should rounding let the sum end below the target: the last one */
        }
        sum += weights[i];
        if (sum > target) {
            break;
        }
    }
    return candidates[chosen].id;
}

/* Leaves out what is too light for the first share top_p of the weight: all of those together weigh
 * less than what top-p drops. */
static uint32_t keep_heavy(soti_cpu_candidate *candidates, const double *weights, uint32_t n,
                           double total, float top_p)
{
    double least = (1 - (double)top_p) * total / n * (1 - 1e-9);
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (weights[i] >= least) {
            candidates[n_kept++] = candidates[i];
        }
    }
    return n_kept;
}

/* Top-k, then top-p over what is left. Candidates come off the heap in order and gather, with their
 * weights, at the array's beginning once their number is known. */
static uint32_t draw_from_top(soti_cpu_candidate *candidates, uint32_t n, const soti_pick *pick,
                              double *weights)
{
    float largest = first_of(candidates, n).value;
    int has_top_k = pick->top_k > 0 && pick->top_k < n;
    double total = 0;
    if (!has_top_k) {
        total = weigh(candidates, n, largest, pick->temperature, weights);
        n = keep_heavy(candidates, weights, n, total, pick->top_p);
    }
    uint32_t n_heap = n;
    uint32_t n_most = has_top_k ? pick->top_k : n;
    uint32_t n_taken = 0;
    make_heap(candidates, n);
    for (; has_top_k && n_taken < n_most; n_taken++) {
        take_first(candidates, &n_heap);
        total += weight_of(candidates[n_heap].value, largest, pick->temperature);
    }
    double wanted = pick->top_p < 1 ? total * (double)pick->top_p : INFINITY;
    double kept = 0;
    uint32_t n_kept = 0;
    while (n_kept < n_most && (n_kept == 0 || kept < wanted)) {
        if (n_taken == n_kept) {
            take_first(candidates, &n_heap);
            n_taken++;
        }
        n_kept++;
        weights[n_kept - 1] = weight_of(candidates[n - n_kept].value, largest, pick->temperature);
        kept += weights[n_kept - 1];
    }
    for (uint32_t i = 0; i < n_kept / 2; i++) { /* the first taken is the last of the array */
        soti_cpu_candidate swapped = candidates[n - 1 - i];
        candidates[n - 1 - i] = candidates[n - n_kept + i];
        candidates[n - n_kept + i] = swapped;
    }
    return draw(candidates + (n - n_kept), weights, n_kept, kept, pick);
}

/* The lowest id among the largest finite logits; n_vocab: none is finite. Lanes, because a compiler
 * may not reorder a maximum by itself. */
static uint32_t find_largest(const float *logits, uint32_t n_vocab)
{
    float most[SCAN_LANES];
    float largest = -INFINITY;
    uint32_t i = 0;
    for (uint32_t j = 0; j < SCAN_LANES; j++) {
        most[j] = -INFINITY;
    }
    for (; i + SCAN_LANES <= n_vocab; i += SCAN_LANES) {
        for (uint32_t j = 0; j < SCAN_LANES; j++) {
            float value = logits[i + j] <= FLT_MAX ? logits[i + j] : -INFINITY;
            most[j] = value > most[j] ? value : most[j];
        }
    }
    for (; i < n_vocab; i++) {
        float value = logits[i] <= FLT_MAX ? logits[i] : -INFINITY;
        most[0] = value > most[0] ? value : most[0];
    }
    for (uint32_t j = 0; j < SCAN_LANES; j++) {
        largest = most[j] > largest ? most[j] : largest;
    }
    for (i = 0; i < n_vocab; i++) {
        if (logits[i] == largest && largest >= -FLT_MAX) {
            return i;
        }
    }
    return n_vocab;
}

int soti_cpu_pick_one(const float *logits, uint32_t n_vocab, const soti_pick *pick,
                      soti_cpu_candidate *candidates, double *weights, int32_t *token)
{
    int is_greedy = !(pick->temperature > 0);
    uint32_t id;
    if (is_greedy && (pick->repetition_penalty == 1 || pick->n_recent == 0)) {
        id = find_largest(logits, n_vocab);
        *token = id < n_vocab ? (int32_t)id : *token;
        return id < n_vocab;
    }
    uint32_t n = gather(logits, n_vocab, pick, candidates);
    if (n == 0) {
        return 0;
    }
    if (is_greedy) {
        id = first_of(candidates, n).id;
    } else if ((pick->top_k > 0 && pick->top_k < n) || pick->top_p < 1) {
        id = draw_from_top(candidates, n, pick, weights);
    } else {
        float largest = first_of(candidates, n).value;
        double total = weigh(candidates, n, largest, pick->temperature, weights);
        id = draw(candidates, weights, n, total, pick);
    }
    *token = (int32_t)id;
    return 1;
}

static void run_picks(void *argument, uint32_t i_thread, uint32_t n_threads)
{
    const pick_work *work = argument;
    soti_context *context = work->context;
    size_t first;
    size_t end;
    soti_pool_share(work->n_picks, 1, i_thread, n_threads, &first, &end);
    for (size_t i = first; i < end; i++) {
        const float *logits = context->logits + work->picks[i].i_logit * context->vocab_stride;
        if (!soti_cpu_pick_one(logits, context->shape.n_vocab, &work->picks[i],
                               context->scratch[i_thread].candidates,
                               context->scratch[i_thread].weights, &work->tokens[i])) {
            work->tokens[i] = -1;
        }
    }
}

sot_status soti_cpu_pick(soti_context *context, const soti_pick *picks, uint32_t n_picks,
                         int32_t *tokens)
{
    pick_work work = {context, picks, n_picks, tokens};
    for (uint32_t i = 0; i < n_picks; i++) {
        if (picks[i].i_logit >= context->rows.n_logits) {
            return soti_fail(SOT_ERR_DEVICE, "pick %u: row %u of %u rows of logits was asked for",
                             i, picks[i].i_logit, context->rows.n_logits);
        }
    }
    if (n_picks > 1) {
        soti_pool_run(context->pool, run_picks, &work);
    } else {
        soti_pool_run_here(run_picks, &work);
    }
    for (uint32_t i = 0; i < n_picks; i++) {
        if (tokens[i] < 0) {
            return soti_fail(SOT_ERR_DEVICE, "pick %u: none of %u logits is a finite number", i,
                             context->shape.n_vocab);
        }
    }
    return SOT_OK;
}
