/* Choosing one token from one row of logits: largest, or drawn after penalty, temperature, top-k
 * and top-p. The rules are backend.h's (soti_pick) and the order is logit, then lower id; nothing
 * is sorted. A logit becomes an integer key of the same order, a probability becomes a whole number
 * of 2^-n_scale_bits, and "the first candidate at which the running sum passes a limit" is found
 * digit by digit in histograms over the keys. Whole numbers add up to the same sum in any order, so
 * atomics leave nothing to timing. Philox is in random.cuh; start reading at k_pick_token.
 *
 * k_pick_token
 *   computes  tokens[i] by picks[i]; -1 where no logit is finite
 *   in        logits (n_logits, n_vocab) FP32, picks (n_picks), recent ids
 *   out       tokens (n_picks)
 *   workspace keys, 4 bytes ceil32(n_vocab) a pick; written and read by the pick's own block
 *   grid      n_picks blocks of 1024 threads (256 for n_vocab <= 8192); the result is the same
 *   shared    2 histograms of 3 * 2048 words, and sums of warps: 49,564 bytes
 *   bytes     greedy: 4 n_vocab; penalty: 12 n_vocab more; a draw: 4 n_vocab a pass, from L1 and
 *             L2: 2 passes without top-k and top-p; else 5, +2 for top-p, +2 for top-k
 *   limit     latency of one multiprocessor's loads; a draw also FP64 exp, n_vocab of them
 *   order     waits for the grid in front; blocks know nothing of each other; deterministic
 *   oracle    tests/cuda/test_pick.c: a full sort in float64; equal tokens wherever the draw is
 *             more than 1e-9 of the total away from a border between candidates
 *
 * A weight is exp((logit - largest) / temperature) in FP64, rounded to a whole number of
 * 2^-n_scale_bits, n_scale_bits >= 62 - ceil(log2(n_vocab)): 32,000 candidates err by 2^-34 of the
 * largest together, a thousandth of what the draw's 24 bits resolve. Sums stay below 2^63. */
#include <float.h>
#include <math.h>
#include <stdint.h>

#include "device.cuh"
#include "kernels.h"
#include "launch.cuh"
#include "random.cuh"

