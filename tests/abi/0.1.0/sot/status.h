/* The status codes of libsot: one table, from which the constants, the names and the bindings come.
 * A code, once released, keeps its number and its meaning. Start with sot.h. */
#ifndef SOT_STATUS_H
#define SOT_STATUS_H

#include <stdint.h>

/* 0 is success, every failure is negative. Since 0.1. */
typedef int32_t sot_status;

/* The table: X(name without SOT_, number, what it means). */
#define SOT_STATUS_MAP(X)                                                                          \
    X(OK, 0, "success")                                                                            \
    X(ERR_ARGUMENT, -1, "an argument breaks a rule that the function states")                      \
    X(ERR_MEMORY, -2, "memory could not be had")                                                   \
    X(ERR_IO, -3, "a file could not be opened, mapped or read")                                    \
    X(ERR_FORMAT, -4, "a file is damaged or breaks its format")                                    \
    X(ERR_UNSUPPORTED, -5, "well-formed, but this library does not do it")                         \
    X(ERR_CAPACITY, -6, "the caller's buffer is too small; the size needed is reported")           \
    X(ERR_CONTEXT_FULL, -7, "the context or the page pool is full; the partial result is kept")    \
    X(ERR_CANCELLED, -8, "cancelled by the host; the partial result is kept")                      \
    X(ERR_DEVICE, -9, "no such device, or the device failed")                                      \
    X(ERR_THREAD, -10, "a thread could not be started")                                            \
    X(ERR_RANGE, -11, "a number cannot be held in the type it must go into")                       \
    X(ERR_BUSY, -12, "the session is in use by another call")                                      \
    X(ERR_INTERNAL, -13, "a promise inside the library was broken: please report it")

#define SOT_STATUS_ENTRY(name, number, meaning) SOT_##name = (number),
/* The constants. */
enum {
    SOT_STATUS_MAP(SOT_STATUS_ENTRY) SOT_STATUS_LAST = -13 /* the lowest of them */
};
#undef SOT_STATUS_ENTRY

#endif
