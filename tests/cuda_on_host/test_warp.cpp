/* What lanes of a warp do together, against CUDA's own words for it, and that lanes which do not
 * come, or come to something else, are an error. */
#include "kernel_test.h"

#include <vector>

namespace
{

constexpr unsigned all_lanes = 0xffffffffu;

enum { shuffle, up, down, with_xor };

__global__ void k_shuffle(int kind, unsigned operand, int width, unsigned *out)
{
    unsigned value = 100 + threadIdx.x;
    unsigned result = 0;
    if (kind == shuffle) {
        result = __shfl_sync(all_lanes, value, static_cast<int>(operand), width);
    } else if (kind == up) {
        result = __shfl_up_sync(all_lanes, value, operand, width);
    } else if (kind == down) {
        result = __shfl_down_sync(all_lanes, value, operand, width);
    } else {
        result = __shfl_xor_sync(all_lanes, value, static_cast<int>(operand), width);
    }
    out[threadIdx.x] = result;
}

/* CUDA C++ Programming Guide, "Warp Shuffle Functions": a lane's segment of width lanes has logical
 * lanes 0 .. width - 1; __shfl_sync reads operand modulo width; up and down do not wrap around and
 * leave the value where there is no such lane; xor may reach lower segments, but no later one. */
unsigned expected_lane(int kind, unsigned operand, int width, unsigned lane)
{
    int base = static_cast<int>(lane) / width * width;
    int logical = static_cast<int>(lane) - base;
    int other = static_cast<int>(operand);
    switch (kind) {
    case shuffle:
        return static_cast<unsigned>(base + other % width);
    case up:
        return logical - other < 0 ? lane : lane - operand;
    case down:
        return logical + other >= width ? lane : lane + operand;
    default:
        other = static_cast<int>(lane ^ operand);
        return other >= base + width ? lane : static_cast<unsigned>(other);
    }
}

void shuffles_read_the_lane_that_cuda_names(void **)
{
    for (uint64_t seed = 0; seed < 3; seed++) {
        on_host_set_seed(seed);
        for (int kind = shuffle; kind <= with_xor; kind++) {
            for (int width = 1; width <= 32; width *= 2) {
                for (unsigned operand = 0; operand < 32; operand++) {
                    unsigned out[64];
                    expect_clean(
                        run_kernel(k_shuffle, dim3(1), dim3(64), 0, kind, operand, width, out));
                    for (unsigned i = 0; i < 64; i++) {
                        unsigned lane = expected_lane(kind, operand, width, i % 32);
                        assert_int_equal(out[i], 100 + i / 32 * 32 + lane);
                    }
                }
            }
        }
    }
    on_host_set_seed(0);
}

__global__ void k_types(double *doubles, float *floats, int *ints, uint64_t *longs)
{
    int other = static_cast<int>(threadIdx.x) ^ 5;
    doubles[threadIdx.x] = __shfl_sync(all_lanes, threadIdx.x * 0.5, other);
    floats[threadIdx.x] = __shfl_sync(all_lanes, static_cast<float>(threadIdx.x) * -0.25f, other);
    ints[threadIdx.x] = __shfl_sync(all_lanes, -static_cast<int>(threadIdx.x), other);
    longs[threadIdx.x] = __shfl_sync(all_lanes, uint64_t(threadIdx.x) << 40, other);
}

void shuffles_move_four_and_eight_bytes(void **)
{
    double doubles[32];
    float floats[32];
    int ints[32];
    uint64_t longs[32];
    expect_clean(run_kernel(k_types, dim3(1), dim3(32), 0, doubles, floats, ints, longs));
    for (int i = 0; i < 32; i++) {
        int other = i ^ 5;
        assert_true(doubles[i] == other * 0.5);
        assert_true(floats[i] == static_cast<float>(other) * -0.25f);
        assert_int_equal(ints[i], -other);
        assert_true(longs[i] == static_cast<uint64_t>(other) << 40);
    }
}

struct votes {
    unsigned ballot, sum, least, most;
    int any_of_none, any_of_one, all_of_all, all_but_one;
};

__global__ void k_votes(votes *out)
{
    unsigned lane = soti::lane_id();
    votes found;
    found.ballot = __ballot_sync(all_lanes, lane % 3 == 0);
    found.sum = __reduce_add_sync(all_lanes, lane * 3);
    found.least = __reduce_min_sync(all_lanes, 90 - lane);
    found.most = __reduce_max_sync(all_lanes, 90 - lane);
    found.any_of_none = __any_sync(all_lanes, 0);
    found.any_of_one = __any_sync(all_lanes, lane == 31);
    found.all_of_all = __all_sync(all_lanes, 1);
    found.all_but_one = __all_sync(all_lanes, lane != 0);
    out[threadIdx.x] = found;
}

void votes_count_every_lane_of_their_warp(void **)
{
    votes out[96];
    expect_clean(run_kernel(k_votes, dim3(1), dim3(96), 0, out));
    for (const votes &found : out) {
        assert_int_equal(found.ballot, 0x49249249);
        assert_int_equal(found.sum, 31 * 32 / 2 * 3);
        assert_int_equal(found.least, 59);
        assert_int_equal(found.most, 90);
        assert_int_equal(found.any_of_none, 0);
        assert_true(found.any_of_one != 0);
        assert_true(found.all_of_all != 0);
        assert_int_equal(found.all_but_one, 0);
    }
}

__global__ void k_halves(unsigned *out)
{
    unsigned lane = soti::lane_id();
    if (lane < 16) {
        out[lane] = __reduce_add_sync(0x0000ffffu, lane);
        out[lane] += __all_sync(0x0000ffffu, 1) != 0 ? 1000u : 0u;
    } else {
        out[lane] = __ballot_sync(0xffff0000u, lane % 2 == 1);
    }
    __syncwarp();
}

void halves_of_a_warp_act_apart(void **)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        unsigned out[32];
        on_host_set_seed(seed);
        expect_clean(run_kernel(k_halves, dim3(1), dim3(32), 0, out));
        for (unsigned i = 0; i < 32; i++) {
            assert_int_equal(out[i], i < 16 ? 1120 : 0xaaaa0000u);
        }
    }
    on_host_set_seed(0);
}

