/* Times kernels/gemm_rows*.cu at every product of LLaMA 7B, 13B and 33B with 1 to 16 rows, beside
 * cuBLAS on the same weights and beside the rate at which the device merely reads memory. Prints
 * one JSON object a line; tests/bench/gpu_report.py sums them up. Not a test. tests/gpu.sh builds
 * it, by CMake's target bench_gemm_rows.
 *
 *   bench_gemm_rows [--shape NAME:D_MODEL:D_FF:N_HEAD:N_KV:D_HEAD:N_VOCAB]... [--rows LIST]
 *                   [--repeats N] [--bandwidth BYTES_PER_S]
 *
 * Weights are random and lie in so many copies that no product finds them in a cache. A time is
 * that of a graph of many launches, by events, divided by their number, the median of the repeats.
 * The kernels do what a step needs (norm, rotary, pages, SwiGLU, residual); cuBLAS multiplies only,
 * with the fastest of the algorithms that its heuristic offers, and 512 rows too: what a prompt's
 * products cost at least. Exit code 77: there is no CUDA device. */
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../examples/bench/measured_gpu.h"
#include "../../examples/shared/text.h"
#include "gemm_bench_data.h"

enum {
    REPEATS_MOST = 99,
    ALGORITHMS = 8,
    TRIAL_REPEATS = 3, /* of an algorithm that may not be the fastest */
    GRAPH_LAUNCHES = 16,
    PROMPT_ROWS = 512,
    SHAPES_MOST = 8,
    NO_DEVICE = 77
};

static const struct bench_shape llama[] = {{"7b", 4096, 11008, 32, 32, 128, 32000},
                                           {"13b", 5120, 13824, 40, 40, 128, 32000},
                                           {"33b", 6656, 17920, 52, 52, 128, 32000}};

struct options {
    struct bench_shape shapes[SHAPES_MOST];
    size_t n_shapes;
    uint32_t rows[SOTI_CUDA_GROUP_ROWS];
    size_t n_rows;
    size_t repeats;
    double bandwidth; /* 0: measure it */
};

/* What a product of cuBLAS is, for one number of rows. */
struct blas {
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t description;
    void *workspace;
    size_t workspace_bytes;
    cublasLtMatrixLayout_t weights, input, output;
    cublasLtMatmulHeuristicResult_t found[ALGORITHMS];
    int n_found;
    const char *output_type;
};

static void check_blas(cublasStatus_t status, const char *call)
{
    if (status != CUBLAS_STATUS_SUCCESS) {
        complain("%s: %s", call, cublasLtGetStatusString(status));
        exit(1);
    }
}

/* --- Time ------------------------------------------------------------------------------------- */

typedef void (*launch_fn)(const struct bench_data *data, const struct bench_product *product,
                          uint32_t i_copy, void *more);

/* Nanoseconds of one launch: the median over repeats of a graph of launches, each on the next copy
 * of the weights. */
static double time_launch(const struct bench_data *data, const struct bench_product *product,
                          launch_fn launch, void *more, size_t repeats)
{
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaEvent_t events[2];
    double times[REPEATS_MOST];
    uint32_t n_launches = product->n_copies > GRAPH_LAUNCHES ? product->n_copies : GRAPH_LAUNCHES;
    launch(data, product, 0, more); /* loads the kernel, which is nothing for a capture */
    BENCH_CHECK(cudaStreamSynchronize(data->launch.stream));
    BENCH_CHECK(cudaStreamBeginCapture(data->launch.stream, cudaStreamCaptureModeThreadLocal));
    for (uint32_t i = 0; i < n_launches; i++) {
        launch(data, product, i % product->n_copies, more);
    }
    BENCH_CHECK(cudaStreamEndCapture(data->launch.stream, &graph));
    BENCH_CHECK(cudaGraphInstantiate(&exec, graph, 0));
    BENCH_CHECK(cudaEventCreate(&events[0]));
    BENCH_CHECK(cudaEventCreate(&events[1]));
    for (size_t i = 0; i <= repeats; i++) { /* the first one is not counted */
        float milliseconds = 0;
        BENCH_CHECK(cudaEventRecord(events[0], data->launch.stream));
        BENCH_CHECK(cudaGraphLaunch(exec, data->launch.stream));
        BENCH_CHECK(cudaEventRecord(events[1], data->launch.stream));
        BENCH_CHECK(cudaEventSynchronize(events[1]));
        BENCH_CHECK(cudaEventElapsedTime(&milliseconds, events[0], events[1]));
        if (i > 0) {
            times[i - 1] = (double)milliseconds * 1e6 / n_launches;
        }
    }
    BENCH_CHECK(cudaEventDestroy(events[0]));
    BENCH_CHECK(cudaEventDestroy(events[1]));
    BENCH_CHECK(cudaGraphExecDestroy(exec));
    BENCH_CHECK(cudaGraphDestroy(graph));
    return bench_median(times, repeats);
}

