/* Measuring the machine: see limits.h. A team of threads, the calling one among them, does the same
 * thing between two barriers; the time between them is what counts. The loops are limits_loops.c's.
 */
#include "limits.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../shared/interrupt.h"
#include "../shared/machine.h"
#include "../shared/text.h"
#include "progress.h"

enum {
    TRIALS = 2, /* passes of each pattern, the better one counts */
    PASSES = 5,
    RATE_TRIALS = 3,
    RATE_NS = 20 * 1000 * 1000,
    CACHE_TIMES = 4, /* a block as large as that is read from memory */
    HUGE_PAGE = 2 * 1024 * 1024,
    MOST_ROUNDS = TRIALS * MOST_PATTERNS
};

/* What a team does: n_rounds times work(team, i_thread, round), timed by the first thread. */
struct team {
    unsigned n_threads, n_rounds;
    int pin;
    void (*work)(struct team *team, unsigned i_thread, unsigned round);
    pthread_barrier_t barrier;
    uint64_t times_ns[MOST_ROUNDS];
    /* of the work */
    uint8_t *data;
    size_t part_bytes; /* of each thread */
    const struct read_pattern *patterns;
    const struct rate_loop *loop;
    uint64_t n_loops;
    _Atomic uint64_t result; /* of all work, so that none of it can be left out */
};

struct member {
    struct team *team;
    unsigned i_thread;
};

static void take_part(struct team *team, unsigned i_thread)
{
    for (unsigned round = 0; round < team->n_rounds; round++) {
        pthread_barrier_wait(&team->barrier);
        uint64_t begin = time_ns();
        team->work(team, i_thread, round);
        pthread_barrier_wait(&team->barrier);
        if (i_thread == 0)
            team->times_ns[round] = time_ns() - begin;
    }
}

static void *run_member(void *argument)
{
    const struct member *member = argument;
    int cpu = member->team->pin ? machine_cpu(member->i_thread) : -1;
    if (cpu >= 0) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET((size_t)cpu, &one);
        pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    }
    take_part(member->team, member->i_thread);
    return NULL;
}

