/* Inside of the host side: what exists (devices, streams, events, graphs, memory), the one lock
 * that guards all of it, and how a call begins. Queued work runs without the lock
 * (runtime_queue.cpp). Handles are numbers that are never used twice, so that one that was
 * destroyed is found out. */
#ifndef SOTI_TEST_RUNTIME_STATE_H
#define SOTI_TEST_RUNTIME_STATE_H

#include "on_host.h"
#include "on_host_control.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace on_host
{

using held_lock = std::unique_lock<std::mutex>;
using work_function = std::function<cudaError_t()>;
using work_list = std::vector<work_function>;

struct stream;

/* A place in a stream's queue: it is reached when so many operations are done. */
struct point {
    std::shared_ptr<stream> of;
    uint64_t n_operations;
    unsigned n_queries; /* that found it not reached */
    std::chrono::steady_clock::time_point reached_at;
};

struct operation {
    enum class kind { work, wait, record };
    kind what;
    work_function work;
    std::shared_ptr<point> at; /* wait: for this; record: this */
};

/* Between cudaStreamBeginCapture and cudaStreamEndCapture: what will be the graph. */
struct capture {
    cudaStreamCaptureMode mode;
    std::thread::id thread;
    int device;
    bool is_valid;
    bool of_blocking_stream;
    work_list nodes;
};

struct stream {
    int device;
    bool is_blocking; /* it and the legacy default stream wait for each other */
    bool is_default;
    bool is_destroyed;
    bool is_running; /* a thread runs its first operation */
    uint64_t n_queued;
    uint64_t n_done;
    uint64_t queried_at; /* n_queued as of the last cudaStreamQuery */
    unsigned n_queries;
    std::deque<operation> queue;
    std::shared_ptr<capture> capturing;
};

struct event {
    int device;
    bool has_time;
    std::shared_ptr<point> recorded;    /* null: never */
    bool is_captured;                   /* the last record was part of a capture: */
    std::weak_ptr<capture> captured_in; /* this one, while it lasts */
};

struct graph {
    int device;
    std::shared_ptr<const work_list> nodes;
};

enum class memory_kind { device, pinned, registered, pageable, none };

struct allocation {
    memory_kind kind;
    int device;
    size_t n_bytes;
    char *map;
    size_t map_bytes;
};

struct device_state {
    size_t total_bytes;
    size_t used_bytes;
    int n_multiprocessors;
    int major;
    int minor;
    cudaError_t broken_by; /* RT-4 */
    std::shared_ptr<stream> default_stream;
    std::vector<std::shared_ptr<stream>> streams; /* destroyed ones too, until they are done */
};

struct runtime {
    std::mutex lock;
    std::condition_variable changed; /* an operation is done */
    bool is_late;
    int driver_version;
    int n_devices;
    device_state devices[ON_HOST_DEVICES_MAX];
    uint64_t n_resets;
    uint64_t n_calls;
    uint64_t fail_at_call;
    cudaError_t fail_call_with;
    uint64_t n_works;
    uint64_t fail_at_work;
    cudaError_t fail_work_with;
    size_t peak_bytes;
    uintptr_t last_handle;
    std::map<cudaStream_t, std::shared_ptr<stream>> streams;
    std::map<cudaEvent_t, std::shared_ptr<event>> events;
    std::map<cudaGraph_t, graph> graphs;
    std::map<cudaGraphExec_t, graph> execs;
    std::vector<std::shared_ptr<capture>> captures;
    std::map<uintptr_t, allocation> allocations; /* by their first byte; registrations too */
    std::deque<std::pair<char *, size_t>> freed; /* maps that nobody may touch */
};

/* Of a host thread. */
struct thread_state {
    uint64_t n_resets;
    int device;
    cudaError_t last_error;
    cudaStreamCaptureMode mode; /* cudaThreadExchangeStreamCaptureMode */
};

runtime &the_runtime();
thread_state &this_thread();

template <class H> H new_handle(runtime &all)
{
    all.last_handle += 16;
    return reinterpret_cast<H>(all.last_handle);
}

/* --- how a call begins and ends: runtime_calls.cpp */

enum call_rules : unsigned {
    CALL_PLAIN = 0,
    CALL_FREES = 1,  /* is carried out even if it fails from outside */
    CALL_UNSAFE = 2, /* not while capturing, RT-5 */
    CALL_READS = 4   /* asks nothing of a device: also right where there is none, or a broken one */
};

/* What is in a call's way: an injected failure, no driver, a broken device, a capture. */
cudaError_t begin_call(runtime &all, unsigned rules);
cudaError_t end_call(cudaError_t status);
bool error_lasts(cudaError_t error);
void break_device(runtime &all, int device, cudaError_t error);

/* body(all, lock), as every call of the API is made. */
template <class F> cudaError_t api_call(unsigned rules, F &&body)
{
    runtime &all = the_runtime();
    held_lock lock(all.lock);
    cudaError_t status = begin_call(all, rules);
    if (status == cudaSuccess) {
        status = body(all, lock);
    } else if ((rules & CALL_FREES) != 0 && status != cudaErrorStreamCaptureUnsupported) {
        body(all, lock);
    }
    return end_call(status);
}

/* --- queues: runtime_queue.cpp */

/* Null if there is no such stream; the default stream's handles are of the current device. */
std::shared_ptr<stream> find_stream(runtime &all, cudaStream_t handle);
/* Queues, or captures. Fails as a launch may: a broken device, an invalid capture. */
cudaError_t queue_work(runtime &all, held_lock &lock, const std::shared_ptr<stream> &to,
                       work_function work);
/* Runs what must be run until n_operations of the stream are done. */
void drain(runtime &all, held_lock &lock, const std::shared_ptr<stream> &what,
           uint64_t n_operations);
cudaError_t drain_all(runtime &all, held_lock &lock, const std::shared_ptr<stream> &what);
void queue_wait(runtime &all, const std::shared_ptr<stream> &waiting,
                const std::shared_ptr<point> &for_what);

/* --- captures: runtime_graph.cpp */

/* Success if the calling thread may do what CALL_UNSAFE says; otherwise ends captures. */
cudaError_t check_unsafe(runtime &all);
/* The same for synchronising with a stream or, with null, a device; and for the legacy stream. */
cudaError_t check_synchronise(runtime &all, const stream *with, int device);
cudaError_t check_legacy(runtime &all, int device);
cudaError_t invalidate(const std::shared_ptr<capture> &what, cudaError_t why);

/* --- memory: runtime_memory.cpp */

/* What kind of memory all of it is; none if it begins in an allocation and does not end there. */
memory_kind kind_of(const runtime &all, const void *memory, size_t n_bytes);
/* Bytes between the address and the beginning of its allocation on a device; the address itself
 * where it has none. */
uintptr_t offset_in_allocation(const runtime &all, const void *memory);
void free_all_memory(runtime &all);

/* --- cuBLASLt: blas_descriptors.cpp */

struct blas_live {
    uint64_t handles;
    uint64_t descriptors;
};
blas_live count_blas(); /* with the lock held */
void forget_blas();

} // namespace on_host

#endif
