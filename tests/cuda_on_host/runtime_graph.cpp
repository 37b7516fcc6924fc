/* Captures and graphs. A capture is the list of what would have been queued, in that order, which
 * is one that all its dependencies allow; a graph is such a list, and its launch one piece of work.
 */
#include "runtime_state.h"

#include <algorithm>

namespace on_host
{

namespace
{

void end_capture(runtime &all, const std::shared_ptr<stream> &of)
{
    auto &captures = all.captures;
    captures.erase(std::remove(captures.begin(), captures.end(), of->capturing), captures.end());
    of->capturing = nullptr;
}

bool is_own_restrictive(const capture &what)
{
    return what.thread == std::this_thread::get_id() && what.mode != cudaStreamCaptureModeRelaxed;
}

} // namespace

cudaError_t invalidate(const std::shared_ptr<capture> &what, cudaError_t why)
{
    what->is_valid = false;
    return why;
}

cudaError_t check_unsafe(runtime &all)
{
    cudaStreamCaptureMode mode = this_thread().mode;
    cudaError_t status = cudaSuccess;
    if (mode == cudaStreamCaptureModeRelaxed) {
        return status;
    }
    for (const std::shared_ptr<capture> &each : all.captures) {
        bool is_in_the_way =
            is_own_restrictive(*each) ||
            (mode == cudaStreamCaptureModeGlobal && each->mode == cudaStreamCaptureModeGlobal);
        if (is_in_the_way) {
            status = invalidate(each, cudaErrorStreamCaptureUnsupported);
        }
    }
    return status;
}

cudaError_t check_synchronise(runtime &all, const stream *with, int device)
{
    if (with != nullptr && with->is_default) {
        return check_legacy(all, device);
    }
    cudaError_t status = cudaSuccess;
    for (const std::shared_ptr<capture> &each : all.captures) {
        bool is_part = with != nullptr ? with->capturing == each : each->device == device;
        if (is_part) {
            status = invalidate(each, cudaErrorStreamCaptureUnsupported);
        }
    }
    return status;
}

cudaError_t check_legacy(runtime &all, int device)
{
    cudaError_t status = cudaSuccess;
    for (const std::shared_ptr<capture> &each : all.captures) {
        if (is_own_restrictive(*each)) {
            status = invalidate(each, cudaErrorStreamCaptureUnsupported);
        } else if (each->of_blocking_stream && each->device == device) {
            status = invalidate(each, cudaErrorStreamCaptureImplicit);
        }
    }
    return status;
}

} // namespace on_host

using namespace on_host;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, enum cudaStreamCaptureMode mode)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &) {
        std::shared_ptr<stream> of = find_stream(all, handle);
        if (of == nullptr) {
            return cudaErrorInvalidResourceHandle;
        }
        if (of->is_default) {
            return cudaErrorStreamCaptureUnsupported;
        }
        if (of->capturing != nullptr) {
            return cudaErrorIllegalState;
        }
        of->capturing = std::make_shared<capture>();
        of->capturing->mode = mode;
        of->capturing->thread = std::this_thread::get_id();
        of->capturing->device = of->device;
        of->capturing->is_valid = true;
        of->capturing->of_blocking_stream = of->is_blocking;
        all.captures.push_back(of->capturing);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph)
{
    *graph = nullptr;
    cudaError_t status = api_call(CALL_FREES, [&](runtime &all, held_lock &) {
        std::shared_ptr<stream> of = find_stream(all, handle);
        if (of == nullptr) {
            return cudaErrorInvalidResourceHandle;
        }
        if (of->capturing == nullptr) {
            return cudaErrorIllegalState;
        }
        std::shared_ptr<capture> ended = of->capturing;
        if (ended->mode != cudaStreamCaptureModeRelaxed &&
            ended->thread != std::this_thread::get_id()) {
            return cudaErrorStreamCaptureWrongThread;
        }
        end_capture(all, of);
        if (!ended->is_valid) {
            return cudaErrorStreamCaptureInvalidated;
        }
        *graph = new_handle<cudaGraph_t>(all);
        all.graphs[*graph] = {ended->device,
                              std::make_shared<const work_list>(std::move(ended->nodes))};
        return cudaSuccess;
    });
    if (status != cudaSuccess && *graph != nullptr) { /* it failed from outside */
        runtime &all = the_runtime();
        held_lock lock(all.lock);
        all.graphs.erase(*graph);
        *graph = nullptr;
    }
    return status;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, enum cudaStreamCaptureStatus *status)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &) {
        std::shared_ptr<stream> of = find_stream(all, handle);
        if (of == nullptr) {
            return cudaErrorInvalidResourceHandle;
        }
        *status = of->capturing == nullptr  ? cudaStreamCaptureStatusNone
                  : of->capturing->is_valid ? cudaStreamCaptureStatusActive
                                            : cudaStreamCaptureStatusInvalidated;
        return cudaSuccess;
    });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode)
{
    return api_call(CALL_READS, [&](runtime &, held_lock &) {
        std::swap(*mode, this_thread().mode);
        return cudaSuccess;
    });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &) {
        auto found = all.graphs.find(graph);
        *exec = nullptr;
        if (found == all.graphs.end() || flags != 0) {
            return cudaErrorInvalidValue;
        }
        *exec = new_handle<cudaGraphExec_t>(all);
        all.execs[*exec] = {found->second.device,
                            std::make_shared<const work_list>(*found->second.nodes)};
        return cudaSuccess;
    });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &) {
        bool are_there = all.execs.count(exec) == 1 && find_stream(all, stream) != nullptr;
        return are_there ? cudaSuccess : cudaErrorInvalidValue;
    });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle)
{
    return api_call(CALL_PLAIN, [&](runtime &all, held_lock &lock) {
        auto found = all.execs.find(exec);
        std::shared_ptr<stream> on = find_stream(all, handle);
        if (on == nullptr) {
            return cudaErrorInvalidResourceHandle;
        }
        if (found == all.execs.end() || found->second.device != on->device) {
            return cudaErrorInvalidValue;
        }
        if (on->capturing != nullptr) {
            return invalidate(on->capturing, cudaErrorStreamCaptureUnsupported);
        }
        return queue_work(all, lock, on, [nodes = found->second.nodes] {
            for (const work_function &node : *nodes) {
                cudaError_t status = node();
                if (status != cudaSuccess) {
                    return status;
                }
            }
            return cudaSuccess;
        });
    });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    return api_call(CALL_FREES, [&](runtime &all, held_lock &) {
        return all.execs.erase(exec) == 1 ? cudaSuccess : cudaErrorInvalidValue;
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    return api_call(CALL_FREES, [&](runtime &all, held_lock &) {
        return all.graphs.erase(graph) == 1 ? cudaSuccess : cudaErrorInvalidValue;
    });
}
}
