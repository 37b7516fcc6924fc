/* Asking Linux: see machine.h. */
#include "machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

uint64_t time_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int machine_cpu(unsigned i)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &allowed) && i-- == 0)
                return (int)cpu;
    return -1;
}

unsigned machine_cpu_count(void)
{
    unsigned n = 0;
    while (machine_cpu(n) >= 0)
        n++;
    return n ? n : 1;
}

/* What follows a key at the beginning of a line of a file of /proc, without white space in front
 * and the newline at the end; "" if there is none. */
static void read_value(const char *path, const char *key, char *value, size_t capacity)
{
    char line[512];
    FILE *file = fopen(path, "r");
    value[0] = '\0';
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        const char *begin = line + strlen(key);
        begin += strspn(begin, " \t:");
        snprintf(value, capacity, "%.*s", (int)strcspn(begin, "\n"), begin);
        break;
    }
    if (file)
        fclose(file);
}

void machine_cpu_name(char *name, size_t capacity)
{
    read_value("/proc/cpuinfo", "model name", name, capacity);
}

void machine_system_name(char *name, size_t capacity)
{
    struct utsname system;
    name[0] = '\0';
    if (uname(&system) == 0)
        snprintf(name, capacity, "%s %s %s", system.sysname, system.release, system.machine);
}

static uint64_t read_kilobytes(const char *path, const char *key)
{
    char value[64];
    read_value(path, key, value, sizeof value);
    return strtoull(value, NULL, 10) * 1024;
}

/* A number that /sys has about a CPU's level 3 cache, as "32768K" or "3"; 0 if there is none. */
static uint64_t read_cache(int cpu, const char *name)
{
    char path[96];
    char value[32];
    char *end;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index3/%s", cpu, name);
    read_value(path, "", value, sizeof value);
    uint64_t number = strtoull(value, &end, 10);
    return *end == 'K' ? number * 1024 : *end == 'M' ? number * 1024 * 1024 : number;
}

uint64_t machine_cache_bytes(void)
{
    enum { MOST_CACHES = 1024 };
    char is_counted[MOST_CACHES] = {0};
    uint64_t bytes = 0;
    int cpu;
    for (unsigned i = 0; (cpu = machine_cpu(i)) >= 0; i++) {
        uint64_t id = read_cache(cpu, "id");
        if (id >= MOST_CACHES || is_counted[id])
            continue;
        is_counted[id] = 1;
        bytes += read_cache(cpu, "size");
    }
    return bytes;
}

uint64_t memory_available(void)
{
    return read_kilobytes("/proc/meminfo", "MemAvailable:");
}

uint64_t memory_total(void)
{
    return read_kilobytes("/proc/meminfo", "MemTotal:");
}

uint64_t memory_peak(void)
{
    return read_kilobytes("/proc/self/status", "VmHWM:");
}

int memory_peak_reset(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file)
        return 0;
    int written = fputs("5", file) >= 0;
    return fclose(file) == 0 && written;
}
