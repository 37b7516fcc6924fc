/* Accesses to memory that is not there: an error of the launch, with the thread's name and place;
 * outside of kernels the business of whoever handled it before. */
#include "kernel_test.h"

#include <csignal>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace
{

__global__ void k_sum(const float *x, unsigned n, float *sum)
{
    float own = 0;
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
        own += x[i];
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        own += __shfl_xor_sync(0xffffffffu, own, distance);
    }
    if (threadIdx.x == 0) {
        sum[blockIdx.x] = own;
    }
}

struct vectors {
    float *x;
    float *sum;
};

vectors make_vectors(unsigned n)
{
    vectors v = {};
    assert_int_equal(cudaMalloc(reinterpret_cast<void **>(&v.x), n * sizeof *v.x), cudaSuccess);
    assert_int_equal(cudaMalloc(reinterpret_cast<void **>(&v.sum), 4 * sizeof *v.sum), cudaSuccess);
    assert_int_equal(cudaMemset(v.x, 0, n * sizeof *v.x), cudaSuccess);
    return v;
}

void free_vectors(vectors v)
{
    assert_int_equal(cudaFree(v.x), cudaSuccess);
    assert_int_equal(cudaFree(v.sum), cudaSuccess);
}

void read_behind_an_allocation_is_reported(void **)
{
    vectors v = make_vectors(1000);
    for (uint64_t seed = 0; seed < 4; seed++) {
        on_host_set_seed(seed);
        expect_clean(run_kernel(k_sum, dim3(4), dim3(32), 0, v.x, 1000u, v.sum));
        cudaError_t status = run_kernel(k_sum, dim3(4), dim3(32), 0, v.x, 1001u, v.sum);
        assert_int_equal(status, cudaErrorIllegalAddress);
        assert_non_null(strstr(on_host_errors(), "k_sum, block ("));
        assert_non_null(strstr(on_host_errors(), "thread (8, 0, 0): touches global memory at"));
        expect_words(status, "4000");
    }
    on_host_set_seed(0);
    free_vectors(v);
}

void write_behind_an_allocation_is_reported(void **)
{
    vectors v = make_vectors(32);
    cudaError_t status = run_kernel(k_sum, dim3(5), dim3(32), 0, v.x, 32u, v.sum);
    assert_int_equal(status, cudaErrorIllegalAddress);
    assert_non_null(strstr(on_host_errors(), "block (4, 0, 0), thread (0, 0, 0)"));
    expect_words(status, "touches global memory at");
    free_vectors(v);
}

void pointer_to_nowhere_is_reported(void **)
{
    vectors v = make_vectors(32);
    cudaError_t status =
        run_kernel(k_sum, dim3(1), dim3(32), 0, reinterpret_cast<const float *>(64), 32u, v.sum);
    assert_int_equal(status, cudaErrorIllegalAddress);
    expect_words(status, "touches global memory at");
    free_vectors(v);
}

__global__ void k_misaligned(const float *x, float *sum)
{
    sum[0] = __uint_as_float(soti::load_stream_16(x + 1).x);
}

void misaligned_vector_is_reported(void **)
{
    vectors v = make_vectors(32);
    expect_words(run_kernel(k_misaligned, dim3(1), dim3(1), 0, v.x, v.sum),
                 "16 bytes of global memory");
    free_vectors(v);
}

__device__ int descend(int depth, volatile int *place)
{
    volatile int frame[256];
    frame[depth % 256] = depth;
    return depth == 0 ? *place : descend(depth - 1, &frame[depth % 256]) + frame[depth % 256];
}

__global__ void k_deep(int depth, int *out)
{
    int start = 1;
    out[0] = descend(depth, &start);
}

void overflow_of_a_threads_stack_is_reported(void **)
{
    int out[1];
    expect_clean(run_kernel(k_deep, dim3(1), dim3(64), 0, 10, out));
    expect_words(run_kernel(k_deep, dim3(1), dim3(64), 0, 100000, out), "its stack overflows");
    expect_clean(run_kernel(k_deep, dim3(1), dim3(64), 0, 10, out));
}

void end_by_own_handler(int)
{
    _exit(42);
}

void fault_of_host_code_goes_to_the_handler_before(void **)
{
    void *page = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        int out[1];
        signal(SIGSEGV, end_by_own_handler);
        cudaError_t status = run_kernel(k_deep, dim3(1), dim3(1), 0, 1, out);
        if (status == cudaSuccess) {
            *static_cast<volatile int *>(page) = 1;
        }
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    munmap(page, 4096);
}

} // namespace

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(read_behind_an_allocation_is_reported),
        cmocka_unit_test(write_behind_an_allocation_is_reported),
        cmocka_unit_test(pointer_to_nowhere_is_reported),
        cmocka_unit_test(misaligned_vector_is_reported),
        cmocka_unit_test(overflow_of_a_threads_stack_is_reported),
        cmocka_unit_test(fault_of_host_code_goes_to_the_handler_before),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