static void run_team(struct team *team)
{
    pthread_t *threads = grow(NULL, (size_t)team->n_threads * sizeof *threads);
    struct member *members = grow(NULL, team->n_threads * sizeof *members);
    pthread_barrier_init(&team->barrier, NULL, team->n_threads);
    for (unsigned i = 1; i < team->n_threads; i++) {
        members[i] = (struct member){team, i};
        if (pthread_create(&threads[i], NULL, run_member, &members[i]) != 0) {
            complain("cannot start %u threads", team->n_threads);
            exit(1); /* those that were started wait for the others for ever */
        }
    }
    take_part(team, 0);
    for (unsigned i = 1; i < team->n_threads; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&team->barrier);
    free(members);
    free(threads);
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

double median_of(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* ---- Products ----------------------------------------------------------------------------------
 */

static void multiply(struct team *team, unsigned i_thread, unsigned round)
{
    (void)i_thread;
    (void)round;
    atomic_fetch_add(&team->result, (uint64_t)team->loop->run(team->n_loops));
}

/* FLOP/s of all threads in the best of some trials: others may use the machine, and clocks rise. */
static double measure_rate(const struct limits *limits, const struct rate_loop *loop)
{
    struct team team = {.n_threads = limits->n_threads,
                        .pin = limits->pin,
                        .n_rounds = 1,
                        .work = multiply,
                        .loop = loop,
                        .n_loops = 1000};
    do {
        team.n_loops *= 4;
        run_team(&team);
    } while (team.times_ns[0] < RATE_NS / 4);
    team.n_loops = team.n_loops * RATE_NS / team.times_ns[0];
    team.n_rounds = RATE_TRIALS;
    run_team(&team);
    double best = 0;
    for (size_t i = 0; i < RATE_TRIALS; i++) {
        double rate = (double)loop->flops * (double)team.n_loops * limits->n_threads * 1e9 /
                      (double)team.times_ns[i];
        best = rate > best ? rate : best;
    }
    return best;
}

void limits_begin(struct limits *limits, const char *isa, unsigned n_threads, int pin)
{
    *limits = (struct limits){
        .n_threads = n_threads, .pin = pin, .cache_bytes = (size_t)machine_cache_bytes()};
    limits->is_amx = strcmp(isa, "amx") == 0;
    limits->fp32_loop = limits_fp32_loop(isa);
    limits->amx_loop = limits_amx_loop();
    limits->fp32_isa = limits->fp32_loop->isa;
}

void limits_begin_cuda(struct limits *limits, struct cuda_device *device)
{
    *limits = (struct limits){.device = device, .fp32_isa = ""};
    limits->fastest.name = "every multiprocessor, 16 bytes a load";
}

uint64_t limits_available(const struct limits *limits)
{
    return limits->device ? cuda_device_free_bytes(limits->device) : memory_available();
}

static void measure_rates(struct limits *limits)
{
    double fp32 = measure_rate(limits, limits->fp32_loop);
    limits->fp32 = fp32 > limits->fp32 ? fp32 : limits->fp32;
    if (limits->amx_loop) {
        double amx = measure_rate(limits, limits->amx_loop);
        limits->amx = amx > limits->amx ? amx : limits->amx;
    }
    /* An FP16 weight is the sum of two BF16 numbers, and so is an activation: of the four products
     * three are needed. */
    limits->flops = limits->is_amx && limits->amx > 0 ? limits->amx / 3 : limits->fp32;
}

/* ---- Reading -----------------------------------------------------------------------------------
 */

/* First touch: each thread's part is placed where the thread runs. */
static void touch(struct team *team, unsigned i_thread, unsigned round)
{
    (void)round;
    memset(team->data + i_thread * team->part_bytes, 1, team->part_bytes);
}

static void read_part(struct team *team, unsigned i_thread, unsigned round)
{
    const struct read_pattern *pattern = &team->patterns[round / TRIALS];
    atomic_fetch_add(&team->result,
                     pattern->read(team->data + i_thread * team->part_bytes, team->part_bytes));
}

static void read_part_fastest(struct team *team, unsigned i_thread, unsigned round)
{
    (void)round;
    atomic_fetch_add(&team->result, team->patterns->read(team->data + i_thread * team->part_bytes,
                                                         team->part_bytes));
}

static struct read_pattern find_fastest(struct team *team)
{
    struct read_pattern patterns[MOST_PATTERNS];
    size_t n_patterns = limits_read_patterns(patterns);
    team->patterns = patterns;
    team->work = read_part;
    team->n_rounds = (unsigned)n_patterns * TRIALS;
    run_team(team);
    size_t fastest = 0;
    for (size_t i = 0; i < team->n_rounds; i++)
        if (team->times_ns[i] < team->times_ns[fastest])
            fastest = i;
    return patterns[fastest / TRIALS];
}

static void keep_rates(struct limits *limits, double *rates, size_t bytes)
{
    limits->passes = grow(limits->passes, (limits->n_passes + PASSES) * sizeof *limits->passes);
    for (size_t i = 0; i < PASSES; i++)
        limits->passes[limits->n_passes++] = rates[i];
    limits->probes = grow(limits->probes, (limits->n_probes + 1) * sizeof *limits->probes);
    limits->probes[limits->n_probes++] = median_of(rates, PASSES);
    if (limits->most_bytes < bytes)
        limits->most_bytes = bytes;
}

static void measure_reading(struct limits *limits, struct team *team)
{
    size_t bytes = team->part_bytes * team->n_threads;
    double rates[PASSES];
    if (!limits->is_touched) {
        team->work = touch;
        team->n_rounds = 1;
        run_team(team);
        limits->is_touched = 1;
    }
    if (!limits->fastest.read)
        limits->fastest = find_fastest(team);
    team->patterns = &limits->fastest;
    team->work = read_part_fastest;
    team->n_rounds = PASSES;
    run_team(team);
    for (size_t i = 0; i < PASSES; i++)
        rates[i] = (double)bytes * 1e9 / (double)team->times_ns[i];
    keep_rates(limits, rates, bytes);
}

/* A device's caches hold less than any probe, and its memory is given back at once. */
static void probe_device(struct limits *limits, size_t most_bytes)
{
    double rates[PASSES];
    progress_say("reading the device's memory");
    most_bytes = most_bytes < LIMITS_QUICK_PROBE ? LIMITS_QUICK_PROBE : most_bytes;
    size_t bytes = cuda_device_read(limits->device, most_bytes, rates, PASSES);
    if (bytes > 0)
        keep_rates(limits, rates, bytes);
}

void limits_rest(struct limits *limits)
{
    if (limits->block)
        munmap(limits->block, limits->block_bytes + HUGE_PAGE);
    limits->block = NULL;
}

/* So many bytes, on huge pages where there are some. Returns 0 where there is no memory. */
static int get_block(struct limits *limits, size_t bytes)
{
    if (limits->block && limits->block_bytes == bytes)
        return 1;
    limits_rest(limits);
    void *block =
        mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return 0;
    madvise(block, bytes + HUGE_PAGE, MADV_HUGEPAGE); /* a hint */
    limits->block = block;
    limits->block_bytes = bytes;
    limits->is_touched = 0;
    return 1;
}

/* Not so few that caches would answer in the place of memory. */
static size_t beyond_caches(const struct limits *limits, size_t bytes)
{
    size_t least = LIMITS_LONG_PROBE;
    if (limits->cache_bytes < LIMITS_LONG_PROBE / CACHE_TIMES)
        least = CACHE_TIMES * limits->cache_bytes;
    return bytes > least ? bytes : least;
}

void limits_probe(struct limits *limits, size_t most_bytes)
{
    struct team team = {.n_threads = limits->n_threads, .pin = limits->pin};
    int is_short = most_bytes <= LIMITS_SHORT_PROBE;
    if (interrupt_seen())
        return;
    if (limits->device) {
        probe_device(limits, most_bytes);
        return;
    }
    progress_say("reading memory, multiplying");
    measure_rates(limits);
    most_bytes = beyond_caches(limits, most_bytes);
    uint64_t available = memory_available();
    if (available && most_bytes > available / 4)
        most_bytes = available / 4;
    team.part_bytes = most_bytes / limits->n_threads / HUGE_PAGE * HUGE_PAGE;
    if (team.part_bytes == 0 || !get_block(limits, team.part_bytes * limits->n_threads))
        return;
    team.data = limits->block + (HUGE_PAGE - (uintptr_t)limits->block % HUGE_PAGE) % HUGE_PAGE;
    measure_reading(limits, &team);
    if (!is_short)
        limits_rest(limits);
}

static double median_copy(const double *values, size_t n)
{
    if (n == 0)
        return 0;
    double *copy = grow(NULL, n * sizeof *copy);
    memcpy(copy, values, n * sizeof *copy);
    double median = median_of(copy, n);
    free(copy);
    return median;
}

double limits_bandwidth(const struct limits *limits)
{
    return median_copy(limits->passes, limits->n_passes);
}

double limits_best_bandwidth(const struct limits *limits)
{
    double best = 0;
    for (size_t i = 0; i < limits->n_passes; i++)
        best = limits->passes[i] > best ? limits->passes[i] : best;
    return best;
}

void limits_free(struct limits *limits)
{
    limits_rest(limits);
    cuda_device_close(limits->device);
    free(limits->passes);
    free(limits->probes);
    *limits = (struct limits){0};
}
