/* A kernel that touches memory which is not there: the signal becomes an error of the launch, as on
 * a device, with the thread's name and what lies near the address. A fault outside of kernels goes
 * to whoever handled it before. */
#include "fibers.h"

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <pthread.h>
#include <ucontext.h>

namespace on_host
{

namespace
{

struct sigaction before_segv;
struct sigaction before_bus;
__thread const void *fault_address;

/* Runs on the fiber's own stack, from its top: whatever was there is given up. */
[[noreturn]] void report_fault()
{
    executor &e = *running;
    const char *address = static_cast<const char *>(fault_address);
    const char *stack = e.current->stack;
    if (address < stack && address >= stack - 4096) {
        fail_as(cudaErrorIllegalAddress, "its stack overflows");
    }
    char near[200] = "";
    {
        std::string found = describe_address(address);
        snprintf(near, sizeof near, "%s%s", found.empty() ? "" : ", ", found.c_str());
    }
    fail_as(cudaErrorIllegalAddress, "touches global memory at %p%s", fault_address, near);
}

void on_fault(int number, siginfo_t *information, void *machine)
{
    if (running == nullptr) {
        const struct sigaction &before = number == SIGSEGV ? before_segv : before_bus;
        sigaction(number, &before, nullptr);
        return; /* and fault again */
    }
    fault_address = information->si_addr;
    char *stack = running->current->stack;
    forget_frames(stack);
    uintptr_t top = reinterpret_cast<uintptr_t>(stack) + stack_bytes;
    mcontext_t &registers = static_cast<ucontext_t *>(machine)->uc_mcontext;
#if defined(__x86_64__)
    registers.gregs[REG_RIP] = reinterpret_cast<greg_t>(&report_fault);
    registers.gregs[REG_RSP] = static_cast<greg_t>(top - 4096 - 8); /* as behind a call */
#elif defined(__aarch64__)
    registers.pc = reinterpret_cast<uintptr_t>(&report_fault);
    registers.sp = top - 4096;
#else
#error "fault.cpp: which registers hold the next instruction and the stack?"
#endif
}

/* The handler needs a stack that has not overflown. */
struct signal_stack {
    signal_stack() : memory(malloc(n_bytes)), before()
    {
        stack_t own = {};
        own.ss_sp = memory;
        own.ss_size = n_bytes;
        sigaltstack(&own, &before);
    }
    ~signal_stack()
    {
        sigaltstack(&before, nullptr);
        free(memory);
    }
    signal_stack(const signal_stack &) = delete;
    signal_stack &operator=(const signal_stack &) = delete;

    static constexpr size_t n_bytes = 64 * 1024;
    void *memory;
    stack_t before;
};

/* Others, such as cmocka, set their own handlers again and again: before each grid it is seen to.
 */
void handle(int number, struct sigaction &before)
{
    struct sigaction now;
    sigaction(number, nullptr, &now);
    if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_fault) {
        return;
    }
    before = now;
    struct sigaction own = {};
    own.sa_sigaction = on_fault;
    own.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&own.sa_mask);
    sigaction(number, &own, nullptr);
}

} // namespace

void report_faults()
{
    static thread_local signal_stack stack;
    static_cast<void>(stack.memory);
    static std::mutex lock;
    std::lock_guard<std::mutex> hold(lock);
    handle(SIGSEGV, before_segv);
    handle(SIGBUS, before_bus);
}

} // namespace on_host