__global__ void k_diverged(float *out)
{
    float value = 1;
    if (threadIdx.x < 7) {
        value = __shfl_xor_sync(all_lanes, value, 1);
    } else {
        value = __shfl_down_sync(all_lanes, value, 1);
    }
    out[threadIdx.x] = value;
}

void shuffle_of_diverged_lanes_is_reported(void **)
{
    float out[32];
    for (uint64_t seed = 0; seed < 4; seed++) {
        on_host_set_seed(seed);
        cudaError_t status = run_kernel(k_diverged, dim3(1), dim3(32), 0, out);
        assert_non_null(strstr(on_host_errors(), "__shfl_xor_sync at test_warp.cpp:"));
        expect_words(status, "__shfl_down_sync at test_warp.cpp:");
    }
    on_host_set_seed(0);
}

__global__ void k_diverged_alike(float *out)
{
    float value = 1;
    if (threadIdx.x % 2 == 0) {
        value = __shfl_xor_sync(all_lanes, value, 1);
    } else {
        value += __shfl_xor_sync(all_lanes, value, 1);
    }
    out[threadIdx.x] = value;
}

void shuffle_of_both_branches_is_reported(void **)
{
    float out[32];
    expect_words(run_kernel(k_diverged_alike, dim3(1), dim3(32), 0, out),
                 "of the same warp is in __shfl_xor_sync at test_warp.cpp:");
}

__global__ void k_some_end(unsigned *out)
{
    if (threadIdx.x == 9) {
        return;
    }
    out[threadIdx.x] = __ballot_sync(all_lanes, 1);
}

void vote_that_waits_for_an_ended_lane_is_reported(void **)
{
    unsigned out[32];
    expect_words(run_kernel(k_some_end, dim3(1), dim3(32), 0, out),
                 "(mask ffffffff) waits for lane 9, which has ended");
}

void vote_of_a_warp_without_all_its_lanes_is_reported(void **)
{
    votes out[40];
    expect_words(run_kernel(k_votes, dim3(1), dim3(40), 0, out),
                 "waits for lane 31, which the block does not have");
}

__global__ void k_crossed()
{
    if (threadIdx.x == 0) {
        __syncwarp(3);
    } else if (threadIdx.x == 1) {
        __syncwarp(6);
    } else if (threadIdx.x == 2) {
        __syncwarp(5);
    }
}

void lanes_that_wait_for_each_other_in_a_circle_are_reported(void **)
{
    expect_words(run_kernel(k_crossed, dim3(1), dim3(32), 0),
                 "(mask 00000003) waits for lane 1, which waits in another one at test_warp.cpp:");
}

__global__ void k_unnamed()
{
    __syncwarp(0x0000ffffu);
}

void mask_without_the_lane_itself_is_reported(void **)
{
    expect_words(run_kernel(k_unnamed, dim3(1), dim3(32), 0),
                 "the mask 0000ffff does not name the lane itself");
}

__global__ void k_foreign(unsigned *out)
{
    if (threadIdx.x < 16) {
        out[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, threadIdx.x, 16);
    }
}

void shuffle_from_a_lane_outside_of_the_mask_is_reported(void **)
{
    unsigned out[32];
    expect_words(run_kernel(k_foreign, dim3(1), dim3(32), 0, out),
                 "reads lane 16, which the mask 0000ffff does not name");
}

__global__ void k_mma_of_some(float *out)
{
    float d[4] = {};
    uint32_t a[4] = {};
    uint32_t b[2] = {};
    if (soti::lane_id() != 0) {
        soti::mma_m16n8k16(d, a, b);
    }
    out[threadIdx.x] = d[0];
}

void matrix_product_of_some_lanes_is_reported(void **)
{
    float out[32];
    expect_words(run_kernel(k_mma_of_some, dim3(1), dim3(32), 0, out),
                 "mma_m16n8k16 at test_warp.cpp:");
}

} // namespace

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(shuffles_read_the_lane_that_cuda_names),
        cmocka_unit_test(shuffles_move_four_and_eight_bytes),
        cmocka_unit_test(votes_count_every_lane_of_their_warp),
        cmocka_unit_test(halves_of_a_warp_act_apart),
        cmocka_unit_test(shuffle_of_diverged_lanes_is_reported),
        cmocka_unit_test(shuffle_of_both_branches_is_reported),
        cmocka_unit_test(vote_that_waits_for_an_ended_lane_is_reported),
        cmocka_unit_test(vote_of_a_warp_without_all_its_lanes_is_reported),
        cmocka_unit_test(lanes_that_wait_for_each_other_in_a_circle_are_reported),
        cmocka_unit_test(mask_without_the_lane_itself_is_reported),
        cmocka_unit_test(shuffle_from_a_lane_outside_of_the_mask_is_reported),
        cmocka_unit_test(matrix_product_of_some_lanes_is_reported),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