namespace
{

using soti::shared;

constexpr uint32_t ALL_LANES = 0xffffffff;
constexpr uint32_t LANES = 32;
constexpr uint32_t WARPS_MAX = 32;
constexpr uint32_t LARGE_VOCAB = 8192;
constexpr uint32_t AT_ONCE = 4;     /* keys that a thread loads before it uses the first */
constexpr uint32_t DIGIT_BITS = 11; /* the first two digits of a key; the last has 10 */
constexpr uint32_t LAST_BITS = 32 - 2 * DIGIT_BITS;
constexpr uint32_t N_BINS = 1u << DIGIT_BITS;
constexpr uint32_t SCALE_BITS_MAX = 52; /* what FP64 holds */

/* Shared memory, in bytes: two histograms, sums and counts of warps with their total behind them,
 * what choose_bin found. */
constexpr uint32_t HISTOGRAM_BYTES = 3 * N_BINS * 4;
constexpr uint32_t SUMS_AT = 2 * HISTOGRAM_BYTES;
constexpr uint32_t FOUND_SUM_AT = SUMS_AT + (WARPS_MAX + 1) * 8;
constexpr uint32_t COUNTS_AT = FOUND_SUM_AT + 8;
constexpr uint32_t FOUND_AT = COUNTS_AT + (WARPS_MAX + 1) * 4;
constexpr uint32_t SHARED_BYTES = FOUND_AT + 2 * 4;

/* Below this a weight is nothing beside the draw's resolution; the CPU backend's border. */
constexpr double NEGLIGIBLE = -40;

/* The order of finite floats as that of integers, equal for both zeros; 0: no candidate. */
__device__ __forceinline__ uint32_t key_of(float value)
{
    uint32_t bits = value == 0 ? 0 : __float_as_uint(value);
    uint32_t key = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return fabsf(value) <= FLT_MAX ? key : 0;
}

__device__ __forceinline__ float value_of(uint32_t key)
{
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

/* From the original logit each time, so repeated ids count once. */
__device__ __forceinline__ float penalised(float logit, float penalty)
{
    float value = logit > 0 ? logit / penalty : logit * penalty;
    return value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : value;
}

/* How many candidates, and what they weigh together. */
struct heap {
    uint32_t n;
    uint64_t weight;
};

__device__ __forceinline__ uint64_t words_64(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}

__device__ __forceinline__ uint64_t shuffle_64(uint64_t value, uint32_t lane)
{
    return words_64(__shfl_sync(ALL_LANES, (uint32_t)value, (int)lane),
                    __shfl_sync(ALL_LANES, (uint32_t)(value >> 32), (int)lane));
}

/* Each lane's own and all before it. */
__device__ __forceinline__ heap add_up_warp(heap own)
{
    for (uint32_t distance = 1; distance < LANES; distance *= 2) {
        uint32_t n = __shfl_up_sync(ALL_LANES, own.n, distance);
        uint32_t low = __shfl_up_sync(ALL_LANES, (uint32_t)own.weight, distance);
        uint32_t high = __shfl_up_sync(ALL_LANES, (uint32_t)(own.weight >> 32), distance);
        if (soti::lane_id() >= distance) {
            own.n += n;
            own.weight += words_64(low, high);
        }
    }
    return own;
}

/* What the threads before this one have, and what all have in *total. Called by the whole block;
 * begins with a barrier, so callers may have shared memory to read up to here. */
__device__ __forceinline__ heap add_up_block(heap own, heap *total)
{
    shared<uint64_t> sums = soti::shared_memory<uint64_t>(SUMS_AT);
    shared<uint32_t> counts = soti::shared_memory<uint32_t>(COUNTS_AT);
    uint32_t lane = soti::lane_id();
    uint32_t warp = soti::warp_id();
    heap up_to = add_up_warp(own);
    __syncthreads();
    if (lane == LANES - 1) {
        counts[warp] = up_to.n;
        sums[warp] = up_to.weight;
    }
    __syncthreads();
    if (warp == 0) {
        heap of_warp = {0, 0};
        if (lane < blockDim.x / LANES) {
            of_warp.n = counts[lane];
            of_warp.weight = sums[lane];
        }
        heap up_to_warp = add_up_warp(of_warp);
        counts[lane] = up_to_warp.n - of_warp.n;
        sums[lane] = up_to_warp.weight - of_warp.weight;
        if (lane == LANES - 1) {
            counts[WARPS_MAX] = up_to_warp.n;
            sums[WARPS_MAX] = up_to_warp.weight;
        }
    }
    __syncthreads();
    total->n = counts[WARPS_MAX];
    total->weight = sums[WARPS_MAX];
    return {counts[warp] + up_to.n - own.n, sums[warp] + up_to.weight - own.weight};
}

/* use(key, id) for every candidate, each by one thread. */
template <class Load, class Use>
__device__ __forceinline__ void for_each(uint32_t n_vocab, Load load, Use use)
{
    for (uint32_t first = threadIdx.x; first < n_vocab; first += AT_ONCE * blockDim.x) {
        uint32_t keys[AT_ONCE];
        for (uint32_t j = 0; j < AT_ONCE; j++) {
            uint32_t id = first + j * blockDim.x;
            keys[j] = id < n_vocab ? load(id) : 0;
        }
        for (uint32_t j = 0; j < AT_ONCE; j++) {
            if (keys[j] != 0) {
                use(keys[j], first + j * blockDim.x);
            }
        }
    }
}

/* The first of the order. */
struct first_place {
    uint32_t key; /* 0: there is no candidate */
    uint32_t id;
    uint32_t n; /* candidates there are */
};

__device__ __forceinline__ void take_first(first_place *first, uint32_t key, uint32_t id)
{
    if (key > first->key || (key == first->key && id < first->id)) {
        first->key = key;
        first->id = id;
    }
}

__device__ __forceinline__ first_place first_of_warp(first_place own)
{
    first_place first;
    first.key = __reduce_max_sync(ALL_LANES, own.key);
    first.id = __reduce_min_sync(ALL_LANES, own.key == first.key ? own.id : UINT32_MAX);
    first.n = __reduce_add_sync(ALL_LANES, own.n);
    return first;
}

/* load(id) is a key. Called by the whole block. */
template <class Load> __device__ __forceinline__ first_place find_first(uint32_t n_vocab, Load load)
{
    shared<uint32_t> firsts = soti::shared_memory<uint32_t>(0); /* (3, WARPS_MAX) */
    first_place own = {0, UINT32_MAX, 0};
    for_each(n_vocab, load, [&](uint32_t key, uint32_t id) {
        take_first(&own, key, id);
        own.n++;
    });
    own = first_of_warp(own);
    if (soti::lane_id() == 0) {
        firsts[soti::warp_id()] = own.key;
        firsts[WARPS_MAX + soti::warp_id()] = own.id;
        firsts[2 * WARPS_MAX + soti::warp_id()] = own.n;
    }
    __syncthreads();
    own = {0, UINT32_MAX, 0};
    if (soti::lane_id() < blockDim.x / LANES) {
        own.key = firsts[soti::lane_id()];
        own.id = firsts[WARPS_MAX + soti::lane_id()];
        own.n = firsts[2 * WARPS_MAX + soti::lane_id()];
    }
    own = first_of_warp(own);
    __syncthreads();
    return own;
}

/* A pick's candidates and what makes a weight of a key. */
struct candidates {
    const uint32_t *keys; /* (n_vocab) */
    uint32_t n_vocab;
    double largest;
    double per_temperature;
    double scale; /* 2^n_scale_bits */
};

__device__ __forceinline__ uint64_t weight_of(const candidates &all, uint32_t key)
{
    double x = ((double)value_of(key) - all.largest) * all.per_temperature;
    return x < NEGLIGIBLE ? 0 : (uint64_t)(exp(x) * all.scale + 0.5);
}

/* Three words a bin: candidates, and the two halves of what they weigh. */
struct histogram {
    shared<uint32_t> counts, low, high; /* (N_BINS) each */
};

__device__ __forceinline__ histogram histogram_at(uint32_t i_histogram)
{
    shared<uint32_t> words = soti::shared_memory<uint32_t>(i_histogram * HISTOGRAM_BYTES);
    return {words, words + N_BINS, words + 2 * N_BINS};
}

/* Shared memory adds 64 bits only by trial; two 32-bit sums with the carry between are native, and
 * each time the lower one wraps round exactly one thread sees it. */
__device__ __forceinline__ void add_to_bin(histogram bins, uint32_t bin, uint64_t weight)
{
    atomicAdd(bins.counts + bin, 1u);
    if (weight != 0) {
        uint32_t added = (uint32_t)weight;
        uint32_t before = atomicAdd(bins.low + bin, added);
        uint32_t up = (uint32_t)(weight >> 32) + (before + added < before ? 1u : 0u);
        if (up != 0) {
            atomicAdd(bins.high + bin, up);
        }
    }
}

/* Sorts the candidates whose key begins with prefix into bins by its next n_bits bits, behind which
 * shift bits are left. Returns what this thread put in. Called by the whole block. */
__device__ __forceinline__ heap fill_bins(const candidates &all, histogram bins, uint32_t n_bits,
                                          uint32_t shift, uint32_t prefix)
{
    heap own = {0, 0};
    for (uint32_t bin = threadIdx.x; bin < 1u << n_bits; bin += blockDim.x) {
        bins.counts[bin] = 0;
        bins.low[bin] = 0;
        bins.high[bin] = 0;
    }
    __syncthreads();
    for_each(
        all.n_vocab, [&](uint32_t id) { return all.keys[id]; },
        [&](uint32_t key, uint32_t) {
            if (key >> shift >> n_bits == prefix) {
                uint64_t weight = weight_of(all, key);
                add_to_bin(bins, (key >> shift) & ((1u << n_bits) - 1), weight);
                own.n++;
                own.weight += weight;
            }
        });
    __syncthreads();
    return own;
}

__device__ __forceinline__ heap read_bin(histogram bins, uint32_t bin)
{
    return {bins.counts[bin], words_64(bins.low[bin], bins.high[bin])};
}

/* A key and what comes before it in the order. */
struct place {
    uint32_t key;
    heap before;
};

/* Adds to at the digit at which the sum, of candidates or weights, passes limit. */
__device__ __forceinline__ void choose_bin(place *at, histogram bins, uint32_t n_bits,
                                           int by_number, uint64_t limit)
{
    shared<uint32_t> found = soti::shared_memory<uint32_t>(FOUND_AT);
    shared<uint64_t> found_weight = soti::shared_memory<uint64_t>(FOUND_SUM_AT);
    uint32_t n_own = (1u << n_bits) / blockDim.x;
    uint32_t last = (1u << n_bits) - 1 - threadIdx.x * n_own; /* larger keys come first */
    heap own = {0, 0};
    for (uint32_t i = 0; i < n_own; i++) {
        heap in = read_bin(bins, last - i);
        own.n += in.n;
        own.weight += in.weight;
    }
    heap total;
    heap before = add_up_block(own, &total);
    before.n += at->before.n;
    before.weight += at->before.weight;
    uint64_t begin = by_number ? before.n : before.weight;
    uint64_t end = begin + (by_number ? own.n : own.weight);
    if (begin <= limit && limit < end) {
        for (uint32_t i = 0;; i++) {
            heap in = read_bin(bins, last - i);
            begin += by_number ? in.n : in.weight;
            if (begin > limit) {
                found[0] = last - i;
                found[1] = before.n;
                found_weight[0] = before.weight;
                break;
            }
            before.n += in.n;
            before.weight += in.weight;
        }
    }
    __syncthreads();
    at->key = at->key << n_bits | found[0];
    at->before.n = found[1];
    at->before.weight = found_weight[0];
}

/* The key of the first candidate at which the sum passes limit, which it does. The first histogram
 * has been filled. Called by the whole block. */
__device__ __forceinline__ place find_place(const candidates &all, int by_number, uint64_t limit)
{
    place at = {0, {0, 0}};
    choose_bin(&at, histogram_at(0), DIGIT_BITS, by_number, limit);
    fill_bins(all, histogram_at(1), DIGIT_BITS, LAST_BITS, at.key);
    choose_bin(&at, histogram_at(1), DIGIT_BITS, by_number, limit);
    fill_bins(all, histogram_at(1), LAST_BITS, 0, at.key);
    choose_bin(&at, histogram_at(1), LAST_BITS, by_number, limit);
    return at;
}

/* total * chance / 2^24 rounded down; a sum of whole numbers is above the one if above the other */
__device__ __forceinline__ uint64_t share_of(uint64_t total, uint32_t chance)
{
    return (total >> 24) * chance + (((total & 0xffffffu) * chance) >> 24);
}

/* The id at which, in order of id, the sum of weigh(key) passes limit_of(all of it). Called by the
 * whole block; warps have a stretch of ids each. */
template <class Weigh, class Limit>
__device__ __forceinline__ void choose_by_id(const candidates &all, Weigh weigh, Limit limit_of,
                                             int32_t *token)
{
    uint32_t n_warps = blockDim.x / LANES;
    uint32_t n_stretch = (all.n_vocab + n_warps * LANES - 1) / (n_warps * LANES) * LANES;
    uint32_t first = min(soti::warp_id() * n_stretch, all.n_vocab);
    uint32_t end = min(first + n_stretch, all.n_vocab);
    heap own = {0, 0};
    for (uint32_t id = first + soti::lane_id(); id < end; id += LANES) {
        own.weight += weigh(all.keys[id]);
    }
    heap total;
    uint64_t sum = add_up_block(own, &total).weight;
    uint64_t limit = limit_of(total.weight);
    uint64_t after = shuffle_64(sum + own.weight, LANES - 1);
    sum = shuffle_64(sum, 0);
    if (limit < sum || limit >= after) {
        return;
    }
    for (; first < end; first += LANES) {
        uint32_t id = first + soti::lane_id();
        heap up_to = add_up_warp({0, id < end ? weigh(all.keys[id]) : 0});
        uint32_t passed = __ballot_sync(ALL_LANES, sum + up_to.weight > limit);
        if (passed != 0) {
            if ((int)soti::lane_id() == __ffs((int)passed) - 1) {
                *token = (int32_t)id;
            }
            return;
        }
        sum += shuffle_64(up_to.weight, LANES - 1);
    }
}

/* The weight of what top-k and top-p leave. All candidates with one key weigh the same, so how many
 * of the last key's are left says it; which ones, the draw need not know. */
__device__ __forceinline__ uint64_t weight_left(const candidates &all, uint64_t total,
                                                uint32_t top_k, float top_p)
{
    if (top_k > 0) {
        place last = find_place(all, 1, top_k - 1);
        total = last.before.weight + (top_k - last.before.n) * weight_of(all, last.key);
    }
    if (top_p < 1) {
        double wanted = ceil((double)total * (double)top_p);
        uint64_t limit = wanted >= 1 ? (uint64_t)wanted - 1 : 0; /* the smallest set is one token */
        place last = find_place(all, 0, limit);
        uint64_t weight = weight_of(all, last.key);
        total = last.before.weight + ((limit - last.before.weight) / weight + 1) * weight;
    }
    return total;
}

/* In order of id where nothing is left out, in order of logit elsewhere, as the CPU backend. */
__device__ __forceinline__ void draw(const candidates &all, const soti_cuda_pick &pick,
                                     uint32_t top_k, int32_t *token)
{
    uint32_t chance = soti::random_24_bits(pick.seed, pick.stream, pick.counter);
    if (top_k == 0 && !(pick.top_p < 1)) {
        choose_by_id(
            all, [&](uint32_t key) { return key == 0 ? 0 : weight_of(all, key); },
            [&](uint64_t total) { return share_of(total, chance); }, token);
        return;
    }
    heap total;
    add_up_block(fill_bins(all, histogram_at(0), DIGIT_BITS, 32 - DIGIT_BITS, 0), &total);
    uint64_t left = weight_left(all, total.weight, top_k, pick.top_p);
    uint64_t limit = share_of(left, chance);
    place at = find_place(all, 0, limit);
    uint64_t i_equal = (limit - at.before.weight) / weight_of(all, at.key);
    choose_by_id(
        all, [&](uint32_t key) -> uint64_t { return key == at.key ? 1 : 0; },
        [&](uint64_t) { return i_equal; }, token);
}

__global__ void __launch_bounds__(1024)
    k_pick_token(const float *logits, uint32_t n_vocab, const soti_cuda_pick *picks,
                 const int32_t *recent, uint32_t *workspace, uint32_t n_stride, int32_t *tokens)
{
    soti::grid_dependency_wait();
    const soti_cuda_pick pick = picks[blockIdx.x];
    const float *row = logits + (size_t)pick.i_logit * n_vocab;
    uint32_t *keys = workspace + (size_t)blockIdx.x * n_stride;
    int is_greedy = !(pick.temperature > 0);
    int is_plain = pick.repetition_penalty == 1 || pick.n_recent == 0;
    first_place first = find_first(n_vocab, [&](uint32_t id) {
        uint32_t key = key_of(row[id]);
        if (!is_greedy || !is_plain) {
            keys[id] = key;
        }
        return key;
    });
    if (!is_plain) {
        for (uint32_t i = threadIdx.x; i < pick.n_recent; i += blockDim.x) {
            uint32_t id = (uint32_t)recent[pick.i_recent + i];
            if (id < n_vocab && key_of(row[id]) != 0) {
                keys[id] = key_of(penalised(row[id], pick.repetition_penalty));
            }
        }
        __syncthreads();
        first = find_first(n_vocab, [&](uint32_t id) { return keys[id]; });
    }
    if (is_greedy || first.key == 0) {
        if (threadIdx.x == 0) {
            tokens[blockIdx.x] = first.key == 0 ? -1 : (int32_t)first.id;
        }
        return;
    }
    uint32_t n_scale_bits = min(31u + (uint32_t)__clz((int)n_vocab), SCALE_BITS_MAX);
    candidates all = {keys, n_vocab, (double)value_of(first.key), 1 / (double)pick.temperature,
                      (double)(1ull << n_scale_bits)};
    draw(all, pick, pick.top_k < first.n ? pick.top_k : 0, tokens + blockIdx.x);
}

} // namespace

static uint32_t keys_stride(uint32_t n_vocab)
{
    return (n_vocab + 31) / 32 * 32;
}

extern "C" size_t soti_pick_workspace_bytes(uint32_t n_vocab, uint32_t n_picks)
{
    return (size_t)keys_stride(n_vocab) * n_picks * sizeof(uint32_t);
}

extern "C" cudaError_t soti_launch_pick(const soti_cuda_launch *launch, const float *logits,
                                        uint32_t n_vocab, const soti_cuda_pick *picks,
                                        uint32_t n_picks, const int32_t *recent, void *workspace,
                                        int32_t *tokens)
{
    uint32_t n_threads = n_vocab > LARGE_VOCAB ? 1024 : 256;
    return soti::launch(k_pick_token, dim3(n_picks), n_threads, SHARED_BYTES, launch->stream,
                        (int)launch->overlap, logits, n_vocab, picks, recent,
                        static_cast<uint32_t *>(workspace), keys_stride(n_vocab), tokens);
}
