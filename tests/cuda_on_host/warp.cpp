/* What the lanes of a warp do together: __syncwarp, shuffles, votes, reductions. Lanes meet in
 * block.cpp; the last one comes here and does the work of all. */
#include "fibers.h"

#include <algorithm>

namespace on_host
{

const char *name_of(collective kind)
{
    switch (kind) {
    case collective::sync:
        return "__syncwarp";
    case collective::shuffle:
        return "__shfl_sync";
    case collective::shuffle_up:
        return "__shfl_up_sync";
    case collective::shuffle_down:
        return "__shfl_down_sync";
    case collective::shuffle_xor:
        return "__shfl_xor_sync";
    case collective::ballot:
        return "__ballot_sync";
    case collective::any:
        return "__any_sync";
    case collective::all:
        return "__all_sync";
    case collective::reduce_add:
        return "__reduce_add_sync";
    case collective::reduce_min:
        return "__reduce_min_sync";
    case collective::reduce_max:
        return "__reduce_max_sync";
    case collective::mma:
        return "mma_m16n8k16";
    case collective::ldmatrix:
        return "ldmatrix";
    }
    return "?";
}

void order_lanes(warp &w, uint32_t mask)
{
    w.time++;
    if (mask == ~0u) {
        w.all_seen = w.time;
        return;
    }
    uint32_t joined[32] = {0};
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const uint32_t *seen = w.seen[__builtin_ctz(left)];
        for (unsigned i = 0; i < 32; i++) {
            joined[i] = std::max(joined[i], seen[i]);
        }
    }
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        joined[__builtin_ctz(left)] = w.time;
    }
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        memcpy(w.seen[__builtin_ctz(left)], joined, sizeof joined);
    }
}

namespace
{

/* The lane that a shuffle reads from, by CUDA's rules: its own where the source lies outside of the
 * lane's segment of width lanes. */
unsigned source_lane(const operation &part, unsigned lane)
{
    unsigned first = lane & ~(part.width - 1);
    unsigned last = first + part.width - 1;
    unsigned source = lane;
    switch (part.kind) {
    case collective::shuffle:
        source = first | (part.operand & (part.width - 1));
        break;
    case collective::shuffle_up:
        source = part.operand > lane - first ? lane : lane - part.operand;
        break;
    case collective::shuffle_down:
        source = part.operand > last - lane ? lane : lane + part.operand;
        break;
    default:
        source = lane ^ (part.operand & 31);
        source = source > last ? lane : source;
        break;
    }
    return source;
}

void complete_shuffle(const fiber *lanes, uint32_t mask)
{
    uint64_t values[32] = {0};
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        int lane = __builtin_ctz(left);
        values[lane] = lanes[lane].waiting->value;
    }
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        unsigned lane = static_cast<unsigned>(__builtin_ctz(left));
        operation &part = *lanes[lane].waiting;
        if (part.width == 0 || part.width > 32 || (part.width & (part.width - 1)) != 0) {
            fail("%s%s: a width of %u", name_of(part.kind), at_site(part.file, part.line).text,
                 part.width);
        }
        unsigned source = source_lane(part, lane);
        if ((mask >> source & 1) == 0) {
            fail("%s%s: lane %u reads lane %u, which the mask %08x does not name",
                 name_of(part.kind), at_site(part.file, part.line).text, lane, source, mask);
        }
        part.value = values[source];
    }
}

void complete_vote(const fiber *lanes, uint32_t mask, collective kind)
{
    uint32_t result = kind == collective::reduce_min ? ~0u : 0;
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        int lane = __builtin_ctz(left);
        uint32_t value = static_cast<uint32_t>(lanes[lane].waiting->value);
        switch (kind) {
        case collective::reduce_add:
            result += value;
            break;
        case collective::reduce_min:
            result = std::min(result, value);
            break;
        case collective::reduce_max:
            result = std::max(result, value);
            break;
        default:
            result |= value << lane;
            break;
        }
    }
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        lanes[__builtin_ctz(left)].waiting->value = result;
    }
}

/* Whether all of these lanes, which wait, wait with this operation. Those that wait with another
 * mask may have others to meet before they come to it. */
bool agree(const fiber *lanes, uint32_t others, const operation &part)
{
    bool all_do = true;
    for (uint32_t left = others; left != 0; left &= left - 1) {
        const fiber &other = lanes[__builtin_ctz(left)];
        if (!is_same(*other.waiting, part)) {
            all_do = false;
            if (other.waiting->mask == part.mask) {
                fail_diverged(part, *other.waiting, other.lane);
            }
        }
    }
    return all_do;
}

} // namespace

void complete(executor &e, fiber *lanes, const operation &part)
{
    switch (part.kind) {
    case collective::sync:
        order_lanes(e.warps[lanes->warp], part.mask);
        break;
    case collective::shuffle:
    case collective::shuffle_up:
    case collective::shuffle_down:
    case collective::shuffle_xor:
        complete_shuffle(lanes, part.mask);
        break;
    case collective::mma:
        complete_mma(lanes);
        break;
    case collective::ldmatrix:
        complete_ldmatrix(lanes);
        break;
    default:
        complete_vote(lanes, part.mask, part.kind);
        break;
    }
}

handover enter_operation(operation &part)
{
    executor &e = *running;
    fiber &own = *e.current;
    warp &w = e.warps[own.warp];
    fiber *lanes = &e.fibers[own.warp * 32];
    own.file = part.file;
    own.line = part.line;
    own.waiting = &part;
    uint32_t bit = 1u << own.lane;
    if ((part.mask & bit) == 0) {
        fail_unnamed(part);
    }
    uint32_t others = w.waiting & part.mask;
    bool all_agree = true;
    /* While all that wait agree, one look at the last of them is enough. */
    if (others != 0 && (w.is_mixed || !is_same(w.last, part))) {
        w.is_mixed = true;
        all_agree = agree(lanes, others, part);
    }
    w.waiting |= bit;
    if ((w.waiting & part.mask) != part.mask || !all_agree) {
        w.last.kind = part.kind;
        w.last.mask = part.mask;
        w.last.line = part.line;
        stop_running(e, w, own);
        return run_others(e, w, own);
    }
    complete(e, lanes, part);
    w.waiting &= ~part.mask;
    w.is_mixed = w.is_mixed && w.waiting != 0;
    make_runnable(e, w, own.warp, part.mask);
    if (e.seed != 0 && next_random(e) % 8 == 0) {
        unsigned i_warp = ready_warp(e);
        unsigned first_slot = i_warp == own.warp ? slot_of(w, own.lane) : 0;
        return switch_to(e, own, fiber_in(e, i_warp, first_slot));
    }
    return no_handover(own);
}

} // namespace on_host