static void launch_rows(const struct bench_data *data, const struct bench_product *product,
                        uint32_t i_copy, void *more)
{
    (void)more;
    BENCH_CHECK(bench_launch(data, product, i_copy));
}

/* --- cuBLAS ------------------------------------------------------------------------------------
 */

static void open_blas(struct blas *blas)
{
    cublasOperation_t transposed = CUBLAS_OP_T;
    *blas = (struct blas){.workspace_bytes = (size_t)32 << 20}; /* what NVIDIA advises for Hopper */
    check_blas(cublasLtCreate(&blas->handle), "cublasLtCreate");
    check_blas(cublasLtMatmulDescCreate(&blas->description, CUBLAS_COMPUTE_32F, CUDA_R_32F),
               "cublasLtMatmulDescCreate");
    check_blas(cublasLtMatmulDescSetAttribute(blas->description, CUBLASLT_MATMUL_DESC_TRANSA,
                                              &transposed, sizeof transposed),
               "cublasLtMatmulDescSetAttribute");
    BENCH_CHECK(cudaMalloc(&blas->workspace, blas->workspace_bytes));
}

static void close_blas(struct blas *blas)
{
    check_blas(cublasLtMatmulDescDestroy(blas->description), "cublasLtMatmulDescDestroy");
    check_blas(cublasLtDestroy(blas->handle), "cublasLtDestroy");
    BENCH_CHECK(cudaFree(blas->workspace));
}

/* Algorithms for n_rows rows that write type. */
static void find_algorithms(struct blas *blas, const struct bench_product *product, uint32_t n_rows,
                            cudaDataType_t type)
{
    cublasLtMatmulPreference_t preference;
    check_blas(
        cublasLtMatrixLayoutCreate(&blas->output, type, product->n_out, n_rows, product->n_out),
        "cublasLtMatrixLayoutCreate");
    check_blas(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
    check_blas(
        cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &blas->workspace_bytes, sizeof blas->workspace_bytes),
        "cublasLtMatmulPreferenceSetAttribute");
    blas->n_found = 0;
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        blas->handle, blas->description, blas->weights, blas->input, blas->output, blas->output,
        preference, ALGORITHMS, blas->found, &blas->n_found);
    blas->output_type = type == CUDA_R_16F ? "fp16" : "fp32";
    int n_offered = status == CUBLAS_STATUS_SUCCESS ? blas->n_found : 0;
    blas->n_found = 0;
    for (int i = 0; i < n_offered; i++) {
        if (blas->found[i].state == CUBLAS_STATUS_SUCCESS) {
            blas->found[blas->n_found++] = blas->found[i];
        }
    }
    (void)cublasLtMatmulPreferenceDestroy(preference);
}

struct blas_launch {
    const struct blas *blas;
    int i_algorithm;
};

static void launch_blas(const struct bench_data *data, const struct bench_product *product,
                        uint32_t i_copy, void *more)
{
    const struct blas_launch *launch = more;
    const struct blas *blas = launch->blas;
    const float one = 1;
    const float zero = 0;
    check_blas(cublasLtMatmul(blas->handle, blas->description, &one,
                              bench_weights(data, product, i_copy), blas->weights, data->halves,
                              blas->input, &zero, data->wide, blas->output, data->wide,
                              blas->output, &blas->found[launch->i_algorithm].algo, blas->workspace,
                              blas->workspace_bytes, data->launch.stream),
               "cublasLtMatmul");
}

