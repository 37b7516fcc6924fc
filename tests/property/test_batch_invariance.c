/* A sequence's tokens and logits do not depend on what it was batched with, on how its prompt was
 * cut into passes, on the order of the batch or on the number of threads: bit for bit what one
 * branch after the other gives on one thread, token by token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "branch_scenario.h"
#include "isa_list.h"

#if defined(SOT_TEST_EMULATED)
enum { ROUNDS = 6, WAYS = 4 };
#else
enum { ROUNDS = 12, WAYS = 4 };
#endif

static void compare_ways(const char *isa, uint64_t seed)
{
    static outcome alone, other;
    scenario s = {0};
    random_source random = {.state = seed};
    sot_model *model = scenario_open(&s, &random);
    const setup slowest = {.chunk_rows = 1, .n_threads = 1, .grouping = 1, .isa = isa};
    scenario_run(model, &s, &slowest, &alone);
    for (int way = 0; way < WAYS; way++) {
        setup how = {.n_threads = way == 1 ? random_between(&random, 2, 3) : 1,
                     .together = way > 0,
                     .reversed = random_between(&random, 0, 1),
                     .forked = random_between(&random, 0, 1),
                     .grouping = random_between(&random, 0, 1),
                     .isa = isa};
        how.chunk_rows = random_between(&random, how.together ? BRANCHES_MAX : 1, 140);
        scenario_run(model, &s, &how, &other);
        if (memcmp(&alone, &other, sizeof alone) != 0) {
            fail_msg("case %llu, %s on %s: other bits with chunk_rows %u, n_threads %u, together "
                     "%u, reversed %u, forked %u, grouping %u",
                     (unsigned long long)seed, s.path, isa, how.chunk_rows, how.n_threads,
                     how.together, how.reversed, how.forked, how.grouping);
        }
    }
    soti_model_release(model);
}

static void check_isa(const char *isa)
{
    for (uint64_t seed = 100; seed < 100 + ROUNDS; seed++) {
        compare_ways(isa, seed);
    }
}

static void batch_gives_each_sequence_the_bits_it_gets_alone(void **state)
{
    (void)state;
    for_each_isa(check_isa);
}

/* The test above compares: this one makes sure that there is something to compare. */
static void batch_other_streams_and_texts_give_other_tokens(void **state)
{
    (void)state;
    static outcome first, second;
    scenario s = {0};
    random_source random = {.state = 7};
    sot_model *model = scenario_open(&s, &random);
    const setup how = {.chunk_rows = 64, .n_threads = 1, .together = 1, .forked = 1, .grouping = 1};
    s.sampling = (soti_sampler_params){.temperature = 1.0f, .seed = 1};
    s.n_branches = 2;
    s.n_suffix[1] = s.n_suffix[0];
    s.n_decode[0] = s.n_decode[1] = DECODE_MAX;
    memcpy(s.suffix[1], s.suffix[0], sizeof s.suffix[0]);
    scenario_run(model, &s, &how, &first);
    assert_memory_not_equal(first.tokens[0], first.tokens[1], sizeof first.tokens[0]);
    s.sampling.seed = 2;
    scenario_run(model, &s, &how, &second);
    assert_memory_not_equal(first.tokens[0], second.tokens[0], sizeof first.tokens[0]);
    s.sampling.temperature = 0;
    scenario_run(model, &s, &how, &second);
    assert_memory_equal(second.tokens[0], second.tokens[1], sizeof second.tokens[0]);
    s.suffix[1][0] = (s.suffix[1][0] + 1) % (int32_t)s.n_vocab;
    scenario_run(model, &s, &how, &first);
    assert_memory_not_equal(first.logits[0], first.logits[1], s.n_vocab * sizeof(float));
    soti_model_release(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_gives_each_sequence_the_bits_it_gets_alone),
        cmocka_unit_test(batch_other_streams_and_texts_give_other_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
