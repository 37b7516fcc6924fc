/* Copies and fills. Where memory must be is checked as they are queued, and again as they run, for
 * memory that was freed in between. */
#include "runtime_state.h"

#include <cstdio>
#include <cstring>

namespace on_host
{

namespace
{

struct rectangle {
    void *memory;
    size_t pitch;
    size_t width;
    size_t height;

    size_t bytes() const
    {
        return (height - 1) * pitch + width;
    }
};

bool is_host(memory_kind kind)
{
    return kind != memory_kind::device && kind != memory_kind::none;
}

bool kinds_fit(memory_kind to, memory_kind from, cudaMemcpyKind kind)
{
    bool to_host = kind == cudaMemcpyHostToHost || kind == cudaMemcpyDeviceToHost;
    bool from_host = kind == cudaMemcpyHostToHost || kind == cudaMemcpyHostToDevice;
    if (to == memory_kind::none || from == memory_kind::none) {
        return false;
    }
    return kind == cudaMemcpyDefault || (to_host == is_host(to) && from_host == is_host(from));
}

/* As it runs: all of it must still be what it was. */
bool is_still(const rectangle &what, memory_kind kind, const char *of)
{
    bool is_same = false;
    {
        runtime &all = the_runtime();
        held_lock lock(all.lock);
        is_same = kind == memory_kind::pageable || kind_of(all, what.memory, what.bytes()) == kind;
    }
    if (!is_same) {
        char text[200];
        snprintf(text, sizeof text, "%s %zu bytes at %p, which were freed before it ran", of,
                 what.bytes(), what.memory);
        report_error(text);
    }
    return is_same;
}

void copy_rows(const rectangle &to, const rectangle &from)
{
    for (size_t i = 0; i < to.height; i++) {
        memmove(static_cast<char *>(to.memory) + i * to.pitch,
                static_cast<const char *>(from.memory) + i * from.pitch, to.width);
    }
}

/* Pageable memory, gathered without its gaps. */
std::shared_ptr<std::vector<char>> snapshot(const rectangle &from)
{
    auto taken = std::make_shared<std::vector<char>>(from.width * from.height);
    copy_rows({taken->data(), from.width, from.width, from.height}, from);
    return taken;
}

cudaError_t queue_copy(runtime &all, held_lock &lock, const std::shared_ptr<stream> &on,
                       const rectangle &to, const rectangle &from, cudaMemcpyKind kind,
                       bool is_blocking)
{
    memory_kind to_kind = kind_of(all, to.memory, to.bytes());
    memory_kind from_kind = kind_of(all, from.memory, from.bytes());
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) {
        return cudaErrorInvalidMemcpyDirection;
    }
    if (!kinds_fit(to_kind, from_kind, kind)) {
        return cudaErrorInvalidValue;
    }
    bool is_pageable = to_kind == memory_kind::pageable || from_kind == memory_kind::pageable;
    if (on->capturing != nullptr && is_pageable) {
        return invalidate(on->capturing, cudaErrorStreamCaptureUnsupported);
    }
    bool blocks = is_blocking || to_kind == memory_kind::pageable;
    std::shared_ptr<std::vector<char>> taken;
    rectangle source = from;
    if (from_kind == memory_kind::pageable && !blocks) {
        taken = snapshot(from);
        source = {taken->data(), from.width, from.width, from.height};
    }
    cudaError_t status = queue_work(all, lock, on, [=] {
        if (!is_still(to, to_kind, "a copy to") || !is_still(source, from_kind, "a copy from")) {
            return cudaErrorIllegalAddress;
        }
        static_cast<void>(taken); /* lives as long as this */
        copy_rows(to, source);
        return cudaSuccess;
    });
    return status == cudaSuccess && blocks ? drain_all(all, lock, on) : status;
}

cudaError_t queue_fill(runtime &all, held_lock &lock, const std::shared_ptr<stream> &on,
                       const rectangle &what, int value)
{
    memory_kind kind = kind_of(all, what.memory, what.bytes());
    if (kind != memory_kind::device && kind != memory_kind::pinned) {
        return cudaErrorInvalidValue;
    }
    return queue_work(all, lock, on, [=] {
        if (!is_still(what, kind, "a fill of")) {
            return cudaErrorIllegalAddress;
        }
        for (size_t i = 0; i < what.height; i++) {
            memset(static_cast<char *>(what.memory) + i * what.pitch, value, what.width);
        }
        return cudaSuccess;
    });
}

/* Of the parameters of a copy or fill: nothing to do, something wrong, or neither. */
enum class extent { empty, wrong, fine };

extent check_extent(const rectangle &what)
{
    size_t bytes = 0;
    if (what.width > what.pitch ||
        __builtin_mul_overflow(what.pitch, what.height == 0 ? 1 : what.height, &bytes)) {
        return extent::wrong;
    }
    return what.width == 0 || what.height == 0 ? extent::empty : extent::fine;
}

cudaError_t copy(const rectangle &to, const rectangle &from, cudaMemcpyKind kind,
                 cudaStream_t handle, bool is_blocking)
{
    return api_call(is_blocking ? CALL_UNSAFE : CALL_PLAIN, [&](runtime &all, held_lock &lock) {
        std::shared_ptr<stream> on = find_stream(all, handle);
        if (on == nullptr) {
            return cudaErrorInvalidResourceHandle;
        }
        extent extents[2] = {check_extent(to), check_extent(from)};
        if (extents[0] == extent::wrong || extents[1] == extent::wrong) {
            return cudaErrorInvalidPitchValue;
        }
        if (extents[0] == extent::empty) {
            return cudaSuccess;
        }
        /* CUDA does not block for a copy from device to device. */
        bool is_within = is_host(kind_of(all, to.memory, to.bytes())) ||
                         is_host(kind_of(all, from.memory, from.bytes()));
        return queue_copy(all, lock, on, to, from, kind, is_blocking && is_within);
    });
}

cudaError_t fill(const rectangle &what, int value, cudaStream_t handle)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &lock) {
        std::shared_ptr<stream> on = find_stream(all, handle);
        if (on == nullptr) {
            return cudaErrorInvalidResourceHandle;
        }
        extent found = check_extent(what);
        if (found != extent::fine) {
            return found == extent::empty ? cudaSuccess : cudaErrorInvalidPitchValue;
        }
        return queue_fill(all, lock, on, what, value);
    });
}