/* Of the fastest algorithm. FP16 results, as PyTorch asks for; FP32 where there are none such. */
static double time_blas(struct blas *blas, const struct bench_data *data,
                        const struct bench_product *product, uint32_t n_rows, size_t repeats)
{
    struct blas_launch launch = {blas, 0};
    double best = 0;
    check_blas(cublasLtMatrixLayoutCreate(&blas->weights, CUDA_R_16F, product->stride,
                                          product->n_out, product->stride),
               "cublasLtMatrixLayoutCreate");
    check_blas(cublasLtMatrixLayoutCreate(&blas->input, CUDA_R_16F, product->stride, n_rows,
                                          product->stride),
               "cublasLtMatrixLayoutCreate");
    find_algorithms(blas, product, n_rows, CUDA_R_16F);
    if (blas->n_found == 0) {
        (void)cublasLtMatrixLayoutDestroy(blas->output);
        find_algorithms(blas, product, n_rows, CUDA_R_32F);
    }
    for (int i = 0, fastest = 0; i < blas->n_found; i++) {
        launch.i_algorithm = i;
        double ns = time_launch(data, product, launch_blas, &launch, TRIAL_REPEATS);
        fastest = i == 0 || ns < best ? i : fastest;
        best = i == 0 || ns < best ? ns : best;
        if (i + 1 == blas->n_found) {
            launch.i_algorithm = fastest;
            best = time_launch(data, product, launch_blas, &launch, repeats);
        }
    }
    (void)cublasLtMatrixLayoutDestroy(blas->weights);
    (void)cublasLtMatrixLayoutDestroy(blas->input);
    (void)cublasLtMatrixLayoutDestroy(blas->output);
    return best;
}

/* --- Report ------------------------------------------------------------------------------------
 */

/* Of the weights: what a product must read. */
static double share_of(double bytes, double ns, double bandwidth)
{
    return ns > 0 && bandwidth > 0 ? bytes / (ns * 1e-9) / bandwidth : 0;
}

static void bench_one(const struct options *options, struct bench_data *data, struct blas *blas,
                      const struct bench_shape *shape, struct bench_product *product)
{
    double bytes = 2.0 * product->n_out * product->n_in;
    for (size_t i = 0; i < options->n_rows; i++) {
        uint32_t n_rows = options->rows[i];
        bench_set_rows(data, product, n_rows);
        double ours = time_launch(data, product, launch_rows, NULL, options->repeats);
        double theirs = time_blas(blas, data, product, n_rows, options->repeats);
        printf("{\"model\": \"%s\", \"product\": \"%s\", \"n_out\": %u, \"n_in\": %u, "
               "\"rows\": %u, \"bytes\": %.0f, \"read_bytes_per_s\": %.6g, "
               "\"gemm_rows_ns\": %.6g, \"share_of_bandwidth\": %.6g, \"cublas_ns\": %.6g, "
               "\"cublas_share_of_bandwidth\": %.6g, \"cublas_algorithms\": %d, "
               "\"cublas_output\": \"%s\", \"copies\": %u}\n",
               shape->name, product->name, product->n_out, product->n_in, n_rows, bytes,
               options->bandwidth, ours, share_of(bytes, ours, options->bandwidth), theirs,
               share_of(bytes, theirs, options->bandwidth), blas->n_found, blas->output_type,
               product->n_copies);
        fflush(stdout);
    }
    double prompt = time_blas(blas, data, product, PROMPT_ROWS, options->repeats);
    printf("{\"model\": \"%s\", \"product\": \"%s\", \"n_out\": %u, \"n_in\": %u, \"rows\": %d, "
           "\"gemm_rows_ns\": null, \"cublas_ns\": %.6g, \"cublas_flops\": %.6g}\n",
           shape->name, product->name, product->n_out, product->n_in, PROMPT_ROWS, prompt,
           prompt > 0 ? 2.0 * PROMPT_ROWS * product->n_out * product->n_in / (prompt * 1e-9) : 0);
    fflush(stdout);
}

