/* Grids, blocks, threads: who runs next, __syncthreads, and what is said when nobody can go on. */
#include "block.h"
#include "cuda_on_host_control.h"

#include <boost/context/detail/fcontext.hpp>

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>

#if defined(__SANITIZE_ADDRESS__)
#define ON_HOST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ON_HOST_ASAN 1
#endif
#endif
#if defined(ON_HOST_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace context = boost::context::detail;

__thread uint3 threadIdx;
__thread uint3 blockIdx;
__thread dim3 blockDim;
__thread dim3 gridDim;

namespace on_host
{

__thread executor *running;

namespace
{

#if defined(ON_HOST_ASAN)
constexpr size_t stack_bytes = 256 * 1024;
#else
constexpr size_t stack_bytes = 64 * 1024;
#endif
constexpr size_t page_bytes = 4096;

void leave_for(void *&own_fake_stack, void *const bottom, size_t n_bytes)
{
#if defined(ON_HOST_ASAN)
    __sanitizer_start_switch_fiber(&own_fake_stack, bottom, n_bytes);
#else
    (void)own_fake_stack, (void)bottom, (void)n_bytes;
#endif
}

/* The first thing that whoever was switched to does: it keeps where the other one can go on. */
void arrive(context::transfer_t from, void *own_fake_stack)
{
    executor &e = *running;
    const void *bottom = nullptr;
    size_t n_bytes = 0;
#if defined(ON_HOST_ASAN)
    __sanitizer_finish_switch_fiber(own_fake_stack, &bottom, &n_bytes);
#else
    (void)own_fake_stack;
#endif
    if (from.data != nullptr) {
        static_cast<fiber *>(from.data)->context = from.fctx;
    } else {
        e.main_context = from.fctx;
        e.main_stack = bottom;
        e.main_stack_bytes = n_bytes;
    }
}

void switch_to(fiber &next)
{
    executor &e = *running;
    fiber *own = e.current;
    if (own == &next) {
        return;
    }
    e.current = &next;
    threadIdx = next.thread;
    leave_for(own->fake_stack, next.stack, stack_bytes);
    context::transfer_t from = context::jump_fcontext(next.context, own);
    arrive(from, own->fake_stack);
}

void switch_to_main()
{
    executor &e = *running;
    fiber *own = e.current;
    leave_for(own->fake_stack, const_cast<void *>(e.main_stack), e.main_stack_bytes);
    context::transfer_t from = context::jump_fcontext(e.main_context, own);
    arrive(from, own->fake_stack);
}

uint32_t next_random(executor &e)
{
    e.random ^= e.random << 13;
    e.random ^= e.random >> 7;
    e.random ^= e.random << 17;
    return static_cast<uint32_t>(e.random >> 32);
}

unsigned slot_of(const warp &w, unsigned lane)
{
    return (lane * w.factor + w.shift) & 31;
}

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

void make_runnable(executor &e, unsigned i_warp, unsigned lane)
{
    warp &w = e.warps[i_warp];
    w.runnable |= 1u << slot_of(w, lane);
    e.ready_warps |= 1u << i_warp;
}

void make_waiting(executor &e, const fiber &thread)
{
    warp &w = e.warps[thread.warp];
    w.runnable &= ~(1u << slot_of(w, thread.lane));
    if (w.runnable == 0) {
        e.ready_warps &= ~(1u << thread.warp);
    }
}

fiber &fiber_in(executor &e, unsigned i_warp, unsigned first_slot)
{
    const warp &w = e.warps[i_warp];
    uint32_t later = w.runnable & ~0u << first_slot;
    unsigned slot = static_cast<unsigned>(__builtin_ctz(later != 0 ? later : w.runnable));
    return e.fibers[i_warp * 32 + ((slot - w.shift) * w.inverse & 31)];
}

/* Some warp that can run; at least one can. */
unsigned ready_warp(executor &e)
{
    uint32_t ready = e.ready_warps;
    if (e.seed != 0) {
        uint32_t later = ready & ~0u << (next_random(e) & 31);
        ready = later != 0 ? later : ready;
    }
    return static_cast<unsigned>(__builtin_ctz(ready));
}

/* Nothing is runnable, though some threads have not ended. */
[[noreturn]] void fail_stuck(executor &e)
{
    const fiber *warp_waiter = nullptr;
    const fiber *block_waiter = nullptr;
    const fiber *ended = nullptr;
    for (unsigned i = 0; i < e.n_threads; i++) {
        const fiber &thread = e.fibers[i];
        switch (thread.state) {
        case waits_for::warp:
            warp_waiter = warp_waiter != nullptr ? warp_waiter : &thread;
            break;
        case waits_for::block:
            block_waiter = block_waiter != nullptr ? block_waiter : &thread;
            break;
        case waits_for::ended:
            ended = ended != nullptr ? ended : &thread;
            break;
        case waits_for::nothing:
            break;
        }
    }
    if (warp_waiter == nullptr) {
        fail("%u of %u threads wait in __syncthreads%s; %s has ended", e.n_at_barrier, e.n_threads,
             at_site(block_waiter->where).text, thread_name(*ended).text);
    }
    const operation &wanted = *warp_waiter->waiting;
    uint32_t missing = wanted.mask & ~e.warps[warp_waiter->warp].waiting;
    unsigned lane = static_cast<unsigned>(__builtin_ctz(missing != 0 ? missing : 1));
    unsigned i_other = warp_waiter->warp * 32 + lane;
    const char *there = "is not one of the block's";
    words where = {};
    if (i_other < e.n_threads) {
        const fiber &other = e.fibers[i_other];
        there = other.state == waits_for::ended ? "has ended" : "waits in __syncthreads";
        if (other.state != waits_for::ended) {
            where = at_site(other.where);
        }
    }
    fail("%s%s (mask %08x) waits for lane %u, which %s%s", name_of(wanted.kind),
         at_site(wanted.where).text, wanted.mask, lane, there, where.text);
}

/* The current fiber cannot go on: to the next one, which may be itself by then. */
void run_others()
{
    executor &e = *running;
    const fiber &own = *e.current;
    const warp &w = e.warps[own.warp];
    if (w.runnable != 0) {
        switch_to(fiber_in(e, own.warp, slot_of(w, own.lane)));
    } else if (e.ready_warps != 0) {
        unsigned i_warp = ready_warp(e);
        switch_to(fiber_in(e, i_warp, 0));
    } else if (e.n_ended == e.n_threads) {
        switch_to_main();
    } else {
        fail_stuck(e);
    }
}

void fiber_main(context::transfer_t from)
{
    arrive(from, nullptr);
    executor &e = *running;
    fiber &own = *e.current;
    for (;;) {
        e.thread(e.closure);
        if (!own.copies.empty()) {
            fail("ends before it has waited for its cp.async");
        }
        own.state = waits_for::ended;
        e.n_ended++;
        make_waiting(e, own);
        run_others();
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
#if defined(ON_HOST_ASAN)
        __asan_unpoison_memory_region(thread.stack, stack_bytes);
#endif
        /* Stacks that began at the same place of a page would share few lines of the cache. */
        size_t colour = i * 5 % 32 * 128;
        thread.context = context::make_fcontext(thread.stack + stack_bytes - colour,
                                                stack_bytes - colour, fiber_main);
    }
    e.fibers_spoilt = false;
}

void release_barrier(executor &e)
{
    e.n_at_barrier = 0;
    e.interval++;
    for (unsigned i = 0; i < e.n_warps; i++) {
        shuffle_lanes(e, e.warps[i]);
    }
    for (unsigned i = 0; i < e.n_threads; i++) {
        e.fibers[i].state = waits_for::nothing;
        make_runnable(e, i / 32, i % 32);
    }
}

void run_block(executor &e)
{
    if (e.fibers_spoilt) {
        make_fibers(e);
    }
    e.interval++;
    e.block_interval = e.interval;
    e.n_ended = 0;
    for (unsigned i = 0; i < e.n_warps; i++) {
        e.warps[i].runnable = e.warps[i].waiting = 0;
    }
    for (unsigned i = 0; i < e.n_threads; i++) {
        e.fibers[i].where = {nullptr, 0};
        e.fibers[i].n_groups = 0;
    }
    release_barrier(e);
    fiber &first = fiber_in(e, ready_warp(e), 0);
    e.current = &first;
    threadIdx = first.thread;
    leave_for(e.main_fake_stack, first.stack, stack_bytes);
    context::transfer_t from = context::jump_fcontext(first.context, nullptr);
#if defined(ON_HOST_ASAN)
    __sanitizer_finish_switch_fiber(e.main_fake_stack, nullptr, nullptr);
#endif
    static_cast<fiber *>(from.data)->context = from.fctx;
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

constexpr size_t stacks_bytes = max_threads * (stack_bytes + page_bytes);
constexpr size_t cells_bytes = arena_bytes * sizeof(cell);
constexpr size_t groups_bytes = arena_bytes / 16 * sizeof(cell_group);

} // namespace

size_t fiber_stack_bytes()
{
    return stack_bytes;
}

executor::executor() : fibers(), warps(), fibers_spoilt(true), interval(0)
{
    stacks = static_cast<char *>(reserve(stacks_bytes));
    for (unsigned i = 0; i < max_threads; i++) {
        mprotect(stacks + i * (stack_bytes + page_bytes), page_bytes, PROT_NONE);
    }
    arena = static_cast<unsigned char *>(reserve(arena_bytes));
    cells = static_cast<cell *>(reserve(cells_bytes));
    groups = static_cast<cell_group *>(reserve(groups_bytes));
    install_fault_report();
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
    gridDim = grid;
    blockDim = block;
    e.shared_bytes = static_cast<uint32_t>(shared_bytes);
    e.thread = thread;
    e.closure = closure;
    e.kernel = kernel;
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

void block_barrier(site where)
{
    executor &e = *running;
    fiber &own = *e.current;
    own.where = where;
    own.state = waits_for::block;
    make_waiting(e, own);
    if (++e.n_at_barrier < e.n_threads) {
        run_others();
        return;
    }
    release_barrier(e);
    switch_to(fiber_in(e, ready_warp(e), 0));
}

void meet(operation &own_part)
{
    executor &e = *running;
    fiber &own = *e.current;
    warp &w = e.warps[own.warp];
    fiber *lanes = &e.fibers[own.warp * 32];
    own.where = own_part.where;
    own.waiting = &own_part;
    if ((own_part.mask >> own.lane & 1) == 0) {
        fail("%s%s: the mask %08x does not name the lane itself", name_of(own_part.kind),
             at_site(own.where).text, own_part.mask);
    }
    uint32_t others = w.waiting & own_part.mask;
    if (others != 0) {
        const fiber &other = lanes[__builtin_ctz(others)];
        const operation &theirs = *other.waiting;
        if (theirs.kind != own_part.kind || theirs.mask != own_part.mask ||
            theirs.where.line != own_part.where.line) {
            fail("%s%s (mask %08x), but lane %u of the same warp is in %s%s (mask %08x)",
                 name_of(own_part.kind), at_site(own.where).text, own_part.mask, other.lane,
                 name_of(theirs.kind), at_site(theirs.where).text, theirs.mask);
        }
    }
    w.waiting |= 1u << own.lane;
    if ((w.waiting & own_part.mask) != own_part.mask) {
        own.state = waits_for::warp;
        make_waiting(e, own);
        run_others();
        return;
    }
    complete(e, lanes, own_part);
    w.waiting &= ~own_part.mask;
    for (uint32_t left = own_part.mask; left != 0; left &= left - 1) {
        unsigned lane = static_cast<unsigned>(__builtin_ctz(left));
        lanes[lane].state = waits_for::nothing;
        w.runnable |= 1u << slot_of(w, lane);
    }
    e.ready_warps |= 1u << own.warp;
    if (e.seed != 0 && next_random(e) % 8 == 0) {
        unsigned i_warp = ready_warp(e);
        switch_to(fiber_in(e, i_warp, i_warp == own.warp ? slot_of(w, own.lane) : 0));
    }
}

words thread_name(const fiber &thread)
{
    words result;
    snprintf(result.text, sizeof result.text, "thread (%u, %u, %u)", thread.thread.x,
             thread.thread.y, thread.thread.z);
    return result;
}

words at_site(const site &where)
{
    words result = {};
    if (where.file != nullptr) {
        const char *slash = strrchr(where.file, '/');
        snprintf(result.text, sizeof result.text, " at %.100s:%d",
                 slash != nullptr ? slash + 1 : where.file, where.line);
    }
    return result;
}

namespace
{

[[noreturn]] void end_grid(cudaError_t status, const char *format, va_list arguments)
{
    executor &e = *running;
    const fiber &own = *e.current;
    char what[600];
    vsnprintf(what, sizeof what, format, arguments);
    bool says_where = own.where.file == nullptr || strstr(what, " at ") != nullptr;
    char sentence[1000];
    snprintf(sentence, sizeof sentence, "%s, block (%u, %u, %u), %s: %s%s%s%s",
             kernel_name(e.kernel).c_str(), blockIdx.x, blockIdx.y, blockIdx.z,
             thread_name(own).text, what, says_where ? "" : " (behind",
             says_where ? "" : at_site(own.where).text, says_where ? "" : ")");
    report_error(sentence);
    e.status = status;
    e.fibers_spoilt = true;
    switch_to_main();
    abort();
}

} // namespace

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    end_grid(cudaErrorLaunchFailure, format, arguments);
}

void fail_as(cudaError_t status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    end_grid(status, format, arguments);
}

} // namespace on_host
