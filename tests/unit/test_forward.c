/* The layer loop over the fake backend, which checks the order of calls itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "fake_backend.h"
#include "model/forward.h"

static const int32_t tokens[] = {3, 1, 4};
static const uint32_t positions[] = {0, 1, 2};
static const uint32_t sequences[] = {0, 0, 0};
static const uint32_t table[] = {0};
static const soti_row_group group = {.first_row = 0, .n_rows = 3};
static const uint32_t logit_rows[] = {2};

static const soti_rows rows = {.n_rows = 3,
                               .n_prompt_rows = 3,
                               .tokens = tokens,
                               .positions = positions,
                               .sequences = sequences,
                               .n_sequences = 1,
                               .page_tables = table,
                               .table_stride = 1,
                               .n_groups = 1,
                               .groups = &group,
                               .n_logits = 1,
                               .logit_rows = logit_rows};

static soti_device_weights weights;

static soti_context *make_context(void)
{
    const soti_context_params params = {
        .n_rows_max = 3, .n_logits_max = 1, .n_sequences_max = 1, .n_pages = 1, .n_table_max = 1};
    soti_context *context = NULL;
    assert_int_equal(fake_context_create(&weights, &params, &context), SOT_OK);
    fake = (fake_control){.fail_after_calls = -1, .cancel_at_layer = -1};
    return context;
}

static void forward_runs_every_layer_in_order(void **state)
{
    (void)state;
    soti_context *context = make_context();
    assert_int_equal(soti_forward(&fake_backend, context, FAKE_LAYERS, &rows, NULL), SOT_OK);
    assert_true(context->x[2] == fake_expected(tokens, 3));
    assert_int_equal(context->stage, 3 + 5 * FAKE_LAYERS); /* logits were computed */
    fake_context_free(context);
}

static void forward_without_logit_rows_computes_no_logits(void **state)
{
    (void)state;
    soti_context *context = make_context();
    soti_rows silent = rows;
    silent.n_logits = 0;
    assert_int_equal(soti_forward(&fake_backend, context, FAKE_LAYERS, &silent, NULL), SOT_OK);
    assert_int_equal(context->stage, 2 + 5 * FAKE_LAYERS);
    fake_context_free(context);
}

static void forward_cancelled_stops_before_the_next_layer(void **state)
{
    (void)state;
    soti_context *context = make_context();
    atomic_int cancel = 0;
    fake.cancel = &cancel;
    fake.cancel_at_layer = 1;
    assert_int_equal(soti_forward(&fake_backend, context, FAKE_LAYERS, &rows, &cancel),
                     SOT_ERR_CANCELLED);
    assert_int_equal(fake.n_layers_run, 2);
    assert_non_null(strstr(soti_fail_message(), "layer 2 of 3"));
    fake_context_free(context);
}

static void forward_any_failing_stage_is_reported(void **state)
{
    (void)state;
    soti_context *context = make_context();
    const int n_calls = 2 + 5 * FAKE_LAYERS + 1;
    for (int i = 0; i < n_calls; i++) {
        fake.fail_after_calls = i;
        assert_int_equal(soti_forward(&fake_backend, context, FAKE_LAYERS, &rows, NULL),
                         SOT_ERR_DEVICE);
    }
    fake.fail_after_calls = n_calls;
    assert_int_equal(soti_forward(&fake_backend, context, FAKE_LAYERS, &rows, NULL), SOT_OK);
    fake_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_runs_every_layer_in_order),
        cmocka_unit_test(forward_without_logit_rows_computes_no_logits),
        cmocka_unit_test(forward_cancelled_stops_before_the_next_layer),
        cmocka_unit_test(forward_any_failing_stage_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