static void bench_shape_all(const struct options *options, struct blas *blas,
                            const struct bench_shape *shape, const struct cudaDeviceProp *device)
{
    struct bench_product products[BENCH_PRODUCTS];
    struct bench_data data;
    bench_open(&data, shape, products, device, PROMPT_ROWS);
    for (size_t i = 0; i < BENCH_PRODUCTS; i++) {
        bench_one(options, &data, blas, shape, &products[i]);
    }
    bench_close(&data);
}

static int parse_shape(struct options *options, const char *text)
{
    struct bench_shape *shape = &options->shapes[options->n_shapes];
    if (options->n_shapes == SHAPES_MOST ||
        sscanf(text, "%15[^:]:%u:%u:%u:%u:%u:%u", shape->name, &shape->d_model, &shape->d_ff,
               &shape->n_head, &shape->n_kv, &shape->d_head, &shape->n_vocab) != 7) {
        return 0;
    }
    options->n_shapes++;
    return 1;
}

static int parse_rows(struct options *options, const char *text)
{
    options->n_rows = 0;
    for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        unsigned long rows = strtoul(at, NULL, 10);
        if (rows < 1 || rows > SOTI_CUDA_GROUP_ROWS || options->n_rows == SOTI_CUDA_GROUP_ROWS) {
            return 0;
        }
        options->rows[options->n_rows++] = (uint32_t)rows;
    }
    return 1;
}

static int parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){.repeats = 7, .n_rows = SOTI_CUDA_GROUP_ROWS};
    for (uint32_t i = 0; i < SOTI_CUDA_GROUP_ROWS; i++) {
        options->rows[i] = i + 1;
    }
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        int is_good = strcmp(argv[i], "--shape") == 0  ? parse_shape(options, value)
                      : strcmp(argv[i], "--rows") == 0 ? parse_rows(options, value)
                                                       : 0;
        if (strcmp(argv[i], "--repeats") == 0) {
            options->repeats = strtoul(value, NULL, 10);
            is_good = options->repeats >= 1 && options->repeats <= REPEATS_MOST;
        } else if (strcmp(argv[i], "--bandwidth") == 0) {
            options->bandwidth = strtod(value, NULL);
            is_good = options->bandwidth > 0;
        }
        if (!is_good) {
            complain("%s '%s' is not understood", argv[i], value);
            return 0;
        }
    }
    if (options->n_shapes == 0) {
        memcpy(options->shapes, llama, sizeof llama);
        options->n_shapes = sizeof llama / sizeof llama[0];
    }
    return 1;
}

static double measure_bandwidth(void)
{
    double rates[5] = {0};
    struct cuda_device *device = cuda_device_open(0);
    if (!device || cuda_device_read(device, (size_t)4 << 30, rates, 5) == 0) {
        exit(1);
    }
    cuda_device_close(device);
    return bench_median(rates, 5);
}

int main(int argc, char **argv)
{
    struct options options;
    struct cudaDeviceProp device;
    struct blas blas;
    int n_devices = 0;
    program_name = "bench_gemm_rows";
    if (!parse(&options, argc, argv)) {
        return 2;
    }
    cudaError_t status = cudaGetDeviceCount(&n_devices);
    if (status != cudaSuccess || n_devices == 0) {
        complain("SKIPPED: there is no CUDA device here: %s", cudaGetErrorString(status));
        return NO_DEVICE;
    }
    BENCH_CHECK(cudaSetDevice(0));
    BENCH_CHECK(cudaGetDeviceProperties(&device, 0));
    if (options.bandwidth <= 0) {
        options.bandwidth = measure_bandwidth();
    }
    open_blas(&blas);
    for (size_t i = 0; i < options.n_shapes; i++) {
        bench_shape_all(&options, &blas, &options.shapes[i], &device);
    }
    close_blas(&blas);
    return 0;
}
