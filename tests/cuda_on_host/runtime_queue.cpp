/* Streams and events. A stream is a queue of operations that stay there until something demands
 * them (RT-1); the thread that demands runs them. An operation waits only for what was queued
 * before it, so threads that wait for each other's streams never do so in a circle. */
#include "runtime_state.h"

#include <algorithm>

namespace on_host
{

namespace
{

constexpr unsigned n_queries_answered = 3;

bool is_pending(const stream &what)
{
    return what.n_done < what.n_queued;
}

std::shared_ptr<point> end_of(const std::shared_ptr<stream> &what)
{
    auto end = std::make_shared<point>();
    end->of = what;
    end->n_operations = what->n_queued;
    return end;
}

void push(const std::shared_ptr<stream> &to, operation &&what)
{
    to->queue.push_back(std::move(what));
    to->n_queued++;
}

/* The legacy default stream waits for blocking streams, and they for it. */
void join_default(runtime &all, const std::shared_ptr<stream> &to)
{
    device_state &device = all.devices[to->device];
    if (to->is_default) {
        for (const std::shared_ptr<stream> &each : device.streams) {
            if (each != to && each->is_blocking && is_pending(*each)) {
                push(to, {operation::kind::wait, nullptr, end_of(each)});
            }
        }
    } else if (to->is_blocking && is_pending(*device.default_stream)) {
        push(to, {operation::kind::wait, nullptr, end_of(device.default_stream)});
    }
}

cudaError_t queue_operation(runtime &all, held_lock &lock, const std::shared_ptr<stream> &to,
                            operation &&what)
{
    cudaError_t status = all.devices[to->device].broken_by;
    if (status == cudaSuccess && to->is_default) {
        status = check_legacy(all, to->device);
    }
    if (status != cudaSuccess) {
        return status;
    }
    join_default(all, to);
    push(to, std::move(what));
    if (!all.is_late) {
        drain(all, lock, to, to->n_queued);
    }
    return cudaSuccess;
}

/* Runs one operation, off the queue; the lock is open while work runs. */
void run(runtime &all, held_lock &lock, int device, operation &what)
{
    if (what.what == operation::kind::record) {
        what.at->reached_at = std::chrono::steady_clock::now();
        return;
    }
    if (all.devices[device].broken_by != cudaSuccess) {
        return;
    }
    if (what.what == operation::kind::wait) {
        drain(all, lock, what.at->of, what.at->n_operations);
        return;
    }
    all.n_works++;
    cudaError_t status = cudaSuccess;
    if (all.fail_at_work != 0 && --all.fail_at_work == 0) {
        status = all.fail_work_with;
    } else {
        lock.unlock();
        status = what.work();
        what.work = nullptr;
        lock.lock();
    }
    if (status != cudaSuccess) {
        break_device(all, device, status);
    }
}

void forget_finished(runtime &all)
{
    for (device_state &device : all.devices) {
        auto is_finished = [](const std::shared_ptr<stream> &each) {
            return each->is_destroyed && !is_pending(*each);
        };
        device.streams.erase(
            std::remove_if(device.streams.begin(), device.streams.end(), is_finished),
            device.streams.end());
    }
}

cudaError_t create_stream(cudaStream_t *out, unsigned flags)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &) {
        if ((flags & ~unsigned{cudaStreamNonBlocking}) != 0) {
            return cudaErrorInvalidValue;
        }
        forget_finished(all);
        auto made = std::make_shared<stream>();
        made->device = this_thread().device;
        made->is_blocking = (flags & cudaStreamNonBlocking) == 0;
        *out = new_handle<cudaStream_t>(all);
        all.streams[*out] = made;
        all.devices[made->device].streams.push_back(made);
        return cudaSuccess;
    });
}

/* Whether a place in a queue is reached; asked often enough, it is made to be. */
cudaError_t query(runtime &all, held_lock &lock, const std::shared_ptr<stream> &of,
                  uint64_t n_operations, unsigned *n_queries)
{
    if (of->n_done < n_operations) {
        if (++*n_queries <= n_queries_answered) {
            return cudaErrorNotReady;
        }
        drain(all, lock, of, n_operations);
    }
    return all.devices[of->device].broken_by;
}

std::shared_ptr<event> find_event(runtime &all, cudaEvent_t handle)
{
    auto found = all.events.find(handle);
    return found != all.events.end() ? found->second : nullptr;
}

