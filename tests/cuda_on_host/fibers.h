/* How a fiber hands the processor on, see BK-1 and BK-2: all of it inline, and the switch the last
 * call of what the kernel called, for the reason that handover gives. */
#ifndef SOTI_TEST_FIBERS_H
#define SOTI_TEST_FIBERS_H

#include "block.h"

#include <boost/context/detail/fcontext.hpp>

/* ON_HOST_ASAN: the program is run under the address sanitizer, though not each file of ours. */
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

/* Boost.Context's jump under a type of ours, which the same registers return, so that it can be the
 * last call of a function. */
extern "C" handover on_host_jump(void *to, void **own_place) __asm__("jump_fcontext");

/* On a fiber, behind each switch and at its very beginning. */
__forceinline__ void note_arrival(executor &e, const fiber &own, handover before)
{
#if defined(ON_HOST_ASAN)
    const void *bottom = nullptr;
    size_t n_bytes = 0;
    __sanitizer_finish_switch_fiber(own.fake_stack, &bottom, &n_bytes);
    if (before >> 64 == reinterpret_cast<uintptr_t>(&e.main_context)) {
        e.main_stack = bottom;
        e.main_stack_bytes = n_bytes;
    }
#else
    (void)e, (void)own, (void)before;
#endif
}

/* Whoever runs has its context overwritten when it stops. */
__forceinline__ handover no_handover(fiber &own)
{
    return static_cast<handover>(reinterpret_cast<uintptr_t>(&own.context)) << 64;
}

__forceinline__ handover switch_to(executor &e, fiber &own, fiber &next)
{
    if (&own == &next) {
        return no_handover(own);
    }
    e.current = &next;
    threadIdx = next.thread;
#if defined(ON_HOST_ASAN)
    leave_for(own.fake_stack, next.stack, stack_bytes);
    handover before = on_host_jump(next.context, &own.context);
    note_arrival(e, own, before);
    return before;
#else
    return on_host_jump(next.context, &own.context);
#endif
}

__forceinline__ handover switch_to_main(executor &e, fiber &own)
{
    leave_for(own.fake_stack, e.main_stack, e.main_stack_bytes);
    handover before = on_host_jump(e.main_context, &own.context);
    note_arrival(e, own, before);
    return before;
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
__forceinline__ handover run_others(executor &e, const warp &w, fiber &own)
{
    if (__builtin_expect(w.runnable != 0, 1)) {
        return switch_to(e, own, fiber_in(e, own.warp, slot_of(w, own.lane)));
    }
    if (e.ready_warps != 0) {
        return switch_to(e, own, fiber_in(e, ready_warp(e), 0));
    }
    if (e.n_ended == e.n_threads) {
        return switch_to_main(e, own);
    }
    fail_stuck();
}

} // namespace on_host

#endif
