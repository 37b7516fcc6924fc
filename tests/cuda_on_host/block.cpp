/* Grids, blocks and threads: what a launch runs, in which order, and __syncthreads. */
#include "fibers.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>

__thread uint3 threadIdx;
__thread uint3 blockIdx;
__thread dim3 blockDim;
__thread dim3 gridDim;

namespace on_host
{

__thread executor *running;

namespace
{

constexpr size_t page_bytes = 4096;
constexpr size_t stacks_bytes = max_threads * (stack_bytes + page_bytes);
constexpr size_t cells_bytes = arena_bytes * sizeof(cell);
constexpr size_t groups_bytes = arena_bytes / 16 * sizeof(cell_group);

void shuffle_lanes(executor &e, warp &w)
{
    w.factor = w.inverse = 1;
    w.shift = 0;
    if (e.seed == 0) {
        return;
    }
    uint32_t random = next_random(e);
    w.factor = (random & 31) | 1;
    w.shift = random >> 5 & 31;
    /* Modulo 8 an odd number is its own inverse; a step of Newton's makes that modulo 64. */
    w.inverse = w.factor * (2 - w.factor * w.factor) & 31;
}

uint32_t lanes_of(const executor &e, unsigned i_warp)
{
    unsigned n_left = e.n_threads - i_warp * 32;
    return n_left >= 32 ? ~0u : (1u << n_left) - 1;
}

/* All threads may run: at a block's beginning, and behind a barrier. */
void release(executor &e)
{
    e.n_at_barrier = 0;
    e.interval++;
    for (unsigned i = 0; i < e.n_warps; i++) {
        warp &w = e.warps[i];
        shuffle_lanes(e, w);
        w.at_barrier = 0;
        make_runnable(e, w, i, lanes_of(e, i));
    }
}

void fiber_main(context::transfer_t from)
{
    executor &e = *running;
    fiber &own = *e.current;
    handover before = static_cast<handover>(reinterpret_cast<uintptr_t>(from.data)) << 64 |
                      reinterpret_cast<uintptr_t>(from.fctx);
    note_arrival(e, own, before);
    keep(before);
    warp &w = e.warps[own.warp];
    for (;;) {
        e.thread(e.closure);
        if (!own.copies.empty()) {
            fail("ends before it has waited for its cp.async");
        }
        w.ended |= 1u << own.lane;
        e.n_ended++;
        stop_running(e, w, own);
        keep(run_others(e, w, own));
    }
}

void make_fibers(executor &e)
{
    for (unsigned i = 0; i < max_threads; i++) {
        fiber &thread = e.fibers[i];
        thread.stack = e.stacks + i * (stack_bytes + page_bytes) + page_bytes;
        thread.fake_stack = nullptr;
        thread.copies.clear();
        thread.linear = i;
        thread.lane = i % 32;
        thread.warp = i / 32;
        forget_frames(thread.stack);
        /* Stacks that began at the same place of a page would share few lines of the cache. */
        size_t n_bytes = stack_bytes - i * 5 % 32 * 128;
        thread.context = context::make_fcontext(thread.stack + n_bytes, n_bytes, fiber_main);
    }
    e.fibers_spoilt = false;
}

void run_block(executor &e)
{
    if (e.fibers_spoilt) {
        make_fibers(e);
    }
    e.interval++;
    e.block_interval = e.interval;
    e.n_ended = 0;
    e.ready_warps = 0;
    for (unsigned i = 0; i < e.n_warps; i++) {
        warp &w = e.warps[i];
        w.runnable = w.waiting = w.ended = 0;
        w.is_mixed = false;
    }
    for (unsigned i = 0; i < e.n_threads; i++) {
        e.fibers[i].file = nullptr;
        e.fibers[i].n_groups = 0;
    }
    release(e);
    fiber &first = fiber_in(e, ready_warp(e), 0);
    e.current = &first;
    threadIdx = first.thread;
    leave_for(e.main_fake_stack, first.stack, stack_bytes);
    handover before = on_host_jump(first.context, &e.main_context);
#if defined(ON_HOST_ASAN)
    __sanitizer_finish_switch_fiber(e.main_fake_stack, nullptr, nullptr);
#endif
    keep(before);
}

executor &own_executor()
{
    static thread_local std::unique_ptr<executor> owner;
    if (owner == nullptr) {
        owner = std::make_unique<executor>();
    }
    return *owner;
}

void *reserve(size_t n_bytes)
{
    void *memory = mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "cuda_on_host: no address space for %zu bytes\n", n_bytes);
        abort();
    }
    return memory;
}