/* An event that the host asks about may not be part of a capture, which ends if it goes on. */
cudaError_t check_event(const std::shared_ptr<event> &what)
{
    if (what == nullptr) {
        return cudaErrorInvalidResourceHandle;
    }
    if (!what->is_captured) {
        return cudaSuccess;
    }
    std::shared_ptr<capture> in = what->captured_in.lock();
    return in != nullptr ? invalidate(in, cudaErrorCapturedEvent) : cudaErrorCapturedEvent;
}

} // namespace

std::shared_ptr<stream> find_stream(runtime &all, cudaStream_t handle)
{
    if (handle == nullptr || handle == cudaStreamLegacy) {
        return all.devices[this_thread().device].default_stream;
    }
    auto found = all.streams.find(handle);
    return found != all.streams.end() ? found->second : nullptr;
}

cudaError_t queue_work(runtime &all, held_lock &lock, const std::shared_ptr<stream> &to,
                       work_function work)
{
    if (to->capturing != nullptr) {
        if (!to->capturing->is_valid) {
            return cudaErrorStreamCaptureInvalidated;
        }
        to->capturing->nodes.push_back(std::move(work));
        return cudaSuccess;
    }
    return queue_operation(all, lock, to, {operation::kind::work, std::move(work), nullptr});
}

void drain(runtime &all, held_lock &lock, const std::shared_ptr<stream> &what,
           uint64_t n_operations)
{
    uint64_t n_resets = all.n_resets;
    while (what->n_done < n_operations && n_resets == all.n_resets) {
        if (what->is_running) {
            all.changed.wait(lock);
            continue;
        }
        what->is_running = true;
        operation next = std::move(what->queue.front());
        what->queue.pop_front();
        run(all, lock, what->device, next);
        what->n_done++;
        what->is_running = false;
        all.changed.notify_all();
    }
}

cudaError_t drain_all(runtime &all, held_lock &lock, const std::shared_ptr<stream> &what)
{
    drain(all, lock, what, what->n_queued);
    return all.devices[what->device].broken_by;
}

cudaError_t enqueue(cudaStream_t handle, std::function<cudaError_t()> work)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &lock) {
        std::shared_ptr<stream> to = find_stream(all, handle);
        if (to == nullptr || to->device != this_thread().device) {
            return cudaErrorInvalidResourceHandle;
        }
        return queue_work(all, lock, to, std::move(work));
    });
}

} // namespace on_host

