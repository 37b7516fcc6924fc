/* The checks of shared memory: for each, a kernel that is right and is left alone, and one that
 * differs by the mistake and is caught. */
#include "kernel_test.h"

#include <vector>

using namespace soti;

namespace
{

constexpr uint64_t n_seeds = 6;

/* A mistake must be found in whatever order the threads run. */
template <class K, class... A>
void expect_words_for_all_seeds(const char *words, K kernel, unsigned n_threads,
                                size_t shared_bytes, A... args)
{
    for (uint64_t seed = 0; seed < n_seeds; seed++) {
        on_host_set_seed(seed);
        expect_words(run_kernel(kernel, dim3(2), dim3(n_threads), shared_bytes, args...), words);
    }
    on_host_set_seed(0);
}

template <class K, class... A>
void expect_clean_for_all_seeds(K kernel, unsigned n_threads, size_t shared_bytes, A... args)
{
    for (uint64_t seed = 0; seed < n_seeds; seed++) {
        on_host_set_seed(seed);
        expect_clean(run_kernel(kernel, dim3(2), dim3(n_threads), shared_bytes, args...));
    }
    on_host_set_seed(0);
}

/* --- bounds and alignment */

__global__ void k_index(int i, bool writes, float *out)
{
    SHARED_ARRAY(float, before, 16);
    SHARED_ARRAY(float, array, 16);
    SHARED_ARRAY(float, behind, 16);
    before[threadIdx.x] = array[threadIdx.x] = behind[threadIdx.x] = 1;
    __syncthreads();
    if (threadIdx.x == 5 && writes) {
        array[i] = 2;
    } else if (threadIdx.x == 5) {
        out[0] = array[i];
    }
}

void static_array_is_left_at_neither_end(void **)
{
    float out[1];
    for (bool writes : {false, true}) {
        for (int i : {0, 15}) {
            expect_clean(run_kernel(k_index, dim3(2), dim3(16), 0, i, writes, out));
        }
        for (int i : {-1, 16, -1000000, 1000000}) {
            cudaError_t status = run_kernel(k_index, dim3(2), dim3(16), 0, i, writes, out);
            assert_non_null(strstr(on_host_errors(), "k_index, block (0, 0, 0), thread (5, 0, 0)"));
            expect_words(status, "outside of its array");
        }
    }
}

__global__ void k_dynamic(unsigned byte_offset, int i)
{
    shared<float> array = shared_memory<float>(byte_offset);
    array[i] = 1;
}

void dynamic_memory_is_as_large_as_the_launch_says(void **)
{
    expect_clean(run_kernel(k_dynamic, dim3(2), dim3(1), 256, 128u, 31));
    expect_clean(run_kernel(k_dynamic, dim3(2), dim3(1), 256, 128u, 0));
    expect_words(run_kernel(k_dynamic, dim3(2), dim3(1), 256, 128u, 32), "outside of its array");
    expect_words(run_kernel(k_dynamic, dim3(2), dim3(1), 256, 128u, -1), "outside of its array");
    expect_words(run_kernel(k_dynamic, dim3(2), dim3(1), 0, 0u, 0), "outside of its array");
    expect_words(run_kernel(k_dynamic, dim3(2), dim3(1), 254, 252u, 0), "outside of its array");
    expect_words(run_kernel(k_dynamic, dim3(2), dim3(1), 256, 2u, 0), "no multiple of 4");
}

__global__ void k_vector(int i, bool writes)
{
    shared<half> array = shared_memory<half>(0);
    shared_store_16(array, uint4{1, 2, 3, 4});
    shared_store_16(array + 8, uint4{5, 6, 7, 8});
    if (writes) {
        shared_store_16(array + i, uint4{});
    } else {
        static_cast<void>(shared_load_16(array + i));
    }
}

void vector_access_is_aligned(void **)
{
    for (bool writes : {false, true}) {
        expect_clean(run_kernel(k_vector, dim3(1), dim3(1), 32, 8, writes));
        expect_words(run_kernel(k_vector, dim3(1), dim3(1), 32, 4, writes), "no multiple of 16");
        expect_words(run_kernel(k_vector, dim3(1), dim3(1), 32, 16, writes),
                     "outside of its array");
    }
}

/* --- what nobody wrote */

__global__ void k_unwritten(unsigned n_written, float *out)
{
    SHARED_ARRAY(float, array, 32);
    if (threadIdx.x < n_written) {
        array[threadIdx.x] = 1;
    }
    __syncthreads();
    out[threadIdx.x] = array[threadIdx.x ^ 1];
}

void unwritten_memory_is_not_read(void **)
{
    float out[32];
    expect_clean_for_all_seeds(k_unwritten, 32, 0, 32u, out);
    expect_words_for_all_seeds("which nobody has written", k_unwritten, 32, 0, 31u, out);
}

__global__ void k_first_block_writes(float *out)
{
    shared<float> array = shared_memory<float>(0);
    if (blockIdx.x == 0) {
        array[threadIdx.x] = 1;
    }
    out[threadIdx.x] = array[threadIdx.x];
}

void memory_of_an_earlier_block_is_unwritten(void **)
{
    float out[32];
    expect_clean(run_kernel(k_first_block_writes, dim3(1), dim3(32), 128, out));
    cudaError_t status = run_kernel(k_first_block_writes, dim3(2), dim3(32), 128, out);
    assert_non_null(strstr(on_host_errors(), "block (1, 0, 0)"));
    expect_words(status, "which nobody has written");
}

__global__ void k_parts(unsigned hole, float *out)
{
    shared<uint8_t> bytes = shared_memory<uint8_t>(0);
    for (unsigned i = 0; i < 16; i++) {
        if (i != hole) {
            bytes[i] = static_cast<uint8_t>(i);
        }
    }
    out[0] = __uint_as_float(shared_load_16(bytes).x);
}

void one_unwritten_byte_of_sixteen_is_found(void **)
{
    float out[1];
    expect_clean(run_kernel(k_parts, dim3(1), dim3(1), 16, 16u, out));
    assert_int_equal(__float_as_uint(out[0]), 0x03020100);
    for (unsigned hole = 0; hole < 16; hole++) {
        expect_words(run_kernel(k_parts, dim3(1), dim3(1), 16, hole, out),
                     "which nobody has written");
    }
}

/* --- races */

enum { no_barrier, warp_barrier, block_barrier };

__device__ void wait(int barrier)
{
    if (barrier == warp_barrier) {
        __syncwarp();
    } else if (barrier == block_barrier) {
        __syncthreads();
    }
}

__global__ void k_read_of_other(int barrier, unsigned distance, float *out)
{
    SHARED_ARRAY(float, array, 64);
    array[threadIdx.x] = 0; /* written once, so that the race alone is wrong */
    __syncthreads();
    array[threadIdx.x] = 1;
    wait(barrier);
    out[threadIdx.x] = array[threadIdx.x ^ distance];
}

void read_of_what_another_wrote_needs_a_barrier(void **)
{
    float out[64];
    expect_clean_for_all_seeds(k_read_of_other, 64, 0, int(no_barrier), 0u, out);
    expect_clean_for_all_seeds(k_read_of_other, 64, 0, int(block_barrier), 1u, out);
    expect_clean_for_all_seeds(k_read_of_other, 64, 0, int(block_barrier), 32u, out);
    expect_clean_for_all_seeds(k_read_of_other, 64, 0, int(warp_barrier), 1u, out);
    expect_words_for_all_seeds("race: ", k_read_of_other, 64, 0, int(no_barrier), 1u, out);
    expect_words_for_all_seeds("race: ", k_read_of_other, 64, 0, int(no_barrier), 32u, out);
    expect_words_for_all_seeds("race: ", k_read_of_other, 64, 0, int(warp_barrier), 32u, out);
}

__global__ void k_write_after_read(int barrier, unsigned distance, float *out)
{
    SHARED_ARRAY(float, array, 64);
    array[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = array[threadIdx.x];
    wait(barrier);
    array[threadIdx.x ^ distance] = 2;
}

void write_of_what_another_read_needs_a_barrier(void **)
{
    float out[64];
    expect_clean_for_all_seeds(k_write_after_read, 64, 0, int(no_barrier), 0u, out);
    expect_clean_for_all_seeds(k_write_after_read, 64, 0, int(block_barrier), 33u, out);
    expect_clean_for_all_seeds(k_write_after_read, 64, 0, int(warp_barrier), 1u, out);
    expect_words_for_all_seeds("race: ", k_write_after_read, 64, 0, int(no_barrier), 1u, out);
    expect_words_for_all_seeds("race: ", k_write_after_read, 64, 0, int(warp_barrier), 32u, out);
}

__global__ void k_all_read_one_writes(int barrier, unsigned writer, float *out)
{
    SHARED_ARRAY(float, one, 1);
    if (threadIdx.x == 0) {
        one[0] = 1;
    }
    __syncthreads();
    out[threadIdx.x] = one[0];
    wait(barrier);
    if (threadIdx.x == writer) {
        one[0] = 2;
    }
}

void write_of_what_all_read_needs_a_barrier(void **)
{
    float out[64];
    for (unsigned writer : {0u, 31u, 32u, 63u}) {
        expect_clean_for_all_seeds(k_all_read_one_writes, 64, 0, int(block_barrier), writer, out);
        expect_words_for_all_seeds("race: ", k_all_read_one_writes, 64, 0, int(no_barrier), writer,
                                   out);
        expect_words_for_all_seeds("race: ", k_all_read_one_writes, 64, 0, int(warp_barrier),
                                   writer, out);
    }
    expect_clean_for_all_seeds(k_all_read_one_writes, 32, 0, int(warp_barrier), 7u, out);
    expect_words_for_all_seeds("race: ", k_all_read_one_writes, 32, 0, int(no_barrier), 7u, out);
}

__global__ void k_two_writers(unsigned distance)
{
    SHARED_ARRAY(float, array, 64);
    array[threadIdx.x / distance] = 1;
}

void two_writers_of_one_place_race(void **)
{
    expect_clean_for_all_seeds(k_two_writers, 64, 0, 1u);
    expect_words_for_all_seeds("race: writes", k_two_writers, 64, 0, 2u);
    expect_words_for_all_seeds("race: writes", k_two_writers, 64, 0, 64u);
}

__global__ void k_neighbours(float *out)
{
    shared<uint8_t> bytes = shared_memory<uint8_t>(0);
    shared<half> halves = shared_memory<half>(64);
    bytes[threadIdx.x] = static_cast<uint8_t>(threadIdx.x);
    halves[threadIdx.x] = __float2half_rn(static_cast<float>(threadIdx.x));
    float sum = bytes[threadIdx.x] + __half2float(halves[threadIdx.x]);
    __syncthreads();
    uint4 all = shared_load_16(shared_memory<half>(64) + threadIdx.x % 8 * 8);
    out[threadIdx.x] = sum + static_cast<float>(all.x >> 31);
}

void neighbours_in_one_word_do_not_race(void **)
{
    float out[64];
    expect_clean_for_all_seeds(k_neighbours, 64, 64 + 128, out);
    for (unsigned i = 0; i < 64; i++) {
        assert_true(out[i] == 2 * static_cast<float>(i));
    }
}

/* Lanes write, exchange by __syncwarp of a mask, and read from a lane at a distance. */
__global__ void k_masked(unsigned mask_of_low_lanes, unsigned distance, float *out)
{
    SHARED_ARRAY(float, array, 32);
    array[threadIdx.x] = 0;
    __syncthreads();
    array[threadIdx.x] = 1;
    bool is_low = (mask_of_low_lanes >> threadIdx.x & 1) != 0;
    if (is_low) {
        __syncwarp(mask_of_low_lanes);
        out[threadIdx.x] = array[threadIdx.x ^ distance];
    }
}

void barrier_of_some_lanes_orders_those_only(void **)
{
    float out[32];
    expect_clean_for_all_seeds(k_masked, 32, 0, 0x00ffu, 7u, out);
    expect_words_for_all_seeds("race: ", k_masked, 32, 0, 0x00ffu, 8u, out);
}

/* Lane 0 tells lane 1, lane 1 tells lane 2: what lane 0 wrote, lane 2 may read. */
__global__ void k_hearsay(bool second_pair, float *out)
{
    SHARED_ARRAY(float, one, 1);
    if (threadIdx.x == 0) {
        one[0] = 0;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        one[0] = 1;
    }
    if (threadIdx.x < 2) {
        __syncwarp(3);
    }
    if (threadIdx.x == 1 || threadIdx.x == 2) {
        __syncwarp(6);
    }
    if (threadIdx.x == 2 || (second_pair && threadIdx.x == 3)) {
        out[0] = one[0];
    }
}

void knowledge_is_passed_on(void **)
{
    float out[1];
    expect_clean_for_all_seeds(k_hearsay, 32, 0, false, out);
    expect_words_for_all_seeds("race: ", k_hearsay, 32, 0, true, out);
}

__global__ void k_shuffle_is_no_barrier(bool waits, float *out)
{
    SHARED_ARRAY(float, array, 32);
    array[threadIdx.x] = 0;
    __syncthreads();
    array[threadIdx.x] = 1;
    float sum = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
    if (waits) {
        __syncwarp();
    }
    out[threadIdx.x] = sum + array[threadIdx.x ^ 1];
}

void shuffle_orders_no_memory(void **)
{
    float out[32];
    expect_clean_for_all_seeds(k_shuffle_is_no_barrier, 32, 0, true, out);
    expect_words_for_all_seeds("race: ", k_shuffle_is_no_barrier, 32, 0, false, out);
}

/* --- atomics */

__global__ void k_count(bool waits, unsigned *out)
{
    SHARED_ARRAY(unsigned, counts, 4);
    if (threadIdx.x < 4) {
        counts[threadIdx.x] = 0;
    }
    __syncthreads();
    atomicAdd(&counts[threadIdx.x % 3], 1u);
    atomicMax(&counts[3], threadIdx.x);
    if (waits) {
        __syncthreads();
    }
    if (threadIdx.x < 4) {
        out[threadIdx.x] = counts[threadIdx.x];
    }
}

void atomics_do_not_race_with_each_other(void **)
{
    unsigned out[4];
    expect_clean_for_all_seeds(k_count, 96, 0, true, out);
    assert_int_equal(out[0], 32);
    assert_int_equal(out[1], 32);
    assert_int_equal(out[2], 32);
    assert_int_equal(out[3], 95);
    expect_words_for_all_seeds("race: ", k_count, 96, 0, false, out);
}

__global__ void k_count_unset()
{
    SHARED_ARRAY(unsigned, count, 1);
    atomicAdd(&count[0], 1u);
}

void atomic_on_unwritten_memory_is_found(void **)
{
    expect_words_for_all_seeds("which nobody has written", k_count_unset, 32, 0);
}

/* --- cp.async */

__global__ void k_copy(const half *from, int n_waits, bool barrier, unsigned distance, float *out)
{
    shared<half> to = shared_memory<half>(0);
    cp_async_16(to + threadIdx.x * 8, from + threadIdx.x * 8);
    cp_async_commit();
    cp_async_16(to + 512 + threadIdx.x * 8, from + 512 + threadIdx.x * 8);
    cp_async_commit();
    if (n_waits == 1) {
        cp_async_wait<1>();
    } else if (n_waits == 2) {
        cp_async_wait<0>();
    }
    if (barrier) {
        __syncthreads();
    }
    unsigned i = (threadIdx.x ^ distance) * 8;
    out[threadIdx.x] = __half2float(to[i]) + (n_waits == 2 ? __half2float(to[512 + i]) : 0.0f);
    cp_async_wait<0>();
}

void asynchronous_copy_is_waited_for(void **)
{
    alignas(16) half from[1024];
    float out[64];
    for (unsigned i = 0; i < 1024; i++) {
        from[i] = __float2half_rn(static_cast<float>(i));
    }
    const half *source = from;
    expect_clean_for_all_seeds(k_copy, 64, 2048, source, 2, true, 33u, out);
    for (unsigned i = 0; i < 64; i++) {
        assert_true(out[i] == static_cast<float>((i ^ 33) * 8 * 2 + 512));
    }
    expect_clean_for_all_seeds(k_copy, 64, 2048, source, 1, true, 33u, out);
    for (unsigned i = 0; i < 64; i++) {
        assert_true(out[i] == static_cast<float>((i ^ 33) * 8));
    }
    expect_clean_for_all_seeds(k_copy, 64, 2048, source, 2, false, 0u, out);
    expect_words_for_all_seeds("to which a cp.async has not been waited for", k_copy, 64, 2048,
                               source, 0, true, 0u, out);
    for (uint64_t seed = 0; seed < n_seeds;
         seed++) { /* of another thread: race, or not yet there */
        on_host_set_seed(seed);
        expect_words(run_kernel(k_copy, dim3(1), dim3(64), 2048, source, 2, false, 1u, out),
                     "shared memory at byte");
    }
    on_host_set_seed(0);
}

/* A ring of two stages: the next copy may begin only when all have read what it overwrites. */
__global__ void k_ring(const half *from, bool barrier_before_reuse, float *out)
{
    shared<half> ring = shared_memory<half>(0);
    float sum = 0;
    cp_async_16(ring + threadIdx.x * 8, from + threadIdx.x * 8);
    cp_async_commit();
    for (unsigned i = 0; i < 6; i++) {
        unsigned next = (i + 1) % 2 * 256;
        cp_async_wait<0>();
        __syncthreads();
        if (!barrier_before_reuse && i + 1 < 6) {
            next = i % 2 * 256;
        }
        sum += __half2float(ring[i % 2 * 256 + (threadIdx.x ^ 1) * 8]);
        if (i + 1 < 6) {
            cp_async_16(ring + next + threadIdx.x * 8, from + (i + 1) * 256 + threadIdx.x * 8);
            cp_async_commit();
        }
    }
    out[threadIdx.x] = sum;
}

void asynchronous_copy_over_what_is_still_read_is_found(void **)
{
    alignas(16) static half from[6 * 256];
    float out[32];
    for (unsigned i = 0; i < 6 * 256; i++) {
        from[i] = __float2half_rn(1);
    }
    const half *source = from;
    expect_clean_for_all_seeds(k_ring, 32, 1024, source, true, out);
    assert_true(out[3] == 6);
    expect_words_for_all_seeds("shared memory at byte", k_ring, 32, 1024, source, false, out);
}

__global__ void k_forgotten_copy(const half *from)
{
    cp_async_16(shared_memory<half>(0) + threadIdx.x * 8, from);
    cp_async_commit();
}

void thread_ends_behind_its_copies(void **)
{
    alignas(16) half from[8] = {};
    const half *source = from;
    expect_words_for_all_seeds("ends before it has waited for its cp.async", k_forgotten_copy, 32,
                               512, source);
    expect_words(run_kernel(k_forgotten_copy, dim3(1), dim3(1), 16, source + 1),
                 "16 bytes of global memory");
}

/* --- pointers */

__global__ void k_pointers(int *out)
{
    SHARED_ARRAY(int, array, 8);
    shared<int> p = array;
    for (int i = 0; i < 8; i++) {
        *p++ = i;
    }
    shared<const int> last = p - 1;
    array[2] += 10;
    array[3] = array[2];
    array[4] *= 3;
    array[5] -= 1;
    *(&array[6]) = 60;
    out[0] = *last;
    out[1] = static_cast<int>(p - array);
    for (int i = 2; i < 7; i++) {
        out[i] = array[i];
    }
    p -= 8;
    ++p;
    out[7] = p[0];
}

void pointer_arithmetic_is_that_of_pointers(void **)
{
    const int expected[8] = {7, 8, 12, 12, 12, 4, 60, 1};
    int out[8];
    expect_clean(run_kernel(k_pointers, dim3(1), dim3(1), 0, out));
    assert_memory_equal(out, expected, sizeof out);
}

} // namespace

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(static_array_is_left_at_neither_end),
        cmocka_unit_test(dynamic_memory_is_as_large_as_the_launch_says),
        cmocka_unit_test(vector_access_is_aligned),
        cmocka_unit_test(unwritten_memory_is_not_read),
        cmocka_unit_test(memory_of_an_earlier_block_is_unwritten),
        cmocka_unit_test(one_unwritten_byte_of_sixteen_is_found),
        cmocka_unit_test(read_of_what_another_wrote_needs_a_barrier),
        cmocka_unit_test(write_of_what_another_read_needs_a_barrier),
        cmocka_unit_test(write_of_what_all_read_needs_a_barrier),
        cmocka_unit_test(two_writers_of_one_place_race),
        cmocka_unit_test(neighbours_in_one_word_do_not_race),
        cmocka_unit_test(barrier_of_some_lanes_orders_those_only),
        cmocka_unit_test(knowledge_is_passed_on),
        cmocka_unit_test(shuffle_orders_no_memory),
        cmocka_unit_test(atomics_do_not_race_with_each_other),
        cmocka_unit_test(atomic_on_unwritten_memory_is_found),
        cmocka_unit_test(asynchronous_copy_is_waited_for),
        cmocka_unit_test(asynchronous_copy_over_what_is_still_read_is_found),
        cmocka_unit_test(thread_ends_behind_its_copies),
        cmocka_unit_test(pointer_arithmetic_is_that_of_pointers),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
