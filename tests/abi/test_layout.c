/* Where every field of every public struct lies on LP64 machines, what it is, and the number behind
 * every public constant. These are what compiled programs have in them: a line may be added here,
 * and a struct's size grow; no line ever changes once it was released (docs/abi.md).
 * test_layout_complete.py looks for what is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sot/sot.h>

#define CONSTANT(name, value) _Static_assert((name) == (value), #name " has another number")

/* Constants. */
CONSTANT(SOT_OK, 0);
CONSTANT(SOT_ERR_ARGUMENT, -1);
CONSTANT(SOT_ERR_MEMORY, -2);
CONSTANT(SOT_ERR_IO, -3);
CONSTANT(SOT_ERR_FORMAT, -4);
CONSTANT(SOT_ERR_UNSUPPORTED, -5);
CONSTANT(SOT_ERR_CAPACITY, -6);
CONSTANT(SOT_ERR_CONTEXT_FULL, -7);
CONSTANT(SOT_ERR_CANCELLED, -8);
CONSTANT(SOT_ERR_DEVICE, -9);
CONSTANT(SOT_ERR_THREAD, -10);
CONSTANT(SOT_ERR_RANGE, -11);
CONSTANT(SOT_ERR_BUSY, -12);
CONSTANT(SOT_ERR_INTERNAL, -13);
CONSTANT(SOT_CHAT_KEEP_ALL, 1);
CONSTANT(SOT_PROFILE_FULL, 1);
CONSTANT(SOT_EXTRAPOLATED_LIBSOT, 1);
CONSTANT(SOT_EXTRAPOLATED_PAPER, 2);
CONSTANT(SOT_LABEL_UNDECIDED, 0);
CONSTANT(SOT_LABEL_NORMAL, 1);
CONSTANT(SOT_LABEL_SOT, 2);
CONSTANT(SOT_MODEL_COPY, 1);
CONSTANT(SOT_MODEL_LOCK, 2);
CONSTANT(SOT_LOG_DEBUG, 1);
CONSTANT(SOT_LOG_INFO, 2);
CONSTANT(SOT_LOG_WARNING, 3);
CONSTANT(SOT_MODE_DEFAULT, 0);
CONSTANT(SOT_MODE_NORMAL, 1);
CONSTANT(SOT_MODE_SOT, 2);
CONSTANT(SOT_MODE_ROUTED, 3);
CONSTANT(SOT_FINISH_NONE, 0);
CONSTANT(SOT_FINISH_STOP, 1);
CONSTANT(SOT_FINISH_LENGTH, 2);
CONSTANT(SOT_FINISH_CONTEXT, 3);
CONSTANT(SOT_FINISH_CANCELLED, 4);
CONSTANT(SOT_STAGE_NORMAL, 1);
CONSTANT(SOT_STAGE_SKELETON, 2);
CONSTANT(SOT_STAGE_EXPAND, 3);
CONSTANT(SOT_STAGE_ROUTE, 4);
CONSTANT(SOT_EVENT_STAGE, 1);
CONSTANT(SOT_EVENT_TEXT, 2);
CONSTANT(SOT_EVENT_POINT, 3);
CONSTANT(SOT_EVENT_EXPANSION, 4);
CONSTANT(SOT_EVENT_POINT_END, 5);
CONSTANT(SOT_EVENT_PREFILL, 6);
CONSTANT(SOT_EVENT_DECISION, 7);
CONSTANT(SOT_EVENT_DROPPED, 8);
CONSTANT(SOT_PROMPTS_CHAINED, 1);
CONSTANT(SOT_GENERATE_IGNORE_STOPS, 1);
CONSTANT(SOT_GENERATE_CONCURRENT, 2);
CONSTANT(SOT_ROUTER_DEFAULT, 0);
CONSTANT(SOT_ROUTER_PROMPTING, 1);
CONSTANT(SOT_ROUTER_TRAINED, 2);
CONSTANT(SOT_ROUTER_ALWAYS, 3);
CONSTANT(SOT_ROUTER_NEVER, 4);
CONSTANT(SOT_ROUTER_CALLBACK, 5);
CONSTANT(SOT_TOKENIZE_BOS, 1);
CONSTANT(SOT_TOKENIZE_SPECIAL, 2);

