/* See cpu_isa.h. The compiler's __builtin_cpu_supports asks CPUID and, for the wide registers,
 * XCR0: a set counts only if the operating system saves its registers. */
#include "cpu/cpu_isa.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/fail.h"

typedef struct isa_entry {
    const char *name;
    const soti_cpu_kernels *kernels; /* NULL: another architecture's */
    bool (*is_supported)(void);
} isa_entry;

static bool is_always(void)
{
    return true;
}

#if defined(__x86_64__)
static bool is_avx2(void)
{
    unsigned eax;
    unsigned ebx;
    unsigned ecx;
    unsigned edx;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}
static bool is_avx512(void)
{
    return is_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/* XCR0 says whether the operating system saves tile registers at all. Linux then wants to be asked
 * for them, once a process, since threads that use them need 8 KB more in signal frames: so this
 * comes last, where nothing else is missing. */
static bool is_amx(void)
{
    enum {
        EDX_AMX_BF16 = 1 << 22,
        EDX_AVX512_FP16 = 1 << 23,
        EDX_AMX_TILE = 1 << 24,
        EDX_ALL = EDX_AMX_BF16 | EDX_AVX512_FP16 | EDX_AMX_TILE,
        EAX_AVX512_BF16 = 1 << 5,    /* of subleaf 1 */
        XCR0_TILES = 3 << 17,        /* configuration and data */
        REQUEST_PERMISSION = 0x1023, /* ARCH_REQ_XCOMP_PERM */
        TILE_DATA = 18               /* XFEATURE_XTILEDATA */
    };
    unsigned eax;
    unsigned ebx;
    unsigned ecx;
    unsigned edx;
    if (!is_avx512() || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) ||
        (edx & EDX_ALL) != EDX_ALL || !__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) ||
        !(eax & EAX_AVX512_BF16)) {
        return false;
    }
    __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return (eax & XCR0_TILES) == XCR0_TILES &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#define AMX_ENTRY                                                                                  \
    {                                                                                              \
        "amx", &soti_cpu_kernels_amx, is_amx                                                       \
    }
#define AVX512_ENTRY                                                                               \
    {                                                                                              \
        "avx512", &soti_cpu_kernels_avx512, is_avx512                                              \
    }
#define AVX2_ENTRY                                                                                 \
    {                                                                                              \
        "avx2", &soti_cpu_kernels_avx2, is_avx2                                                    \
    }
#else
#define AMX_ENTRY                                                                                  \
    {                                                                                              \
        "amx", NULL, is_always                                                                     \
    }
#define AVX512_ENTRY                                                                               \
    {                                                                                              \
        "avx512", NULL, is_always                                                                  \
    }
#define AVX2_ENTRY                                                                                 \
    {                                                                                              \
        "avx2", NULL, is_always                                                                    \
    }
#endif

#if defined(__aarch64__)
#define NEON_ENTRY                                                                                 \
    {                                                                                              \
        "neon", &soti_cpu_kernels_neon, is_always                                                  \
    }
#else
#define NEON_ENTRY                                                                                 \
    {                                                                                              \
        "neon", NULL, is_always                                                                    \
    }
#endif

/* Best first. */
static const isa_entry entries[] = {
    AMX_ENTRY,
    AVX512_ENTRY,
    AVX2_ENTRY,
    NEON_ENTRY,
    {"portable", &soti_cpu_kernels_portable, is_always},
};

enum { N_ENTRIES = sizeof entries / sizeof entries[0] };

const char *soti_cpu_isa_name(uint32_t i)
{
    return i < N_ENTRIES ? entries[i].name : NULL;
}

static sot_status unknown_name(const char *name)
{
    char known[96] = "";
    for (size_t i = 0; i < N_ENTRIES; i++) {
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, ", %s", entries[i].name);
    }
    return soti_fail(SOT_ERR_UNSUPPORTED, "instruction set \"%s\" is not known; these are: auto%s",
                     name, known);
}

sot_status soti_cpu_isa_select(const char *name, const soti_cpu_kernels **out)
{
    bool is_any = name == NULL || name[0] == '\0' || strcmp(name, "auto") == 0;
    *out = NULL;
    for (uint32_t i = 0; i < N_ENTRIES; i++) {
        if (!is_any && strcmp(name, entries[i].name) != 0) {
            continue;
        }
        if (entries[i].kernels != NULL && entries[i].is_supported()) {
            *out = entries[i].kernels;
            return SOT_OK;
        }
        if (!is_any) {
            return soti_fail(SOT_ERR_UNSUPPORTED, "this machine cannot run instruction set \"%s\"",
                             name);
        }
    }
    return unknown_name(name);
}
