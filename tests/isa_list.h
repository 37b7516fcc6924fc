/* Runs a check once for every instruction set of the CPU backend that this machine has, and says
 * which ones it has not. */
#ifndef SOT_TESTS_ISA_LIST_H
#define SOT_TESTS_ISA_LIST_H

#include "cpu/cpu_isa.h"

static inline void for_each_isa(void (*check)(const char *isa))
{
    const char *isa;
    for (uint32_t i = 0; (isa = soti_cpu_isa_name(i)) != NULL; i++) {
        const soti_cpu_kernels *kernels;
        if (soti_cpu_isa_select(isa, &kernels) == SOT_OK) {
            check(isa);
        } else {
            print_message("skipped for %s: this machine does not have it\n", isa);
        }
    }
}

#endif
