/* What a process holds of the system: descriptors, threads and maps. A call that failed must leave
 * it as it was. (Blocks and bytes of the heap: allocator.h, or a sanitizer.) */
#ifndef TESTS_FAULTS_HOLDINGS_H
#define TESTS_FAULTS_HOLDINGS_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct holdings {
    long n_descriptors;
    long n_threads;
    long mapped_kib; /* of memory and files; -1: not counted */
} holdings;

static long holdings_count_names(const char *path)
{
    long n = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        n++;
    }
    closedir(folder);
    return n;
}

/* Address space in use, but for the heap, which grows and shrinks as libc likes. */
static long holdings_mapped_kib(void)
{
    char line[512];
    long kib = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long from;
        unsigned long to;
        if (sscanf(line, "%lx-%lx", &from, &to) == 2 && strstr(line, "[heap]") == NULL) {
            kib += (long)((to - from) / 1024);
        }
    }
    fclose(file);
    return kib;
}

/* A joined thread may be listed for a moment: the number counts when it has stayed a while. */
static inline long holdings_count_threads(void)
{
    long n = holdings_count_names("/proc/self/task");
    for (;;) {
        usleep(2000);
        long n_now = holdings_count_names("/proc/self/task");
        if (n_now == n) {
            return n;
        }
        n = n_now;
    }
}

static inline holdings holdings_now(bool counts_maps)
{
    holdings now = {.mapped_kib = -1};
    now.n_descriptors = holdings_count_names("/proc/self/fd");
    now.n_threads = holdings_count_threads();
    if (counts_maps) {
        now.mapped_kib = holdings_mapped_kib();
    }
    return now;
}

static inline void holdings_check(const holdings *before, const char *what)
{
    holdings now = holdings_now(before->mapped_kib >= 0);
    for (int i = 0; i < 2000 && now.n_threads > before->n_threads; i++) {
        usleep(1000);
        now.n_threads = holdings_count_names("/proc/self/task");
    }
    if (now.n_descriptors != before->n_descriptors || now.n_threads != before->n_threads ||
        now.mapped_kib > before->mapped_kib) {
        fail_msg("%s: descriptors %ld, before %ld; threads %ld, before %ld; maps %ld KiB, before "
                 "%ld",
                 what, now.n_descriptors, before->n_descriptors, now.n_threads, before->n_threads,
                 now.mapped_kib, before->mapped_kib);
    }
}

#endif
