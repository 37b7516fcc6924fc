/* Blocks, threads and __syncthreads: who runs, in which order, and that a barrier which not all
 * threads reach is an error instead of a hang. */
#include "kernel_test.h"

#include <thread>
#include <vector>

namespace
{

constexpr uint64_t n_seeds = 8;

__global__ void k_indices(unsigned *out)
{
    unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] += 1 + block * 1000 + thread;
}

void block_of_three_dimensions_runs_each_thread_once(void **)
{
    for (uint64_t seed = 0; seed < n_seeds; seed++) {
        std::vector<unsigned> out(2 * 3 * 4 * 5 * 3 * 2);
        on_host_set_seed(seed);
        expect_clean(run_kernel(k_indices, dim3(2, 3, 4), dim3(5, 3, 2), 0, out.data()));
        for (unsigned i = 0; i < out.size(); i++) {
            assert_int_equal(out[i], 1 + i / 30 * 1000 + i % 30);
        }
    }
    on_host_set_seed(0);
}

__global__ void k_order(unsigned *n, unsigned *order)
{
    order[atomicAdd(n, 1)] = blockIdx.x * blockDim.x + threadIdx.x;
}

std::vector<unsigned> order_of(uint64_t seed)
{
    std::vector<unsigned> order(5 * 64);
    unsigned n = 0;
    on_host_set_seed(seed);
    expect_clean(run_kernel(k_order, dim3(5), dim3(64), 0, &n, order.data()));
    on_host_set_seed(0);
    assert_int_equal(n, order.size());
    return order;
}

void seed_zero_is_the_natural_order(void **)
{
    std::vector<unsigned> order = order_of(0);
    for (unsigned i = 0; i < order.size(); i++) {
        assert_int_equal(order[i], i);
    }
}

void seeds_change_the_order_and_repeat_it(void **)
{
    assert_true(order_of(1) != order_of(0));
    assert_true(order_of(1) != order_of(2));
    assert_true(order_of(1) == order_of(1));
    for (uint64_t seed = 1; seed < n_seeds; seed++) {
        std::vector<unsigned> order = order_of(seed);
        std::vector<bool> seen(order.size());
        bool lanes_move = false;
        bool blocks_move = false;
        for (unsigned i = 0; i < order.size(); i++) {
            assert_false(seen[order[i]]);
            seen[order[i]] = true;
            lanes_move |= order[i] % 32 != i % 32;
            blocks_move |= order[i] / 64 != i / 64;
        }
        assert_true(lanes_move || blocks_move);
    }
}

/* Turns x[0 .. blockDim) around, twenty times over, through shared memory. */
__global__ void k_reverse(int *x)
{
    SHARED_ARRAY(int, copy, 1024);
    for (int i = 0; i < 21; i++) {
        copy[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        x[threadIdx.x] = copy[blockDim.x - 1 - threadIdx.x];
        __syncthreads();
    }
}

void barrier_orders_what_threads_exchange(void **)
{
    for (unsigned n_threads : {1u, 31u, 32u, 33u, 256u, 1000u, 1024u}) {
        for (uint64_t seed = 0; seed < n_seeds; seed++) {
            std::vector<int> x(n_threads);
            for (unsigned i = 0; i < n_threads; i++) {
                x[i] = static_cast<int>(i);
            }
            on_host_set_seed(seed);
            expect_clean(run_kernel(k_reverse, dim3(1), dim3(n_threads), 0, x.data()));
            for (unsigned i = 0; i < n_threads; i++) {
                assert_int_equal(x[i], n_threads - 1 - i);
            }
        }
    }
    on_host_set_seed(0);
}

__global__ void k_barrier_of_some()
{
    if (threadIdx.x != 40) {
        __syncthreads();
    }
}

void barrier_that_a_thread_skips_is_reported(void **)
{
    for (uint64_t seed = 0; seed < n_seeds; seed++) {
        on_host_set_seed(seed);
        cudaError_t status = run_kernel(k_barrier_of_some, dim3(3), dim3(64), 0);
        assert_int_equal(status, cudaErrorLaunchFailure);
        assert_non_null(strstr(on_host_errors(), "k_barrier_of_some, block ("));
        assert_non_null(strstr(on_host_errors(), "thread (40, 0, 0) has ended"));
        expect_words(status, "63 of 64 threads wait in __syncthreads at test_block.cpp:");
    }
    on_host_set_seed(0);
}

__global__ void k_stray_barrier()
{
    if (threadIdx.x == 3) {
        __syncthreads();
    } else {
        __syncwarp();
    }
}

void barrier_of_one_lane_against_its_warps_is_reported(void **)
{
    expect_words(run_kernel(k_stray_barrier, dim3(1), dim3(32), 0),
                 "waits for lane 3, which waits in __syncthreads at test_block.cpp:");
}

void grid_after_a_wrong_one_runs_as_ever(void **)
{
    expect_words(run_kernel(k_barrier_of_some, dim3(1), dim3(64), 0), "__syncthreads");
    std::vector<int> x = {1, 2, 3};
    expect_clean(run_kernel(k_reverse, dim3(1), dim3(3), 0, x.data()));
    assert_int_equal(x[0], 3);
}

void grids_of_several_host_threads_run_at_once(void **)
{
    std::vector<std::thread> threads;
    std::vector<std::vector<int>> x(4, std::vector<int>(512));
    cudaError_t status[4];
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 512; j++) {
            x[i][j] = static_cast<int>(i * 1000 + j);
        }
        threads.emplace_back([i, &x, &status] {
            for (int k = 0; k < 5; k++) {
                status[i] = run_kernel(k_reverse, dim3(1), dim3(512), 0, x[i].data());
            }
        });
    }
    for (unsigned i = 0; i < 4; i++) {
        threads[i].join();
        expect_clean(status[i]);
        for (unsigned j = 0; j < 512; j++) {
            assert_int_equal(x[i][j], i * 1000 + 511 - j);
        }
    }
}