/* Everything of a launch but its blocks. */
void begin_grid(executor &e, dim3 grid, dim3 block)
{
    gridDim = grid;
    blockDim = block;
    e.status = cudaSuccess;
    e.seed = current_seed();
    e.random = (e.seed + 1) * 0x9E3779B97F4A7C15u;
    e.n_threads = block.x * block.y * block.z;
    e.n_warps = (e.n_threads + 31) / 32;
    for (unsigned i = 0; i < e.n_threads; i++) {
        e.fibers[i].thread = {i % block.x, i / block.x % block.y, i / block.x / block.y};
    }
    if (e.interval > 0xF0000000u) { /* long before the count wraps */
        madvise(e.groups, groups_bytes, MADV_DONTNEED);
        e.interval = 0;
    }
}

} // namespace

executor::executor() : fibers(), warps(), fibers_spoilt(true), interval(0)
{
    stacks = static_cast<char *>(reserve(stacks_bytes));
    for (unsigned i = 0; i < max_threads; i++) {
        mprotect(stacks + i * (stack_bytes + page_bytes), page_bytes, PROT_NONE);
    }
    arena = static_cast<unsigned char *>(reserve(arena_bytes));
    cells = static_cast<cell *>(reserve(cells_bytes));
    groups = static_cast<cell_group *>(reserve(groups_bytes));
}

executor::~executor()
{
#if defined(ON_HOST_ASAN)
    __asan_unpoison_memory_region(stacks, stacks_bytes);
#endif
    munmap(stacks, stacks_bytes);
    munmap(arena, arena_bytes);
    munmap(cells, cells_bytes);
    munmap(groups, groups_bytes);
}

cudaError_t run_grid(dim3 grid, dim3 block, size_t shared_bytes, thread_function thread,
                     void *closure, const void *kernel)
{
    executor &e = own_executor();
    report_faults();
    begin_grid(e, grid, block);
    e.shared_bytes = static_cast<uint32_t>(shared_bytes);
    e.thread = thread;
    e.closure = closure;
    e.kernel = kernel;
    running = &e;
    uint64_t n_blocks = static_cast<uint64_t>(grid.x) * grid.y * grid.z;
    uint64_t step = 1;
    uint64_t i_block = 0;
    if (e.seed != 0 && n_blocks > 1) {
        do {
            step = 1 + next_random(e) % n_blocks;
        } while (std::gcd(step, n_blocks) != 1);
        i_block = next_random(e) % n_blocks;
    }
    for (uint64_t i = 0; i < n_blocks && e.status == cudaSuccess; i++) {
        blockIdx = {static_cast<unsigned>(i_block % grid.x),
                    static_cast<unsigned>(i_block / grid.x % grid.y),
                    static_cast<unsigned>(i_block / grid.x / grid.y)};
        run_block(e);
        i_block = (i_block + step) % n_blocks;
    }
    running = nullptr;
    return e.status;
}

void give_up_grid(cudaError_t status)
{
    executor &e = *running;
    e.status = status;
    e.fibers_spoilt = true;
    switch_to_main(e, *e.current);
    abort();
}

handover enter_barrier(const char *file, int line)
{
    executor &e = *running;
    fiber &own = *e.current;
    warp &w = e.warps[own.warp];
    own.file = file;
    own.line = line;
    w.at_barrier |= 1u << own.lane;
    stop_running(e, w, own);
    if (++e.n_at_barrier < e.n_threads) {
        return run_others(e, w, own);
    }
    release(e);
    return switch_to(e, own, fiber_in(e, ready_warp(e), 0));
}

} // namespace on_host
