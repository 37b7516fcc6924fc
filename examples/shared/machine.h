/* What the operating system says: time, memory, the processor's name. */
#ifndef SOT_SHARED_MACHINE_H
#define SOT_SHARED_MACHINE_H

#include <stddef.h>
#include <stdint.h>

uint64_t time_ns(void); /* of the steady clock */

/* Of the i-th CPU this process may run on; -1 where there is none. */
int machine_cpu(unsigned i);
unsigned machine_cpu_count(void);
/* The processor as it calls itself; "" where that is not known. */
void machine_cpu_name(char *name, size_t capacity);
void machine_system_name(char *name, size_t capacity); /* "Linux 6.1.0" */

/* Bytes of the last-level caches of those CPUs, each counted once; 0: not known. */
uint64_t machine_cache_bytes(void);

uint64_t memory_available(void); /* bytes that could be had without swapping; 0: not known */
uint64_t memory_total(void);
/* Most bytes of this process that were in memory at once since memory_peak_reset; 0: not known. */
uint64_t memory_peak(void);
/* Lets the peak begin anew at what is in use now. Returns 0 where the system does not permit it. */
int memory_peak_reset(void);

#endif
