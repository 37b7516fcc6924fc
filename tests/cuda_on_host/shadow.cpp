/* Shared memory and what is known of it: who wrote and who read what since the last __syncthreads.
 * An access is wrong if it lies outside of its array, is misaligned, reads what nobody has written
 * in this block, touches what a cp.async may still write, or races: two threads, at least one of
 * them writing and not both atomically, with no __syncthreads between and, within a warp, no
 * __syncwarp either.
 *
 *   SH-1  Knowledge is kept in cells. The 16 bytes of a group share one cell until something
 *         smaller is accessed; then each unit of 8, 4, 2 or 1 bytes has its own, the cell of byte
 *         i in plane i. A write of all 16 bytes unites them again, and so does a read that finds
 *         nothing that could still matter.
 *   SH-2  Everything of an earlier interval (see executor.interval) is known to everyone. A cell
 *         whose group was last used by an earlier block says nothing. */
#include "block.h"

namespace on_host
{

namespace
{

constexpr uint16_t many = 0xFFFF; /* threads, or warps */
constexpr uint32_t n_groups = arena_bytes / 16;

enum class access { read, write, atomic };

cell &cell_at(executor &e, uint32_t i_group, uint32_t i_byte)
{
    return e.cells[i_byte * n_groups + i_group];
}

const fiber &thread_of(const executor &e, uint16_t i_thread)
{
    return e.fibers[i_thread];
}

/* What lane other did at time is known to thread. */
bool is_seen(const executor &e, const fiber &thread, unsigned other, uint32_t time)
{
    const warp &w = e.warps[thread.warp];
    return other == thread.lane || time < w.all_seen || time < w.seen[thread.lane][other];
}

void check_write_seen(const executor &e, const fiber &own, const cell &c, uint32_t at,
                      const char *verb)
{
    if (c.write_interval != e.interval || c.write_thread == own.linear) {
        return;
    }
    if (c.write_thread == many) {
        fail("race: %s shared memory at byte %u, where several threads act atomically, without a "
             "barrier between",
             verb, at);
    }
    const fiber &writer = thread_of(e, c.write_thread);
    if (writer.warp != own.warp || !is_seen(e, own, writer.lane, c.write_time)) {
        fail("race: %s shared memory at byte %u, which %s has written, without a barrier between",
             verb, at, thread_name(writer).text);
    }
}

void check_reads_seen(const executor &e, const fiber &own, const cell &c, uint32_t at)
{
    if (c.read_interval != e.interval) {
        return;
    }
    if (c.read_warp == many) {
        fail("race: writes shared memory at byte %u, which several warps have read, without a "
             "barrier between",
             at);
    }
    for (uint32_t left = c.read_lanes; left != 0; left &= left - 1) {
        unsigned lane = static_cast<unsigned>(__builtin_ctz(left));
        if (c.read_warp != own.warp || !is_seen(e, own, lane, c.read_time)) {
            fail("race: writes shared memory at byte %u, which %s has read, without a barrier "
                 "between",
                 at, thread_name(e.fibers[c.read_warp * 32u + lane]).text);
        }
    }
}

void note_read(const executor &e, const fiber &own, cell &c)
{
    const warp &w = e.warps[own.warp];
    bool is_first = c.read_interval != e.interval;
    if (!is_first && c.read_warp == own.warp && c.read_time != w.time) {
        is_first = true;
        for (uint32_t left = c.read_lanes; left != 0 && is_first; left &= left - 1) {
            is_first = is_seen(e, own, static_cast<unsigned>(__builtin_ctz(left)), c.read_time);
        }
    }
    if (is_first) {
        c.read_interval = e.interval;
        c.read_time = w.time;
        c.read_warp = static_cast<uint16_t>(own.warp);
        c.read_lanes = 1u << own.lane;
    } else if (c.read_warp == own.warp) {
        c.read_lanes |= 1u << own.lane;
    } else {
        c.read_warp = many;
    }
}

void note_write(const executor &e, const fiber &own, cell &c, bool atomic)
{
    bool beside_others =
        atomic && c.atomic && c.write_interval == e.interval && c.write_thread != own.linear;
    c.write_interval = e.interval;
    c.write_time = e.warps[own.warp].time;
    c.write_thread = beside_others ? many : static_cast<uint16_t>(own.linear);
    c.read_interval = 0;
    c.atomic = atomic;
    c.in_flight = false;
}

void check_cell(executor &e, const fiber &own, cell &c, uint32_t at, access kind)
{
    if (c.in_flight) {
        fail("%s shared memory at byte %u, to which a cp.async has not been waited for",
             kind == access::read ? "reads" : "writes", at);
    }
    if (kind != access::write && c.write_interval == 0) {
        fail("reads shared memory at byte %u, which nobody has written", at);
    }
    if (kind != access::atomic || !c.atomic) {
        check_write_seen(e, own, c, at, kind == access::read ? "reads" : "writes");
    }
    if (kind == access::read) {
        note_read(e, own, c);
        return;
    }
    check_reads_seen(e, own, c, at);
    note_write(e, own, c, kind == access::atomic);
}

/* Gives each n_bytes of the group a cell of its own. */
void split(executor &e, cell_group &group, uint32_t i_group, unsigned n_bytes)
{
    for (unsigned i = 0; i < 16; i += n_bytes) {
        unsigned whole = i & ~(group.unit - 1);
        if (i != whole) {
            cell_at(e, i_group, i) = cell_at(e, i_group, whole);
        }
    }
    group.unit = n_bytes;
}

/* Whether nothing that is known of the group could make a later access wrong (SH-1). */
bool is_quiet(executor &e, const cell_group &group, uint32_t i_group)
{
    for (unsigned i = 0; i < 16; i += group.unit) {
        const cell &c = cell_at(e, i_group, i);
        if (c.in_flight || c.write_interval == 0 || c.write_interval == e.interval ||
            c.read_interval == e.interval) {
            return false;
        }
    }
    return true;
}

cell_group &group_of(executor &e, uint32_t i_group)
{
    cell_group &group = e.groups[i_group];
    if (group.block != e.block_interval) {
        group.block = e.block_interval;
        group.unit = 16;
        cell_at(e, i_group, 0) = cell();
    }
    return group;
}

/* An aligned access of 1, 2, 4, 8 or 16 bytes. */
void check_part(executor &e, const fiber &own, uint32_t at, unsigned n_bytes, access kind)
{
    uint32_t i_group = at / 16;
    cell_group &group = group_of(e, i_group);
    if (n_bytes < group.unit) {
        split(e, group, i_group, n_bytes);
    } else if (n_bytes == 16 && group.unit < 16 && kind == access::read &&
               is_quiet(e, group, i_group)) {
        group.unit = 16;
    }
    for (unsigned i = 0; i < n_bytes; i += group.unit) {
        check_cell(e, own, cell_at(e, i_group, at % 16 + i), at + i, kind);
    }
    if (n_bytes == 16 && kind != access::read) {
        group.unit = 16;
    }
}

void check_place(const extent &where, unsigned n_bytes, unsigned alignment, const char *verb)
{
    if (where.at < where.begin || where.at > where.end || where.end - where.at < n_bytes) {
        fail("%s %u bytes of shared memory at byte %d, outside of its array, bytes %u to %u", verb,
             n_bytes, static_cast<int32_t>(where.at), where.begin, where.end);
    }
    if ((where.at & (alignment - 1)) != 0) {
        fail("%s %u bytes of shared memory at byte %u, which is no multiple of %u", verb, n_bytes,
             where.at, alignment);
    }
}

void check_access(const extent &where, unsigned n_bytes, unsigned alignment, access kind)
{
    executor &e = *running;
    check_place(where, n_bytes, alignment, kind == access::read ? "reads" : "writes");
    for (unsigned i = 0; i < n_bytes;) {
        unsigned at = where.at + i;
        unsigned part = 16;
        while ((at & (part - 1)) != 0 || part > n_bytes - i) {
            part /= 2;
        }
        check_part(e, *e.current, at, part, kind);
        i += part;
    }
}

} // namespace

extent dynamic_shared(uint32_t byte_offset)
{
    return {byte_offset, byte_offset, running->shared_bytes};
}

uint32_t place_static_shared(size_t n_bytes)
{
    static uint32_t end = dynamic_bytes_max;
    size_t rounded = (n_bytes + 15) / 16 * 16;
    uint32_t begin = __atomic_fetch_add(&end, static_cast<uint32_t>(rounded), __ATOMIC_SEQ_CST);
    if (rounded > arena_bytes || begin > arena_bytes - rounded) {
        fail("the static shared arrays of all kernels together need more than %u bytes",
             arena_bytes - dynamic_bytes_max);
    }
    return begin;
}

void shared_read(uint32_t from, uint32_t begin, uint32_t end, void *to, unsigned n_bytes,
                 unsigned alignment)
{
    check_access({from, begin, end}, n_bytes, alignment, access::read);
    memcpy(to, running->arena + from, n_bytes);
}

void shared_write(uint32_t to, uint32_t begin, uint32_t end, const void *from, unsigned n_bytes,
                  unsigned alignment)
{
    check_access({to, begin, end}, n_bytes, alignment, access::write);
    memcpy(running->arena + to, from, n_bytes);
}

void *shared_atomic(const extent &at, unsigned n_bytes, unsigned alignment)
{
    check_access(at, n_bytes, alignment, access::atomic);
    return running->arena + at.at;
}

const void *aligned_16(const void *global)
{
    if (reinterpret_cast<uintptr_t>(global) % 16 != 0) {
        fail("accesses 16 bytes of global memory at %p, which is no multiple of 16", global);
    }
    return global;
}

/* The copy is made when it is waited for, as late as it may happen; from now on, as it may happen
 * from now on, it counts as a write. */
void copy_async(const extent &to, const void *global)
{
    executor &e = *running;
    fiber &own = *e.current;
    check_access(to, 16, 16, access::write);
    cell_at(e, to.at / 16, 0).in_flight = true;
    static_cast<void>(*static_cast<const volatile char *>(aligned_16(global)));
    own.copies.push_back({to, global, own.n_groups});
}

void copy_async_commit()
{
    running->current->n_groups++;
}

void finish_copies(fiber &thread, unsigned n_pending)
{
    executor &e = *running;
    size_t n_left = 0;
    for (const pending_copy &copy : thread.copies) {
        if (copy.i_group + n_pending >= thread.n_groups) {
            thread.copies[n_left++] = copy;
            continue;
        }
        memcpy(e.arena + copy.to.at, copy.from, 16);
        note_write(e, thread, cell_at(e, copy.to.at / 16, 0), false);
    }
    thread.copies.resize(n_left);
}

void copy_async_wait(unsigned n_pending)
{
    finish_copies(*running->current, n_pending);
}

} // namespace on_host
