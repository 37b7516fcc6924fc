/* Which instruction set this process may use. */
#ifndef SOTI_CPU_CPU_ISA_H
#define SOTI_CPU_CPU_ISA_H

#include "cpu/cpu_kernels.h"
#include "sot/status.h"

/* name NULL, "" or "auto": the best that machine and operating system offer. Returns UNSUPPORTED
 * for a name that is unknown or that this machine lacks. */
sot_status soti_cpu_isa_select(const char *name, const soti_cpu_kernels **out);

/* The i-th name, best first, whether this machine has it or not; NULL behind the last. */
const char *soti_cpu_isa_name(uint32_t i);

#endif