rectangle line(const void *memory, size_t n_bytes)
{
    return {const_cast<void *>(memory), n_bytes, n_bytes, 1};
}

rectangle block(const void *memory, size_t pitch, size_t width, size_t height)
{
    return {const_cast<void *>(memory), pitch, width, height};
}

} // namespace

} // namespace on_host

using namespace on_host;

extern "C" {

cudaError_t cudaMemcpy(void *to, const void *from, size_t n_bytes, enum cudaMemcpyKind kind)
{
    return copy(line(to, n_bytes), line(from, n_bytes), kind, nullptr, true);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n_bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    return copy(line(to, n_bytes), line(from, n_bytes), kind, stream, false);
}

cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                         size_t width, size_t height, enum cudaMemcpyKind kind)
{
    return copy(block(to, to_pitch, width, height), block(from, from_pitch, width, height), kind,
                nullptr, true);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    return copy(block(to, to_pitch, width, height), block(from, from_pitch, width, height), kind,
                stream, false);
}

cudaError_t cudaMemset(void *pointer, int value, size_t n_bytes)
{
    return fill(line(pointer, n_bytes), value, nullptr);
}

cudaError_t cudaMemsetAsync(void *pointer, int value, size_t n_bytes, cudaStream_t stream)
{
    return fill(line(pointer, n_bytes), value, stream);
}

cudaError_t cudaMemset2DAsync(void *pointer, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream)
{
    return fill(block(pointer, pitch, width, height), value, stream);
}
}
