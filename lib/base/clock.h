/* The steady clock. */
#ifndef SOTI_BASE_CLOCK_H
#define SOTI_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds since some fixed moment. */
uint64_t soti_clock_ns(void);

#endif
