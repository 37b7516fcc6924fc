/* The system's functions that the library calls, in the test's own program, where they go before
 * libc's: the n-th call of one of them fails, or a hook runs before it, or every call of read and
 * write moves little at a time. What is not armed goes on to libc (or to a sanitizer). */
#ifndef TESTS_FAULTS_INTERPOSED_H
#define TESTS_FAULTS_INTERPOSED_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum fault_kind {
    FAULT_NONE,
    FAULT_OPEN,
    FAULT_STAT,
    FAULT_FSTAT,
    FAULT_MMAP,
    FAULT_MADVISE,
    FAULT_MLOCK,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_FSYNC,
    FAULT_CLOSE,
    FAULT_RENAME,
    FAULT_UNLINK,
    FAULT_AFFINITY,
    FAULT_PINNING,
    FAULT_ATTRIBUTES,
    FAULT_STACK_SIZE,
    FAULT_SIGMASK,
    FAULT_MUTEX,
    FAULT_CONDITION,
    FAULT_THREAD,
    FAULT_KINDS
} fault_kind;

static const char *const fault_names[FAULT_KINDS] = {
    "nothing",    "open",     "stat",    "fstat",
    "mmap",       "madvise",  "mlock",   "read",
    "write",      "fsync",    "close",   "rename",
    "unlink",     "affinity", "pinning", "thread attributes",
    "stack size", "sigmask",  "mutex",   "condition variable",
    "thread",
};

/* The library's threads make none of these calls, so plain numbers do. */
static struct {
    fault_kind kind;
    long countdown; /* calls of that kind before the one that is struck; negative: it was */
    int error;      /* errno; 0: the call is made, behind the hook */
    void (*hook)(void);
    size_t bytes_max; /* of one read or write; 0: as many as asked for */
} fault;

static void fault_arm(fault_kind kind, long n, int error)
{
    fault.kind = kind;
    fault.countdown = n;
    fault.error = error;
}

/* Whether the armed call has come. */
static bool fault_disarm(void)
{
    bool struck = fault.kind != FAULT_NONE && fault.countdown < 0;
    fault.kind = FAULT_NONE;
    return struck;
}

/* Whether this call is to fail; errno is set. */
static bool fault_strikes(fault_kind kind)
{
    if (fault.kind != kind || fault.countdown-- != 0) {
        return false;
    }
    if (fault.hook != NULL) {
        fault.kind = FAULT_NONE; /* what the hook calls goes through */
        fault.hook();
        fault.kind = kind;
    }
    errno = fault.error;
    return fault.error != 0;
}

/* libc's function of that name, as a pointer of the type of the one that stands in for it. */
static void fault_find(void *pointer, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(pointer, &symbol, sizeof symbol);
}

#define FAULT_CALL(result, name, kind, failure, parameters, arguments)                             \
    result name parameters                                                                         \
    {                                                                                              \
        static result(*next) parameters;                                                           \
        if (next == NULL) {                                                                        \
            fault_find(&next, #name);                                                              \
        }                                                                                          \
        return fault_strikes(kind) ? (failure) : next arguments;                                   \
    }

FAULT_CALL(int, stat, FAULT_STAT, -1, (const char *restrict path, struct stat *restrict out),
           (path, out))
FAULT_CALL(int, fstat, FAULT_FSTAT, -1, (int descriptor, struct stat *out), (descriptor, out))
FAULT_CALL(void *, mmap, FAULT_MMAP, MAP_FAILED,
           (void *at, size_t bytes, int access, int flags, int descriptor, off_t offset),
           (at, bytes, access, flags, descriptor, offset))
FAULT_CALL(int, madvise, FAULT_MADVISE, -1, (void *at, size_t bytes, int advice),
           (at, bytes, advice))
FAULT_CALL(int, mlock, FAULT_MLOCK, -1, (const void *at, size_t bytes), (at, bytes))
FAULT_CALL(int, fsync, FAULT_FSYNC, -1, (int descriptor), (descriptor))
FAULT_CALL(int, rename, FAULT_RENAME, -1, (const char *from, const char *to), (from, to))
FAULT_CALL(int, unlink, FAULT_UNLINK, -1, (const char *path), (path))
FAULT_CALL(int, sched_getaffinity, FAULT_AFFINITY, -1, (pid_t process, size_t size, cpu_set_t *set),
           (process, size, set))
FAULT_CALL(int, pthread_attr_init, FAULT_ATTRIBUTES, errno, (pthread_attr_t * attributes),
           (attributes))
FAULT_CALL(int, pthread_setaffinity_np, FAULT_PINNING, errno,
           (pthread_t thread, size_t size, const cpu_set_t *set), (thread, size, set))
FAULT_CALL(int, pthread_attr_setstacksize, FAULT_STACK_SIZE, errno,
           (pthread_attr_t * attributes, size_t bytes), (attributes, bytes))
FAULT_CALL(int, pthread_sigmask, FAULT_SIGMASK, errno,
           (int how, const sigset_t *restrict set, sigset_t *restrict before), (how, set, before))
FAULT_CALL(int, pthread_mutex_init, FAULT_MUTEX, errno,
           (pthread_mutex_t * mutex, const pthread_mutexattr_t *attributes), (mutex, attributes))
FAULT_CALL(int, pthread_cond_init, FAULT_CONDITION, errno,
           (pthread_cond_t *restrict condition, const pthread_condattr_t *restrict attributes),
           (condition, attributes))
FAULT_CALL(int, pthread_create, FAULT_THREAD, errno,
           (pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
            void *(*start)(void *), void *restrict argument),
           (thread, attributes, start, argument))

static size_t fault_piece(size_t size)
{
    return fault.bytes_max != 0 && size > fault.bytes_max ? fault.bytes_max : size;
}

ssize_t read(int descriptor, void *data, size_t size)
{
    static ssize_t (*next)(int, void *, size_t);
    if (next == NULL) {
        fault_find(&next, "read");
    }
    return fault_strikes(FAULT_READ) ? -1 : next(descriptor, data, fault_piece(size));
}

ssize_t write(int descriptor, const void *data, size_t size)
{
    static ssize_t (*next)(int, const void *, size_t);
    if (next == NULL) {
        fault_find(&next, "write");
    }
    return fault_strikes(FAULT_WRITE) ? -1 : next(descriptor, data, fault_piece(size));
}

/* A descriptor is gone, whatever close says. */
int close(int descriptor)
{
    static int (*next)(int);
    if (next == NULL) {
        fault_find(&next, "close");
    }
    bool strikes = fault_strikes(FAULT_CLOSE);
    int error = errno;
    int result = next(descriptor);
    errno = strikes ? error : errno;
    return strikes ? -1 : result;
}

int open(const char *path, int flags, ...)
{
    static int (*next)(const char *, int, ...);
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (next == NULL) {
        fault_find(&next, "open");
    }
    return fault_strikes(FAULT_OPEN) ? -1 : next(path, flags, mode);
}

#endif
