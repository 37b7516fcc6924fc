/* What is said when a kernel does something wrong, and in whose name. Nothing here may leave
 * memory behind on a fiber's stack: the fiber is given up. */
#include "block.h"

#include <cstdio>

namespace on_host
{

words thread_name(const fiber &thread)
{
    words result;
    snprintf(result.text, sizeof result.text, "thread (%u, %u, %u)", thread.thread.x,
             thread.thread.y, thread.thread.z);
    return result;
}

words at_site(const char *file, int line)
{
    words result = {};
    if (file != nullptr) {
        const char *slash = strrchr(file, '/');
        snprintf(result.text, sizeof result.text, " at %.100s:%d",
                 slash != nullptr ? slash + 1 : file, line);
    }
    return result;
}

namespace
{

[[noreturn]] void end_grid(cudaError_t status, const char *format, va_list arguments)
{
    const executor &e = *running;
    const fiber &own = *e.current;
    char what[600];
    vsnprintf(what, sizeof what, format, arguments);
    bool says_where = own.file == nullptr || strstr(what, " at ") != nullptr;
    char sentence[1000];
    snprintf(sentence, sizeof sentence, "%s, block (%u, %u, %u), %s: %s%s%s%s",
             kernel_name(e.kernel).c_str(), blockIdx.x, blockIdx.y, blockIdx.z,
             thread_name(own).text, what, says_where ? "" : " (behind",
             says_where ? "" : at_site(own.file, own.line).text, says_where ? "" : ")");
    report_error(sentence);
    give_up_grid(status);
}

/* The first thread of the block that is in one of these sets of lanes; null if none is. */
const fiber *first_in(const executor &e, uint32_t warp::*lanes)
{
    for (unsigned i = 0; i < e.n_threads; i++) {
        if ((e.warps[i / 32].*lanes >> i % 32 & 1) != 0) {
            return &e.fibers[i];
        }
    }
    return nullptr;
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

void fail_stuck()
{
    const executor &e = *running;
    const fiber *waiter = first_in(e, &warp::waiting);
    if (waiter == nullptr) {
        const fiber *first = first_in(e, &warp::at_barrier);
        fail("%u of %u threads wait in __syncthreads%s; %s has ended", e.n_at_barrier, e.n_threads,
             at_site(first->file, first->line).text, thread_name(*first_in(e, &warp::ended)).text);
    }
    const operation &wanted = *waiter->waiting;
    const warp &w = e.warps[waiter->warp];
    const fiber *lanes = &e.fibers[waiter->warp * 32];
    unsigned lane = 0;
    for (unsigned i = 0; i < 32; i++) {
        bool comes = (w.waiting >> i & 1) != 0 && is_same(*lanes[i].waiting, wanted);
        lane = (wanted.mask >> i & 1) != 0 && !comes ? i : lane;
    }
    const char *there = "which the block does not have";
    words where = {};
    if ((w.ended >> lane & 1) != 0) {
        there = "which has ended";
    } else if ((w.at_barrier >> lane & 1) != 0) {
        there = "which waits in __syncthreads";
        where = at_site(lanes[lane].file, lanes[lane].line);
    } else if ((w.waiting >> lane & 1) != 0) {
        there = "which waits in another one";
        where = at_site(lanes[lane].file, lanes[lane].line);
    }
    fail("%s%s (mask %08x) waits for lane %u, %s%s", name_of(wanted.kind),
         at_site(wanted.file, wanted.line).text, wanted.mask, lane, there, where.text);
}

void fail_unnamed(const operation &own)
{
    fail("%s%s: the mask %08x does not name the lane itself", name_of(own.kind),
         at_site(own.file, own.line).text, own.mask);
}

void fail_diverged(const operation &own, const operation &other, unsigned lane)
{
    fail("%s%s (mask %08x), but lane %u of the same warp is in %s%s (mask %08x)", name_of(own.kind),
         at_site(own.file, own.line).text, own.mask, lane, name_of(other.kind),
         at_site(other.file, other.line).text, other.mask);
}

} // namespace on_host
