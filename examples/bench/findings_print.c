/* The tables: see findings.h. A share is of the machine's limit measured in the same run; the floor
 * of a pass is the longer one of moving its bytes and computing its operations at those limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/machine.h"
#include "../shared/text.h"
#include "findings.h"

struct spread spread_of(const uint64_t *times_ns, size_t n)
{
    double *values = grow(NULL, n * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = (double)times_ns[i];
    double median = median_of(values, n); /* sorts */
    struct spread spread = {median, values[0], values[n - 1]};
    free(values);
    return spread;
}

static double percent(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

static void print_clean(const char *string)
{
    struct text clean = {0};
    text_clean(&clean, string, strlen(string));
    fputs(clean.bytes ? clean.bytes : "", stdout);
    text_free(&clean);
}

static void print_limits(const struct findings *findings)
{
    const struct limits *limits = &findings->limits;
    char name[128];
    machine_cpu_name(name, sizeof name);
    if (limits->device)
        printf("%-10s %s (%s), driver for CUDA %u.%u, in a machine with %s\n", "machine",
               cuda_device_name(limits->device), findings->options->device,
               cuda_device_driver(limits->device) / 1000,
               cuda_device_driver(limits->device) % 1000 / 10, name);
    else
        printf("%-10s %s, %u thread%s%s, %s, %.1f GB of memory\n", "machine", name,
               findings->n_threads, findings->n_threads == 1 ? "" : "s",
               findings->options->pin ? " pinned" : "", findings->isa,
               (double)memory_total() / 1e9);
    if (limits->n_probes) {
        double least = limits->probes[0];
        double most = least;
        for (size_t i = 1; i < limits->n_probes; i++) {
            least = limits->probes[i] < least ? limits->probes[i] : least;
            most = limits->probes[i] > most ? limits->probes[i] : most;
        }
        printf("%-10s %.1f GB/s (median; %zu probes of at most %.1f GB: %.1f to %.1f; best pass "
               "%.1f; %s)\n",
               "reading", limits_bandwidth(limits) / 1e9, limits->n_probes,
               (double)limits->most_bytes / 1e9, least / 1e9, most / 1e9,
               limits_best_bandwidth(limits) / 1e9, limits->fastest.name);
    }
    if (limits->device) {
        printf("%-10s not measured on a CUDA device; a floor is its bytes alone\n", "computing");
        return;
    }
    printf("%-10s %.1f GFLOP/s of FP32 (%s)", "computing", limits->fp32 / 1e9, limits->fp32_isa);
    if (limits->amx > 0)
        printf(", %.1f GFLOP/s of BF16 (amx)", limits->amx / 1e9);
    if (strcmp(findings->isa, "amx") == 0)
        printf(", of which FP16 weights can have a third: %.1f", limits->flops / 1e9);
    printf("\n");
}

static void print_model(const struct findings *findings)
{
    const sot_model_info *info = &findings->info;
    printf("%-10s ", "model");
    print_clean(findings->options->model);
    int is_large = info->n_parameters >= 100000000;
    printf(", %.2f %s parameters, %.*f GB a pass\n",
           (double)info->n_parameters / (is_large ? 1e9 : 1e6), is_large ? "billion" : "million",
           is_large ? 2 : 4, (double)info->weight_bytes / 1e9);
    if (!(findings->options->cases & CASE_LOAD))
        return;
    printf("%-10s %.2f s%s", "loading", (double)findings->load_ns / 1e9,
           strncmp(findings->options->model, "random:", 7) == 0 ? " (making the weights)" : "");
    if (findings->passes.first_ns)
        printf(", session %.1f ms (%.2f GB reserved), its first pass %.1f ms",
               (double)findings->passes.session_ns / 1e6,
               (double)findings->passes.session_bytes / 1e9,
               (double)findings->passes.first_ns / 1e6);
    printf("\n");
}

static void print_rates(const struct findings *findings, const struct spread *spread,
                        const struct cost *cost, double n_tokens)
{
    double seconds = spread->median_ns / 1e9;
    printf(" %9.2f %9.2f..%-9.2f %8.1f %7.1f %5.0f%% %8.1f %5.0f%% %6.0f%%\n",
           spread->median_ns / 1e6, spread->least_ns / 1e6, spread->most_ns / 1e6,
           n_tokens / seconds, cost->bytes / seconds / 1e9,
           percent(cost->bytes / seconds, limits_bandwidth(&findings->limits)),
           cost->flops / seconds / 1e9, percent(cost->flops / seconds, findings->limits.flops),
           percent(cost->floor_s, seconds));
}

static void print_heading(const char *first, const char *second, const char *third)
{
    printf("%7s %7s %7s %9s %20s %8s %7s %6s %8s %6s %7s\n", first, second, third, "ms", "spread",
           "tokens/s", "GB/s", "share", "GFLOP/s", "share", "floor");
}

static void print_group(const struct findings *findings, unsigned group, const char *title)
{
    const struct passes *passes = &findings->passes;
    int has_heading = 0;
    for (size_t i = 0; i < passes->n_cases; i++) {
        const struct pass_case *pass = &passes->cases[i];
        if (pass->group != group || (pass->n_times == 0 && !pass->why_not))
            continue;
        if (!has_heading) {
            printf("\n%s\n", title);
            print_heading(group == CASE_PREFILL ? "" : "batch",
                          group == CASE_PREFILL ? "" : "context",
                          group == CASE_PREFILL  ? "tokens"
                          : group == CASE_DECODE ? ""
                                                 : "shared");
            has_heading = 1;
        }
        if (group == CASE_PREFILL)
            printf("%7s %7s %7u", "", "", pass->n_new);
        else if (group == CASE_DECODE)
            printf("%7u %7u %7s", pass->n_sequences, pass->n_past, "");
        else
            printf("%7u %7u %7u", pass->n_sequences, pass->n_past, pass->n_shared);
        if (pass->why_not) {
            printf("  left out: %s\n", pass->why_not);
            continue;
        }
        struct spread spread = spread_of(pass->times_ns, pass->n_times);
        struct cost cost = pass_case_cost(passes, pass, &findings->costs, &findings->limits);
        print_rates(findings, &spread, &cost, (double)pass->n_sequences * pass->n_new);
    }
}

/* What batching costs: a step of the largest batch over a step of one sequence. */
static void print_batch_cost(const struct passes *passes)
{
    for (size_t i = 0; i < passes->n_cases; i++) {
        const struct pass_case *one = &passes->cases[i];
        if (one->group != CASE_DECODE || one->n_sequences != 1 || one->n_times == 0)
            continue;
        for (size_t j = passes->n_cases; j-- > i + 1;) {
            const struct pass_case *many = &passes->cases[j];
            if (many->group != CASE_DECODE || many->n_past != one->n_past || many->n_times == 0)
                continue;
            printf("a step of %u sequences takes %.2f times a step of one (context %u)\n",
                   many->n_sequences,
                   spread_of(many->times_ns, many->n_times).median_ns /
                       spread_of(one->times_ns, one->n_times).median_ns,
                   one->n_past);
            break;
        }
    }
}

static void print_tokens(const struct findings *findings)
{
    const struct token_speed *tokens = &findings->tokens;
    if (tokens->why_not)
        printf("\nTokenizer: left out: %s\n", tokens->why_not);
    if (tokens->n_times == 0)
        return;
    struct spread spread = spread_of(tokens->times_ns, tokens->n_times);
    printf("\nTokenizer: %.2f MB/s, %.0f tokens/s, one thread (%zu bytes, %zu tokens; %.1f ms, "
           "%.1f..%.1f)\n",
           (double)tokens->n_bytes * 1e3 / spread.median_ns,
           (double)tokens->n_tokens * 1e9 / spread.median_ns, tokens->n_bytes, tokens->n_tokens,
           spread.median_ns / 1e6, spread.least_ns / 1e6, spread.most_ns / 1e6);
}

void findings_print(const struct findings *findings)
{
    print_limits(findings);
    if (!findings->has_model)
        return;
    print_model(findings);
    print_group(findings, CASE_PREFILL, "Prefill: a prompt, and the first token behind it");
    print_group(findings, CASE_DECODE, "Decoding: one token of each sequence");
    print_batch_cost(&findings->passes);
    print_group(findings, CASE_ATTENTION,
                "Attention: a decode step whose sequences share the beginning of their context");
    print_tokens(findings);
    replay_print(findings);
}
