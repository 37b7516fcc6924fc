/* How a fiber hands the processor on: all of it inline, for a return that follows a switch goes
 * where the processor does not expect it, and costs as much as the switch. See BK-1 and BK-2. */
#ifndef SOTI_TEST_FIBERS_H
#define SOTI_TEST_FIBERS_H

#include "block.h"

#include <boost/context/detail/fcontext.hpp>

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

namespace on_host
{

namespace context = boost::context::detail;

#if defined(ON_HOST_ASAN)
constexpr size_t stack_bytes = 256 * 1024;
#else
constexpr size_t stack_bytes = 64 * 1024;
#endif

/* The address sanitizer wants to know which stack is in use. */
__forceinline__ void leave_for(void *&own_fake_stack, const void *bottom, size_t n_bytes)
{
#if defined(ON_HOST_ASAN)
    __sanitizer_start_switch_fiber(&own_fake_stack, bottom, n_bytes);
#else
    (void)own_fake_stack, (void)bottom, (void)n_bytes;
#endif
}

/* What was on the stack is given up. */
inline void forget_frames(char *stack)
{
#if defined(ON_HOST_ASAN)
    __asan_unpoison_memory_region(stack, stack_bytes);
#else
    (void)stack;
#endif
}

/* The first thing that whoever was switched to does: it keeps where the other one can go on. */
__forceinline__ void arrive(executor &e, context::transfer_t from, void *own_fake_stack)
{
    const void *bottom = nullptr;
    size_t n_bytes = 0;
#if defined(ON_HOST_ASAN)
    __sanitizer_finish_switch_fiber(own_fake_stack, &bottom, &n_bytes);
#else
    (void)own_fake_stack;
#endif
    if (__builtin_expect(from.data != nullptr, 1)) {
        static_cast<fiber *>(from.data)->context = from.fctx;
    } else {
        e.main_context = from.fctx;
        e.main_stack = bottom;
        e.main_stack_bytes = n_bytes;
    }
}

__forceinline__ void switch_to(executor &e, fiber &own, fiber &next)
{
    if (&own == &next) {
        return;
    }
    e.current = &next;
    threadIdx = next.thread;
    leave_for(own.fake_stack, next.stack, stack_bytes);
    arrive(e, context::jump_fcontext(next.context, &own), own.fake_stack);
}

__forceinline__ void switch_to_main(executor &e, fiber &own)
{
    leave_for(own.fake_stack, e.main_stack, e.main_stack_bytes);
    arrive(e, context::jump_fcontext(e.main_context, &own), own.fake_stack);
}

inline uint32_t next_random(executor &e)
{
    e.random ^= e.random << 13;
    e.random ^= e.random >> 7;
    e.random ^= e.random << 17;
    return static_cast<uint32_t>(e.random >> 32);
}

__forceinline__ unsigned slot_of(const warp &w, unsigned lane)
{
    return (lane * w.factor + w.shift) & 31;
}

__forceinline__ void make_runnable(executor &e, warp &w, unsigned i_warp, uint32_t lanes)
{
    if (lanes == ~0u) {
        w.runnable = lanes;
    }
    for (uint32_t left = lanes == ~0u ? 0 : lanes; left != 0; left &= left - 1) {
        w.runnable |= 1u << slot_of(w, static_cast<unsigned>(__builtin_ctz(left)));
    }
    e.ready_warps |= 1u << i_warp;
}

__forceinline__ void stop_running(executor &e, warp &w, const fiber &own)
{
    w.runnable &= ~(1u << slot_of(w, own.lane));
    if (w.runnable == 0) {
        e.ready_warps &= ~(1u << own.warp);
    }
}

__forceinline__ fiber &fiber_in(executor &e, unsigned i_warp, unsigned first_slot)
{
    const warp &w = e.warps[i_warp];
    uint32_t later = w.runnable & ~0u << first_slot;
    unsigned slot = static_cast<unsigned>(__builtin_ctz(later != 0 ? later : w.runnable));
    return e.fibers[i_warp * 32 + ((slot - w.shift) * w.inverse & 31)];
}

/* Some warp that can run; at least one can. */
inline unsigned ready_warp(executor &e)
{
    uint32_t ready = e.ready_warps;
    if (e.seed != 0) {
        uint32_t later = ready & ~0u << (next_random(e) & 31);
        ready = later != 0 ? later : ready;
    }
    return static_cast<unsigned>(__builtin_ctz(ready));
}

/* The current fiber cannot go on: to the next one. */
__forceinline__ void run_others(executor &e, const warp &w, fiber &own)
{
    if (__builtin_expect(w.runnable != 0, 1)) {
        switch_to(e, own, fiber_in(e, own.warp, slot_of(w, own.lane)));
    } else if (e.ready_warps != 0) {
        switch_to(e, own, fiber_in(e, ready_warp(e), 0));
    } else if (e.n_ended == e.n_threads) {
        switch_to_main(e, own);
    } else {
        fail_stuck();
    }
}

} // namespace on_host

#endif
