/* What the machine can do at most, measured by this program's own code: how fast all threads read
 * memory together, and how fast they multiply. Every other figure is a share of these. */
#ifndef SOT_BENCH_LIMITS_H
#define SOT_BENCH_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "measured_gpu.h"

/* One way to read memory or to multiply; those that the machine lacks are never called. */
struct read_pattern {
    const char *name;
    /* Reads bytes (a multiple of READ_UNIT) from data on; the result keeps the compiler honest. */
    uint64_t (*read)(const uint8_t *data, size_t bytes);
};

struct rate_loop {
    const char *isa;
    uint64_t flops;            /* of one round */
    double (*run)(uint64_t n); /* n rounds */
};

enum { READ_UNIT = 4096, MOST_PATTERNS = 16 };

/* Patterns that this machine can run; fills at most MOST_PATTERNS, returns how many. */
size_t limits_read_patterns(struct read_pattern *patterns);

/* FP32 multiply-add at full rate in an instruction set of the library's ("avx2", …), in portable C
 * where this program has no other; and products of BF16 tiles, NULL where the CPU has no AMX or the
 * system does not let it be used. */
const struct rate_loop *limits_fp32_loop(const char *isa);
const struct rate_loop *limits_amx_loop(void);

struct limits {
    struct cuda_device *device; /* what is measured; NULL: the processors */
    unsigned n_threads;
    int pin;
    struct read_pattern fastest; /* found by the first probe */
    size_t cache_bytes;          /* of the last-level caches; 0: not known */
    size_t most_bytes;           /* that a probe read */
    uint8_t *block;              /* of block_bytes, kept for the next probe; or NULL */
    size_t block_bytes;
    int is_touched; /* its pages are there */
    double *passes; /* (n_passes) bytes/s of every pass of every probe */
    size_t n_passes;
    double *probes; /* (n_probes) their medians */
    size_t n_probes;
    int is_amx; /* the session uses it */
    const struct rate_loop *fp32_loop, *amx_loop;
    const char *fp32_isa; /* of the loop that fp32 was measured with */
    double fp32, amx;     /* FLOP/s of all threads; amx 0: there is none */
    double flops; /* what products of FP16 weights can reach in the instruction set in use; 0 on a
                     CUDA device, where it is not measured */
};

/* Of a CUDA device, which limits_free closes. */
void limits_begin_cuda(struct limits *limits, struct cuda_device *device);
/* Memory that could still be had where the pages are; 0: not known. */
uint64_t limits_available(const struct limits *limits);
/* isa is the one that the session uses. */
void limits_begin(struct limits *limits, const char *isa, unsigned n_threads, int pin);
/* Bytes that a probe reads: the first one of a run, one of --quick, and one between cases. Where
 * that is less than four times the last-level caches, it is so much, up to the long probe. */
#define LIMITS_LONG_PROBE  ((size_t)4 << 30)
#define LIMITS_QUICK_PROBE ((size_t)1 << 30)
#define LIMITS_SHORT_PROBE ((size_t)1 << 28)

/* Measures the read bandwidth, of which the median of all probes counts, and the products' rates,
 * of which the best. Again and again during a run, because both drift where others use the machine.
 * At most a quarter of the free memory is read; nothing is measured where there is none. */
void limits_probe(struct limits *limits, size_t most_bytes);
/* Gives the memory of short probes back, which is kept for the next one. */
void limits_rest(struct limits *limits);
void limits_free(struct limits *limits);

double limits_bandwidth(const struct limits *limits); /* bytes/s, median of all passes; 0: none */
double limits_best_bandwidth(const struct limits *limits);

/* The median of n > 0 values, which are sorted. */
double median_of(double *values, size_t n);

#endif
