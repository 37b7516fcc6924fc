/* What runs a block: its threads as fibers, its warps, its shared memory. One executor a host
 * thread; everything in it is kept from block to block and from launch to launch.
 *
 *   BK-1  A fiber runs until it waits (for its warp, for its block) or ends; it then switches to
 *         the next one itself. Fibers never leave their host thread.
 *   BK-2  Lanes are tried in the order of their slots, slot = lane * factor + shift modulo 32 with
 *         an odd factor; seed 0: slot = lane. Warps: from a random one on; seed 0: the lowest.
 *   BK-3  Whatever is found wrong ends the grid: the fiber reports it, leaves for good, and all
 *         fibers are made anew for the next grid. */
#ifndef SOTI_TEST_BLOCK_H
#define SOTI_TEST_BLOCK_H

#include "on_host.h"

#include <cuda_on_host.h>

#include <cstdarg>
#include <vector>

namespace on_host
{

enum : unsigned {
    max_threads = 1024,
    max_warps = max_threads / 32,
    dynamic_bytes_max = 256 * 1024, /* static arrays lie behind */
    arena_bytes = 1024 * 1024
};

/* A cp.async that nobody has waited for. */
struct pending_copy {
    extent to;
    const void *from;
    unsigned i_group;
};

struct fiber {
    uint3 thread;
    unsigned lane, warp;
    void *context;
    unsigned linear;  /* index in the block */
    const char *file; /* of the last barrier or collective */
    int line;
    operation *waiting;
    std::vector<pending_copy> copies;
    unsigned n_groups; /* committed */
    char *stack;       /* its lower end */
    void *fake_stack;  /* of the address sanitizer */
};

struct warp {
    uint32_t runnable; /* bit: slot; the others' bits: lane */
    uint32_t waiting;  /* for other lanes */
    uint32_t at_barrier;
    uint32_t ended;
    bool is_mixed; /* lanes that wait may disagree */
    uint32_t factor, inverse, shift;
    operation last; /* that a lane began to wait with: kind, mask and line only */
    /* Order of accesses to shared memory within the warp: time counts its __syncwarp, what lane a
     * did before time seen[b][a] or everyone before all_seen is known to lane b. */
    uint32_t time;
    uint32_t all_seen;
    uint32_t seen[32][32];
};

/* What is known of some neighbouring bytes of shared memory, see shadow.cpp. */
struct cell {
    uint32_t write_interval; /* 0: never in this block */
    uint32_t write_time;
    uint32_t read_interval; /* 0: not since it was written */
    uint32_t read_time;
    uint32_t read_lanes;
    uint16_t read_warp;
    uint16_t write_thread;
    bool in_flight; /* a cp.async to it was not waited for */
    bool atomic;
};

struct cell_group {
    uint32_t block; /* first interval of the block that used it last */
    uint32_t unit;  /* bytes of a cell: 1 .. 16 */
};

struct executor {
    executor();
    ~executor();
    executor(const executor &) = delete;
    executor &operator=(const executor &) = delete;

    fiber *current;
    fiber fibers[max_threads];
    warp warps[max_warps];
    uint32_t ready_warps; /* bit: a lane is runnable */
    unsigned n_threads, n_warps, n_ended, n_at_barrier;
    bool fibers_spoilt;
    void *main_context;
    void *main_fake_stack;
    const void *main_stack;
    size_t main_stack_bytes;
    char *stacks;

    thread_function thread;
    void *closure;
    const void *kernel;
    cudaError_t status;
    uint64_t seed, random;

    uint32_t interval;       /* counts __syncthreads, over all blocks and launches */
    uint32_t block_interval; /* the block's first one */
    uint32_t shared_bytes;
    unsigned char *arena;
    cell *cells; /* [16][arena_bytes / 16] */
    cell_group *groups;
};

extern __thread executor *running __attribute__((tls_model("initial-exec")));

/* Reports what is wrong in the current thread's name and ends the grid. */
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void fail_as(cudaError_t status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

inline bool is_same(const operation &one, const operation &other)
{
    return one.kind == other.kind && one.mask == other.mask && one.line == other.line;
}

const char *name_of(collective kind);
/* Part of a sentence; nothing that a fiber would leave behind when it leaves for good. */
struct words {
    char text[120];
};
/* "thread (5, 0, 0)" */
words thread_name(const fiber &thread);
/* " at gemm_rows.cu:81", or nothing */
words at_site(const char *file, int line);

/* Why nothing can go on, though some threads have not ended. */
[[noreturn]] void fail_stuck();
[[noreturn]] void fail_unnamed(const operation &own);
[[noreturn]] void fail_diverged(const operation &own, const operation &other, unsigned lane);
/* The end of the grid: to whoever runs it. */
[[noreturn]] void give_up_grid(cudaError_t status);

/* Does what the lanes of the mask of part, which all wait, asked for. */
void complete(executor &e, fiber *lanes, const operation &part);
void complete_mma(fiber *lanes);
void complete_ldmatrix(fiber *lanes);
/* What on_host_set_seed said last. */
uint64_t current_seed();
/* Orders the shared memory accesses of the lanes of mask. */
void order_lanes(warp &w, uint32_t mask);

/* From now on a fault of a grid's is an error of its launch, not the process's end. */
void report_faults();
std::string kernel_name(const void *kernel);
void finish_copies(fiber &thread, unsigned n_pending);

} // namespace on_host

#endif