using namespace on_host;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return create_stream(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags)
{
    return create_stream(stream, flags);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags, int)
{
    return create_stream(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle)
{
    return api_call(CALL_FREES, [&](runtime &all, held_lock &) {
        auto found = all.streams.find(handle);
        if (found == all.streams.end()) {
            return cudaErrorInvalidResourceHandle;
        }
        std::shared_ptr<on_host::stream> gone = found->second;
        if (gone->capturing != nullptr) {
            invalidate(gone->capturing, cudaSuccess);
            auto &captures = all.captures;
            captures.erase(std::remove(captures.begin(), captures.end(), gone->capturing),
                           captures.end());
            gone->capturing = nullptr;
        }
        gone->is_destroyed = true;
        all.streams.erase(found);
        forget_finished(all);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle)
{
    return api_call(CALL_UNSAFE, [&](runtime &all, held_lock &lock) {
        std::shared_ptr<on_host::stream> with = find_stream(all, handle);
        if (with == nullptr) {
            return cudaErrorInvalidResourceHandle;
        }
        cudaError_t status = check_synchronise(all, with.get(), with->device);
        if (status != cudaSuccess) {
            return status;
        }
        if (with->is_default) {
            join_default(all, with);
        }
        return drain_all(all, lock, with);
    });
}

cudaError_t cudaStreamQuery(cudaStream_t handle)
{
    return api_call(CALL_UNSAFE, [&](runtime &all, held_lock &lock) {
        std::shared_ptr<on_host::stream> of = find_stream(all, handle);
        if (of == nullptr) {
            return cudaErrorInvalidResourceHandle;
        }
        cudaError_t status = check_synchronise(all, of.get(), of->device);
        if (status != cudaSuccess) {
            return status;
        }
        if (of->queried_at != of->n_queued) {
            of->queried_at = of->n_queued;
            of->n_queries = 0;
        }
        return query(all, lock, of, of->n_queued, &of->n_queries);
    });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned int flags)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &lock) {
        std::shared_ptr<on_host::stream> waiting = find_stream(all, handle);
        std::shared_ptr<on_host::event> what = find_event(all, event);
        if (waiting == nullptr || what == nullptr) {
            return cudaErrorInvalidResourceHandle;
        }
        if (flags != cudaEventWaitDefault) {
            return cudaErrorInvalidValue;
        }
        if (waiting->capturing != nullptr) {
            bool is_own = what->is_captured && what->captured_in.lock() == waiting->capturing;
            return is_own ? cudaSuccess
                          : invalidate(waiting->capturing, cudaErrorStreamCaptureIsolation);
        }
        cudaError_t status = check_event(what);
        if (status != cudaSuccess || what->recorded == nullptr) {
            return status;
        }
        return queue_operation(all, lock, waiting,
                               {operation::kind::wait, nullptr, what->recorded});
    });
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &) {
        if ((flags & ~unsigned{cudaEventBlockingSync | cudaEventDisableTiming}) != 0) {
            return cudaErrorInvalidValue;
        }
        auto made = std::make_shared<on_host::event>();
        made->device = this_thread().device;
        made->has_time = (flags & cudaEventDisableTiming) == 0;
        *event = new_handle<cudaEvent_t>(all);
        all.events[*event] = made;
        return cudaSuccess;
    });
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    return api_call(CALL_FREES, [&](runtime &all, held_lock &) {
        return all.events.erase(event) == 1 ? cudaSuccess : cudaErrorInvalidResourceHandle;
    });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &lock) {
        std::shared_ptr<on_host::stream> on = find_stream(all, handle);
        std::shared_ptr<on_host::event> what = find_event(all, event);
        if (on == nullptr || what == nullptr || on->device != what->device) {
            return cudaErrorInvalidResourceHandle;
        }
        if (on->capturing != nullptr) {
            if (!on->capturing->is_valid) {
                return cudaErrorStreamCaptureInvalidated;
            }
            what->is_captured = true;
            what->captured_in = on->capturing;
            return cudaSuccess;
        }
        auto place = std::make_shared<point>();
        place->of = on;
        cudaError_t status = all.devices[on->device].broken_by;
        if (status == cudaSuccess && on->is_default) {
            status = check_legacy(all, on->device);
        }
        if (status != cudaSuccess) {
            return status;
        }
        join_default(all, on);
        place->n_operations = on->n_queued + 1;
        push(on, {operation::kind::record, nullptr, place});
        what->is_captured = false;
        what->recorded = place;
        if (!all.is_late) {
            drain(all, lock, on, on->n_queued);
        }
        return cudaSuccess;
    });
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return api_call(CALL_UNSAFE, [&](runtime &all, held_lock &lock) {
        std::shared_ptr<on_host::event> what = find_event(all, event);
        cudaError_t status = check_event(what);
        if (status != cudaSuccess || what->recorded == nullptr) {
            return status;
        }
        std::shared_ptr<point> at = what->recorded;
        return query(all, lock, at->of, at->n_operations, &at->n_queries);
    });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    return api_call(CALL_UNSAFE, [&](runtime &all, held_lock &lock) {
        std::shared_ptr<on_host::event> what = find_event(all, event);
        cudaError_t status = check_event(what);
        if (status != cudaSuccess || what->recorded == nullptr) {
            return status;
        }
        std::shared_ptr<point> at = what->recorded;
        drain(all, lock, at->of, at->n_operations);
        return all.devices[at->of->device].broken_by;
    });
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &) {
        std::shared_ptr<on_host::event> events[2] = {find_event(all, start), find_event(all, end)};
        for (const std::shared_ptr<on_host::event> &each : events) {
            cudaError_t status = check_event(each);
            if (status != cudaSuccess) {
                return status;
            }
            if (!each->has_time || each->recorded == nullptr) {
                return cudaErrorInvalidResourceHandle;
            }
            if (each->recorded->of->n_done < each->recorded->n_operations) {
                return cudaErrorNotReady;
            }
        }
        std::chrono::duration<float, std::milli> between =
            events[1]->recorded->reached_at - events[0]->recorded->reached_at;
        *milliseconds = between.count();
        return cudaSuccess;
    });
}
}