#if defined(__LP64__)

/* A struct ends with its last field: what is added later never lies in bytes that an older program
 * left as they were. Sizes are multiples of 8, which is all that api_params.c takes for a size. */
#define STRUCT(type, size, last)                                                                   \
    _Static_assert(sizeof(type) == (size) && (size) % 8 == 0, #type " is of another size");        \
    _Static_assert(offsetof(type, struct_size) == 0, #type " does not begin with struct_size");    \
    _Static_assert(offsetof(type, last) + sizeof(((type *)0)->last) == (size),                     \
                   #type " has padding at its end")
#define FIELD(type, field, offset, kind)                                                           \
    _Static_assert(offsetof(type, field) == (offset), #type "." #field " lies elsewhere");         \
    _Static_assert(__builtin_types_compatible_p(__typeof__(((type *)0)->field), kind),             \
                   #type "." #field " is of another type")

STRUCT(sot_model_params, 48, log_user);
FIELD(sot_model_params, struct_size, 0, uint32_t);
FIELD(sot_model_params, flags, 4, uint32_t);
FIELD(sot_model_params, device, 8, const char *);
FIELD(sot_model_params, progress, 16, sot_progress_fn);
FIELD(sot_model_params, progress_user, 24, void *);
FIELD(sot_model_params, log, 32, sot_log_fn);
FIELD(sot_model_params, log_user, 40, void *);

STRUCT(sot_model_info, 112, conversation);
FIELD(sot_model_info, struct_size, 0, uint32_t);
FIELD(sot_model_info, n_layer, 4, uint32_t);
FIELD(sot_model_info, n_head, 8, uint32_t);
FIELD(sot_model_info, n_kv, 12, uint32_t);
FIELD(sot_model_info, d_head, 16, uint32_t);
FIELD(sot_model_info, d_model, 20, uint32_t);
FIELD(sot_model_info, d_ff, 24, uint32_t);
FIELD(sot_model_info, n_vocab, 28, uint32_t);
FIELD(sot_model_info, n_ctx_train, 32, uint32_t);
FIELD(sot_model_info, bos_id, 36, int32_t);
FIELD(sot_model_info, eos_id, 40, int32_t);
FIELD(sot_model_info, n_parameters, 48, uint64_t);
FIELD(sot_model_info, weight_bytes, 56, uint64_t);
FIELD(sot_model_info, converted_bytes, 64, uint64_t);
FIELD(sot_model_info, rope_theta, 72, float);
FIELD(sot_model_info, rope_scale, 76, float);
FIELD(sot_model_info, norm_eps, 80, float);
FIELD(sot_model_info, has_tokenizer, 84, uint32_t);
FIELD(sot_model_info, name, 88, const char *);
FIELD(sot_model_info, device, 96, const char *);
FIELD(sot_model_info, conversation, 104, const char *);

STRUCT(sot_session_params, 40, flags);
FIELD(sot_session_params, struct_size, 0, uint32_t);
FIELD(sot_session_params, n_threads, 4, uint32_t);
FIELD(sot_session_params, n_ctx, 8, uint32_t);
FIELD(sot_session_params, max_batch, 12, uint32_t);
FIELD(sot_session_params, kv_tokens, 16, uint32_t);
FIELD(sot_session_params, chunk_rows, 20, uint32_t);
FIELD(sot_session_params, isa, 24, const char *);
FIELD(sot_session_params, pin_threads, 32, uint32_t);
FIELD(sot_session_params, flags, 36, uint32_t);

STRUCT(sot_session_info, 40, session_bytes);
FIELD(sot_session_info, struct_size, 0, uint32_t);
FIELD(sot_session_info, n_threads, 4, uint32_t);
FIELD(sot_session_info, n_ctx, 8, uint32_t);
FIELD(sot_session_info, max_batch, 12, uint32_t);
FIELD(sot_session_info, kv_tokens, 16, uint32_t);
FIELD(sot_session_info, chunk_rows, 20, uint32_t);
FIELD(sot_session_info, isa, 24, const char *);
FIELD(sot_session_info, session_bytes, 32, uint64_t);

STRUCT(sot_event, 64, decision);
FIELD(sot_event, struct_size, 0, uint32_t);
FIELD(sot_event, type, 4, uint32_t);
FIELD(sot_event, stage, 8, uint32_t);
FIELD(sot_event, i_point, 12, uint32_t);
FIELD(sot_event, text, 16, const char *);
FIELD(sot_event, text_size, 24, size_t);
FIELD(sot_event, finish, 32, uint32_t);
FIELD(sot_event, n_done, 36, uint32_t);
FIELD(sot_event, n_total, 40, uint32_t);
FIELD(sot_event, index, 48, const char *);
FIELD(sot_event, decision, 56, const sot_decision *);

STRUCT(sot_conversation, 72, answer_gap);
FIELD(sot_conversation, struct_size, 0, uint32_t);
FIELD(sot_conversation, flags, 4, uint32_t);
FIELD(sot_conversation, user_tag, 8, const char *);
FIELD(sot_conversation, user_end, 16, const char *);
FIELD(sot_conversation, assistant_tag, 24, const char *);
FIELD(sot_conversation, assistant_end, 32, const char *);
FIELD(sot_conversation, system_tag, 40, const char *);
FIELD(sot_conversation, system_end, 48, const char *);
FIELD(sot_conversation, stop, 56, const char *);
FIELD(sot_conversation, answer_gap, 64, const char *);

STRUCT(sot_prompts, 32, router);
FIELD(sot_prompts, struct_size, 0, uint32_t);
FIELD(sot_prompts, flags, 4, uint32_t);
FIELD(sot_prompts, skeleton, 8, const char *);
FIELD(sot_prompts, point, 16, const char *);
FIELD(sot_prompts, router, 24, const char *);

STRUCT(sot_generate_params, 216, route_user);
FIELD(sot_generate_params, struct_size, 0, uint32_t);
FIELD(sot_generate_params, mode, 4, uint32_t);
FIELD(sot_generate_params, temperature, 8, float);
FIELD(sot_generate_params, top_p, 12, float);
FIELD(sot_generate_params, repetition_penalty, 16, float);
FIELD(sot_generate_params, top_k, 20, uint32_t);
FIELD(sot_generate_params, seed, 24, uint64_t);
FIELD(sot_generate_params, max_tokens, 32, uint32_t);
FIELD(sot_generate_params, max_skeleton_tokens, 36, uint32_t);
FIELD(sot_generate_params, max_point_tokens, 40, uint32_t);
FIELD(sot_generate_params, max_points, 44, uint32_t);
FIELD(sot_generate_params, stop_ids, 48, const int32_t *);
FIELD(sot_generate_params, n_stop_ids, 56, size_t);
FIELD(sot_generate_params, stop_strings, 64, const char *const *);
FIELD(sot_generate_params, n_stop_strings, 72, size_t);
FIELD(sot_generate_params, on_event, 80, sot_event_fn);
FIELD(sot_generate_params, event_user, 88, void *);
FIELD(sot_generate_params, conversation, 96, const char *);
FIELD(sot_generate_params, custom_conversation, 104, const sot_conversation *);
FIELD(sot_generate_params, system_message, 112, const char *);
FIELD(sot_generate_params, prompts, 120, const sot_prompts *);
FIELD(sot_generate_params, history, 128, const char *const *);
FIELD(sot_generate_params, n_history, 136, size_t);
FIELD(sot_generate_params, flags, 144, uint32_t);
FIELD(sot_generate_params, point_limits, 152, const uint32_t *);
FIELD(sot_generate_params, n_point_limits, 160, size_t);
FIELD(sot_generate_params, wording, 168, const char *);
FIELD(sot_generate_params, forced_skeleton, 176, const char *);
FIELD(sot_generate_params, router, 184, uint32_t);
FIELD(sot_generate_params, reserved, 188, uint32_t);
FIELD(sot_generate_params, trained_router, 192, const sot_router *);
FIELD(sot_generate_params, on_route, 200, sot_route_fn);
FIELD(sot_generate_params, route_user, 208, void *);

STRUCT(sot_stats, 216, won_ns);
FIELD(sot_stats, struct_size, 0, uint32_t);
FIELD(sot_stats, mode, 4, uint32_t);
FIELD(sot_stats, n_points, 8, uint32_t);
FIELD(sot_stats, n_points_dropped, 12, uint32_t);
FIELD(sot_stats, prefill_ns, 16, uint64_t[4]);
FIELD(sot_stats, decode_ns, 48, uint64_t[4]);
FIELD(sot_stats, prefill_tokens, 80, uint32_t[4]);
FIELD(sot_stats, reused_tokens, 96, uint32_t[4]);
FIELD(sot_stats, decode_tokens, 112, uint32_t[4]);
FIELD(sot_stats, decode_steps, 128, uint32_t[4]);
FIELD(sot_stats, max_rows, 144, uint32_t[4]);
FIELD(sot_stats, longest_expansion, 160, uint32_t);
FIELD(sot_stats, total_ns, 168, uint64_t);
FIELD(sot_stats, peak_page_tokens, 176, uint64_t);
FIELD(sot_stats, session_bytes, 184, uint64_t);
FIELD(sot_stats, route_ns, 192, uint64_t);
FIELD(sot_stats, spent_tokens, 200, uint32_t);
FIELD(sot_stats, reserved, 204, uint32_t);
FIELD(sot_stats, won_ns, 208, int64_t);

STRUCT(sot_measure_params, 32, flags);
FIELD(sot_measure_params, struct_size, 0, uint32_t);
FIELD(sot_measure_params, n_sequences, 4, uint32_t);
FIELD(sot_measure_params, n_new, 8, uint32_t);
FIELD(sot_measure_params, n_past, 12, uint32_t);
FIELD(sot_measure_params, n_shared, 16, uint32_t);
FIELD(sot_measure_params, n_warmup, 20, uint32_t);
FIELD(sot_measure_params, n_repeats, 24, uint32_t);
FIELD(sot_measure_params, flags, 28, uint32_t);

STRUCT(sot_chat_params, 16, reserved);
FIELD(sot_chat_params, struct_size, 0, uint32_t);
FIELD(sot_chat_params, flags, 4, uint32_t);
FIELD(sot_chat_params, reserve_tokens, 8, uint32_t);
FIELD(sot_chat_params, reserved, 12, uint32_t);

STRUCT(sot_profile_params, 56, progress_user);
FIELD(sot_profile_params, struct_size, 0, uint32_t);
FIELD(sot_profile_params, flags, 4, uint32_t);
FIELD(sot_profile_params, max_batch, 8, uint32_t);
FIELD(sot_profile_params, max_context, 12, uint32_t);
FIELD(sot_profile_params, n_decode_repeats, 16, uint32_t);
FIELD(sot_profile_params, n_prefill_repeats, 20, uint32_t);
FIELD(sot_profile_params, cell_ns, 24, uint64_t);
FIELD(sot_profile_params, machine, 32, const char *);
FIELD(sot_profile_params, progress, 40, sot_profile_fn);
FIELD(sot_profile_params, progress_user, 48, void *);

STRUCT(sot_profile_info, 128, weight_bytes);
FIELD(sot_profile_info, struct_size, 0, uint32_t);
FIELD(sot_profile_info, flags, 4, uint32_t);
FIELD(sot_profile_info, libsot, 8, const char *);
FIELD(sot_profile_info, machine, 16, const char *);
FIELD(sot_profile_info, device, 24, const char *);
FIELD(sot_profile_info, isa, 32, const char *);
FIELD(sot_profile_info, model_name, 40, const char *);
FIELD(sot_profile_info, n_threads, 48, uint32_t);
FIELD(sot_profile_info, n_ctx, 52, uint32_t);
FIELD(sot_profile_info, max_batch, 56, uint32_t);
FIELD(sot_profile_info, chunk_rows, 60, uint32_t);
FIELD(sot_profile_info, n_layer, 64, uint32_t);
FIELD(sot_profile_info, n_head, 68, uint32_t);
FIELD(sot_profile_info, n_kv, 72, uint32_t);
FIELD(sot_profile_info, d_head, 76, uint32_t);
FIELD(sot_profile_info, d_model, 80, uint32_t);
FIELD(sot_profile_info, d_ff, 84, uint32_t);
FIELD(sot_profile_info, n_vocab, 88, uint32_t);
FIELD(sot_profile_info, n_cells, 92, uint32_t);
FIELD(sot_profile_info, n_cells_left_out, 96, uint32_t);
FIELD(sot_profile_info, prefill_max_batch, 100, uint32_t);
FIELD(sot_profile_info, prefill_max_tokens, 104, uint32_t);
FIELD(sot_profile_info, decode_max_batch, 108, uint32_t);
FIELD(sot_profile_info, decode_max_context, 112, uint32_t);
FIELD(sot_profile_info, reserved, 116, uint32_t);
FIELD(sot_profile_info, weight_bytes, 120, uint64_t);

STRUCT(sot_lengths, 56, flags);
FIELD(sot_lengths, struct_size, 0, uint32_t);
FIELD(sot_lengths, normal_prompt, 4, uint32_t);
FIELD(sot_lengths, normal_tokens, 8, uint32_t);
FIELD(sot_lengths, skeleton_prompt, 12, uint32_t);
FIELD(sot_lengths, skeleton_found, 16, uint32_t);
FIELD(sot_lengths, skeleton_tokens, 20, uint32_t);
FIELD(sot_lengths, common_prompt, 24, uint32_t);
FIELD(sot_lengths, common_found, 28, uint32_t);
FIELD(sot_lengths, point_prompt_tails, 32, const uint32_t *);
FIELD(sot_lengths, point_tokens, 40, const uint32_t *);
FIELD(sot_lengths, n_points, 48, uint32_t);
FIELD(sot_lengths, flags, 52, uint32_t);

STRUCT(sot_estimate, 96, paper_expand_flops);
FIELD(sot_estimate, struct_size, 0, uint32_t);
FIELD(sot_estimate, extrapolated, 4, uint32_t);
FIELD(sot_estimate, normal_ns, 8, double);
FIELD(sot_estimate, skeleton_ns, 16, double);
FIELD(sot_estimate, expand_ns, 24, double);
FIELD(sot_estimate, sot_ns, 32, double);
FIELD(sot_estimate, speedup, 40, double);
FIELD(sot_estimate, paper_normal_ns, 48, double);
FIELD(sot_estimate, paper_skeleton_ns, 56, double);
FIELD(sot_estimate, paper_expand_ns, 64, double);
FIELD(sot_estimate, paper_speedup, 72, double);
FIELD(sot_estimate, paper_normal_flops, 80, double);
FIELD(sot_estimate, paper_expand_flops, 88, double);

STRUCT(sot_break_even_params, 48, flags);
FIELD(sot_break_even_params, struct_size, 0, uint32_t);
FIELD(sot_break_even_params, point_tokens, 4, uint32_t);
FIELD(sot_break_even_params, normal_per_point, 8, float);
FIELD(sot_break_even_params, skeleton_per_point, 12, float);
FIELD(sot_break_even_params, normal_prompt, 16, uint32_t);
FIELD(sot_break_even_params, skeleton_prompt, 20, uint32_t);
FIELD(sot_break_even_params, skeleton_found, 24, uint32_t);
FIELD(sot_break_even_params, common_prompt, 28, uint32_t);
FIELD(sot_break_even_params, common_found, 32, uint32_t);
FIELD(sot_break_even_params, point_tail, 36, uint32_t);
FIELD(sot_break_even_params, max_points, 40, uint32_t);
FIELD(sot_break_even_params, flags, 44, uint32_t);

STRUCT(sot_break_even, 32, extrapolated);
FIELD(sot_break_even, struct_size, 0, uint32_t);
FIELD(sot_break_even, n_points, 4, uint32_t);
FIELD(sot_break_even, speedup, 8, double);
FIELD(sot_break_even, max_speedup, 16, double);
FIELD(sot_break_even, best_points, 24, uint32_t);
FIELD(sot_break_even, extrapolated, 28, uint32_t);

STRUCT(sot_decision, 32, latency_ns);
FIELD(sot_decision, struct_size, 0, uint32_t);
FIELD(sot_decision, router, 4, uint32_t);
FIELD(sot_decision, label, 8, uint32_t);
FIELD(sot_decision, letter, 12, uint32_t);
FIELD(sot_decision, score, 16, float);
FIELD(sot_decision, n_tokens, 20, uint32_t);
FIELD(sot_decision, latency_ns, 24, uint64_t);

#endif

#define CHECK_INIT(type, INIT)                                                                     \
    do {                                                                                           \
        static const type made = INIT;                                                             \
        check_init(#type, &made, sizeof made);                                                     \
    } while (0)

static void check_init(const char *what, const void *made, size_t size)
{
    unsigned char expected[512] = {0};
    const uint32_t struct_size = (uint32_t)size;
    assert_in_range(size, sizeof struct_size, sizeof expected);
    memcpy(expected, &struct_size, sizeof struct_size);
    if (memcmp(made, expected, size) != 0) {
        fail_msg("%s: is not initialized to its size and zero", what);
    }
}

static void init_macros_set_the_size_and_zero(void **state)
{
    (void)state;
    CHECK_INIT(sot_model_params, SOT_MODEL_PARAMS_INIT);
    CHECK_INIT(sot_model_info, SOT_MODEL_INFO_INIT);
    CHECK_INIT(sot_session_params, SOT_SESSION_PARAMS_INIT);
    CHECK_INIT(sot_session_info, SOT_SESSION_INFO_INIT);
    CHECK_INIT(sot_conversation, SOT_CONVERSATION_INIT);
    CHECK_INIT(sot_prompts, SOT_PROMPTS_INIT);
    CHECK_INIT(sot_generate_params, SOT_GENERATE_PARAMS_INIT);
    CHECK_INIT(sot_stats, SOT_STATS_INIT);
    CHECK_INIT(sot_measure_params, SOT_MEASURE_PARAMS_INIT);
    CHECK_INIT(sot_chat_params, SOT_CHAT_PARAMS_INIT);
    CHECK_INIT(sot_profile_params, SOT_PROFILE_PARAMS_INIT);
    CHECK_INIT(sot_profile_info, SOT_PROFILE_INFO_INIT);
    CHECK_INIT(sot_lengths, SOT_LENGTHS_INIT);
    CHECK_INIT(sot_estimate, SOT_ESTIMATE_INIT);
    CHECK_INIT(sot_break_even_params, SOT_BREAK_EVEN_PARAMS_INIT);
    CHECK_INIT(sot_break_even, SOT_BREAK_EVEN_INIT);
    CHECK_INIT(sot_decision, SOT_DECISION_INIT);
}

int main(void)
{
#if !defined(__LP64__)
    print_message("SKIPPED: sizes and offsets are written down for LP64 only\n");
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_macros_set_the_size_and_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