struct many_numbers {
    int n[40];
};

__global__ void k_arguments(many_numbers numbers, const float *x, double *sum)
{
    if (threadIdx.x == 0) {
        for (int n : numbers.n) {
            *sum += n * static_cast<double>(*x);
        }
    }
}

void launch_copies_its_arguments(void **)
{
    many_numbers numbers = {};
    numbers.n[0] = 2;
    numbers.n[39] = 5;
    float *x = nullptr;
    double *sum = nullptr;
    double result = 0;
    float half_of_one = 0.5f;
    assert_int_equal(cudaMalloc(reinterpret_cast<void **>(&x), sizeof *x), cudaSuccess);
    assert_int_equal(cudaMalloc(reinterpret_cast<void **>(&sum), sizeof *sum), cudaSuccess);
    assert_int_equal(cudaMemset(sum, 0, sizeof *sum), cudaSuccess);
    assert_int_equal(cudaMemcpy(x, &half_of_one, sizeof *x, cudaMemcpyHostToDevice), cudaSuccess);
    assert_int_equal(soti::launch(k_arguments, dim3(2), 64, 0, nullptr, 1, numbers, x, sum),
                     cudaSuccess);
    numbers.n[0] = 1000;
    assert_int_equal(cudaMemcpy(&result, sum, sizeof result, cudaMemcpyDeviceToHost), cudaSuccess);
    assert_true(result == 7);
    cudaFree(x);
    cudaFree(sum);
}

__global__ void k_nothing()
{
}

void launch_larger_than_a_device_allows_is_refused(void **)
{
    auto launch = [](dim3 grid, unsigned threads, size_t shared_bytes) {
        cudaLaunchConfig_t config = {};
        config.gridDim = grid;
        config.blockDim = dim3(threads);
        config.dynamicSmemBytes = shared_bytes;
        return cudaLaunchKernelEx(&config, k_nothing);
    };
    assert_int_equal(launch(dim3(1), 1024, 48 * 1024), cudaSuccess);
    assert_int_equal(launch(dim3(1), 1025, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(launch(dim3(0), 32, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(launch(dim3(1), 0, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(launch(dim3(1, 65536), 32, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(launch(dim3(1), 32, 48 * 1024 + 1), cudaErrorInvalidValue);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    /* soti::launch asks for what is beyond 48 KiB. */
    assert_int_equal(soti::launch(k_nothing, dim3(1), 32, 227 * 1024, nullptr, 0), cudaSuccess);
    assert_int_equal(soti::launch(k_nothing, dim3(1), 32, 227 * 1024 + 1, nullptr, 0),
                     cudaErrorInvalidValue);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
}

/* Between two threads that launch the same kernel, a call of one stands between two of the other's.
 */
void launch_of_little_shared_memory_takes_none_from_one_of_more(void **)
{
    cudaLaunchConfig_t larger = {};
    larger.gridDim = dim3(1);
    larger.blockDim = dim3(32);
    larger.dynamicSmemBytes = 200 * 1024;
    assert_int_equal(soti::launch(k_nothing, dim3(1), 32, 60 * 1024, nullptr, 0), cudaSuccess);
    assert_int_equal(cudaLaunchKernelEx(&larger, k_nothing), cudaSuccess);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
}

} // namespace

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(block_of_three_dimensions_runs_each_thread_once),
        cmocka_unit_test(seed_zero_is_the_natural_order),
        cmocka_unit_test(seeds_change_the_order_and_repeat_it),
        cmocka_unit_test(barrier_orders_what_threads_exchange),
        cmocka_unit_test(barrier_that_a_thread_skips_is_reported),
        cmocka_unit_test(barrier_of_one_lane_against_its_warps_is_reported),
        cmocka_unit_test(grid_after_a_wrong_one_runs_as_ever),
        cmocka_unit_test(grids_of_several_host_threads_run_at_once),
        cmocka_unit_test(launch_copies_its_arguments),
        cmocka_unit_test(launch_larger_than_a_device_allows_is_refused),
        cmocka_unit_test(launch_of_little_shared_memory_takes_none_from_one_of_more),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
