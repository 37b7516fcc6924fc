/* Shared equals flat: attention over pages that a group reads once is bit for bit attention of each
 * row alone, and a forked prefix is bit for bit one that the branch computed itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "branch_scenario.h"
#include "isa_list.h"

#if defined(SOT_TEST_EMULATED)
enum { ROUNDS = 10 };
#else
enum { ROUNDS = 30 };
#endif

static void assert_same(const scenario *s, const outcome *a, const outcome *b, uint64_t seed,
                        const char *what)
{
    if (memcmp(a, b, sizeof *a) != 0) {
        fail_msg("case %llu, %s: %s makes a difference", (unsigned long long)seed, s->path, what);
    }
}

static void check_isa(const char *isa)
{
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        static outcome flat, shared, own_prefix;
        scenario s = {0};
        random_source random = {.state = seed};
        sot_model *model = scenario_open(&s, &random);
        setup how = {.chunk_rows = random_between(&random, BRANCHES_MAX, 140),
                     .n_threads = 1,
                     .together = 1,
                     .forked = 1,
                     .grouping = 0,
                     .isa = isa};
        scenario_run(model, &s, &how, &flat);
        how.grouping = 1;
        scenario_run(model, &s, &how, &shared);
        assert_same(&s, &flat, &shared, seed, "grouping");
        how.forked = 0;
        scenario_run(model, &s, &how, &own_prefix);
        assert_same(&s, &flat, &own_prefix, seed, "forking");
        soti_model_release(model);
    }
}

static void shared_pages_equal_flat_bit_for_bit(void **state)
{
    (void)state;
    for_each_isa(check_isa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_pages_equal_flat_bit_for_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
