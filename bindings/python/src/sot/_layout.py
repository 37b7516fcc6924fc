"""The structs and functions of include/sot, as ctypes has to be told of them, under their C names.

Written here and nowhere else; tests/test_struct_layout.py compiles a C program from these classes
and compares every struct, field, size, offset, kind of number and prototype with the headers.
"""

from __future__ import annotations

from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_double,
    c_float,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any, Dict, List, Tuple


class sot_model(Structure):
    """Opaque."""


class sot_session(Structure):
    """Opaque."""


class sot_points(Structure):
    """Opaque."""


class sot_answer(Structure):
    """Opaque."""


class sot_chat(Structure):
    """Opaque."""


class sot_router(Structure):
    """Opaque."""


class sot_profile(Structure):
    """Opaque."""


# Text out that may hold NULs and goes with a size, and arrays of strings.
text_p = POINTER(c_char)
strings_p = POINTER(c_char_p)

sot_progress_fn = CFUNCTYPE(c_int32, c_uint64, c_uint64, c_void_p)
sot_profile_fn = CFUNCTYPE(c_int32, c_uint64, c_uint64, c_void_p)
sot_log_fn = CFUNCTYPE(None, c_int32, c_char_p, c_void_p)


class sot_model_params(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("device", c_char_p),
        ("progress", sot_progress_fn),
        ("progress_user", c_void_p),
        ("log", sot_log_fn),
        ("log_user", c_void_p),
    ]


class sot_model_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("n_layer", c_uint32),
        ("n_head", c_uint32),
        ("n_kv", c_uint32),
        ("d_head", c_uint32),
        ("d_model", c_uint32),
        ("d_ff", c_uint32),
        ("n_vocab", c_uint32),
        ("n_ctx_train", c_uint32),
        ("bos_id", c_int32),
        ("eos_id", c_int32),
        ("n_parameters", c_uint64),
        ("weight_bytes", c_uint64),
        ("converted_bytes", c_uint64),
        ("rope_theta", c_float),
        ("rope_scale", c_float),
        ("norm_eps", c_float),
        ("has_tokenizer", c_uint32),
        ("name", c_char_p),
        ("device", c_char_p),
        ("conversation", c_char_p),
    ]


class sot_session_params(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("n_threads", c_uint32),
        ("n_ctx", c_uint32),
        ("max_batch", c_uint32),
        ("kv_tokens", c_uint32),
        ("chunk_rows", c_uint32),
        ("isa", c_char_p),
        ("pin_threads", c_uint32),
        ("flags", c_uint32),
    ]


class sot_session_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("n_threads", c_uint32),
        ("n_ctx", c_uint32),
        ("max_batch", c_uint32),
        ("kv_tokens", c_uint32),
        ("chunk_rows", c_uint32),
        ("isa", c_char_p),
        ("session_bytes", c_uint64),
    ]


class sot_decision(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("router", c_uint32),
        ("label", c_uint32),
        ("letter", c_uint32),
        ("score", c_float),
        ("n_tokens", c_uint32),
        ("latency_ns", c_uint64),
    ]


class sot_event(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("type", c_uint32),
        ("stage", c_uint32),
        ("i_point", c_uint32),
        ("text", text_p),
        ("text_size", c_size_t),
        ("finish", c_uint32),
        ("n_done", c_uint32),
        ("n_total", c_uint32),
        ("index", c_char_p),
        ("decision", POINTER(sot_decision)),
    ]


sot_event_fn = CFUNCTYPE(c_int32, POINTER(sot_event), c_void_p)
sot_route_fn = CFUNCTYPE(c_int32, c_char_p, POINTER(sot_decision), c_void_p)


class sot_conversation(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("user_tag", c_char_p),
        ("user_end", c_char_p),
        ("assistant_tag", c_char_p),
        ("assistant_end", c_char_p),
        ("system_tag", c_char_p),
        ("system_end", c_char_p),
        ("stop", c_char_p),
        ("answer_gap", c_char_p),
    ]


class sot_prompts(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("skeleton", c_char_p),
        ("point", c_char_p),
        ("router", c_char_p),
    ]


class sot_generate_params(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("mode", c_uint32),
        ("temperature", c_float),
        ("top_p", c_float),
        ("repetition_penalty", c_float),
        ("top_k", c_uint32),
        ("seed", c_uint64),
        ("max_tokens", c_uint32),
        ("max_skeleton_tokens", c_uint32),
        ("max_point_tokens", c_uint32),
        ("max_points", c_uint32),
        ("stop_ids", POINTER(c_int32)),
        ("n_stop_ids", c_size_t),
        ("stop_strings", strings_p),
        ("n_stop_strings", c_size_t),
        ("on_event", sot_event_fn),
        ("event_user", c_void_p),
        ("conversation", c_char_p),
        ("custom_conversation", POINTER(sot_conversation)),
        ("system_message", c_char_p),
        ("prompts", POINTER(sot_prompts)),
        ("history", strings_p),
        ("n_history", c_size_t),
        ("flags", c_uint32),
        ("point_limits", POINTER(c_uint32)),
        ("n_point_limits", c_size_t),
        ("wording", c_char_p),
        ("forced_skeleton", c_char_p),
        ("router", c_uint32),
        ("reserved", c_uint32),
        ("trained_router", POINTER(sot_router)),
        ("on_route", sot_route_fn),
        ("route_user", c_void_p),
    ]


class sot_stats(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("mode", c_uint32),
        ("n_points", c_uint32),
        ("n_points_dropped", c_uint32),
        ("prefill_ns", c_uint64 * 4),
        ("decode_ns", c_uint64 * 4),
        ("prefill_tokens", c_uint32 * 4),
        ("reused_tokens", c_uint32 * 4),
        ("decode_tokens", c_uint32 * 4),
        ("decode_steps", c_uint32 * 4),
        ("max_rows", c_uint32 * 4),
        ("longest_expansion", c_uint32),
        ("total_ns", c_uint64),
        ("peak_page_tokens", c_uint64),
        ("session_bytes", c_uint64),
        ("route_ns", c_uint64),
        ("spent_tokens", c_uint32),
        ("reserved", c_uint32),
        ("won_ns", c_int64),
    ]


class sot_measure_params(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("n_sequences", c_uint32),
        ("n_new", c_uint32),
        ("n_past", c_uint32),
        ("n_shared", c_uint32),
        ("n_warmup", c_uint32),
        ("n_repeats", c_uint32),
        ("flags", c_uint32),
    ]


class sot_chat_params(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("reserve_tokens", c_uint32),
        ("reserved", c_uint32),
    ]


class sot_profile_params(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("max_batch", c_uint32),
        ("max_context", c_uint32),
        ("n_decode_repeats", c_uint32),
        ("n_prefill_repeats", c_uint32),
        ("cell_ns", c_uint64),
        ("machine", c_char_p),
        ("progress", sot_profile_fn),
        ("progress_user", c_void_p),
    ]


class sot_profile_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("libsot", c_char_p),
        ("machine", c_char_p),
        ("device", c_char_p),
        ("isa", c_char_p),
        ("model_name", c_char_p),
        ("n_threads", c_uint32),
        ("n_ctx", c_uint32),
        ("max_batch", c_uint32),
        ("chunk_rows", c_uint32),
        ("n_layer", c_uint32),
        ("n_head", c_uint32),
        ("n_kv", c_uint32),
        ("d_head", c_uint32),
        ("d_model", c_uint32),
        ("d_ff", c_uint32),
        ("n_vocab", c_uint32),
        ("n_cells", c_uint32),
        ("n_cells_left_out", c_uint32),
        ("prefill_max_batch", c_uint32),
        ("prefill_max_tokens", c_uint32),
        ("decode_max_batch", c_uint32),
        ("decode_max_context", c_uint32),
        ("reserved", c_uint32),
        ("weight_bytes", c_uint64),
    ]


class sot_lengths(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("normal_prompt", c_uint32),
        ("normal_tokens", c_uint32),
        ("skeleton_prompt", c_uint32),
        ("skeleton_found", c_uint32),
        ("skeleton_tokens", c_uint32),
        ("common_prompt", c_uint32),
        ("common_found", c_uint32),
        ("point_prompt_tails", POINTER(c_uint32)),
        ("point_tokens", POINTER(c_uint32)),
        ("n_points", c_uint32),
        ("flags", c_uint32),
    ]


class sot_estimate(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("extrapolated", c_uint32),
        ("normal_ns", c_double),
        ("skeleton_ns", c_double),
        ("expand_ns", c_double),
        ("sot_ns", c_double),
        ("speedup", c_double),
        ("paper_normal_ns", c_double),
        ("paper_skeleton_ns", c_double),
        ("paper_expand_ns", c_double),
        ("paper_speedup", c_double),
        ("paper_normal_flops", c_double),
        ("paper_expand_flops", c_double),
    ]


class sot_break_even_params(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("point_tokens", c_uint32),
        ("normal_per_point", c_float),
        ("skeleton_per_point", c_float),
        ("normal_prompt", c_uint32),
        ("skeleton_prompt", c_uint32),
        ("skeleton_found", c_uint32),
        ("common_prompt", c_uint32),
        ("common_found", c_uint32),
        ("point_tail", c_uint32),
        ("max_points", c_uint32),
        ("flags", c_uint32),
    ]


class sot_break_even(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("n_points", c_uint32),
        ("speedup", c_double),
        ("max_speedup", c_double),
        ("best_points", c_uint32),
        ("extrapolated", c_uint32),
    ]


OPAQUE = (sot_model, sot_session, sot_points, sot_answer, sot_chat, sot_router, sot_profile)
STRUCTS = (
    sot_model_params,
    sot_model_info,
    sot_session_params,
    sot_session_info,
    sot_decision,
    sot_event,
    sot_conversation,
    sot_prompts,
    sot_generate_params,
    sot_stats,
    sot_measure_params,
    sot_chat_params,
    sot_profile_params,
    sot_profile_info,
    sot_lengths,
    sot_estimate,
    sot_break_even_params,
    sot_break_even,
)

model_p = POINTER(sot_model)
session_p = POINTER(sot_session)
points_p = POINTER(sot_points)
answer_p = POINTER(sot_answer)
chat_p = POINTER(sot_chat)
router_p = POINTER(sot_router)
profile_p = POINTER(sot_profile)
prompts_p = POINTER(sot_prompts)
generate_p = POINTER(sot_generate_params)
status = c_int32

FUNCTIONS: Dict[str, Tuple[Any, List[Any]]] = {
    "sot_model_load": (status, [c_char_p, POINTER(sot_model_params), POINTER(model_p)]),
    "sot_model_free": (None, [model_p]),
    "sot_model_get_info": (status, [model_p, POINTER(sot_model_info)]),
    "sot_model_save": (status, [model_p, c_char_p, sot_progress_fn, c_void_p]),
    "sot_session_create": (status, [model_p, POINTER(sot_session_params), POINTER(session_p)]),
    "sot_session_get_info": (status, [session_p, POINTER(sot_session_info)]),
    "sot_session_free": (None, [session_p]),
    "sot_session_cancel": (None, [session_p]),
    "sot_session_measure": (status, [session_p, POINTER(sot_measure_params), POINTER(c_uint64)]),
    "sot_prompts_load": (status, [c_char_p, POINTER(prompts_p)]),
    "sot_prompts_free": (None, [prompts_p]),
    "sot_generate": (status, [session_p, c_char_p, generate_p, POINTER(answer_p)]),
    "sot_skeleton": (status, [session_p, c_char_p, generate_p, POINTER(points_p)]),
    "sot_expand_batch": (status, [session_p, c_char_p, points_p, generate_p, POINTER(answer_p)]),
    "sot_route": (status, [session_p, c_char_p, generate_p, POINTER(sot_decision)]),
    "sot_answer_text": (text_p, [answer_p]),
    "sot_answer_text_size": (c_size_t, [answer_p]),
    "sot_answer_points": (points_p, [answer_p]),
    "sot_answer_point_count": (c_size_t, [answer_p]),
    "sot_answer_point": (text_p, [answer_p, c_size_t]),
    "sot_answer_point_size": (c_size_t, [answer_p, c_size_t]),
    "sot_answer_point_finish": (c_uint32, [answer_p, c_size_t]),
    "sot_answer_point_tokens": (c_uint32, [answer_p, c_size_t]),
    "sot_answer_finish": (c_uint32, [answer_p]),
    "sot_answer_get_stats": (status, [answer_p, POINTER(sot_stats)]),
    "sot_answer_get_decision": (status, [answer_p, POINTER(sot_decision)]),
    "sot_answer_free": (None, [answer_p]),
    "sot_points_parse": (status, [c_char_p, c_size_t, c_uint32, POINTER(points_p)]),
    "sot_points_count": (c_size_t, [points_p]),
    "sot_points_dropped": (c_size_t, [points_p]),
    "sot_points_index": (c_char_p, [points_p, c_size_t]),
    "sot_points_text": (text_p, [points_p, c_size_t]),
    "sot_points_text_size": (c_size_t, [points_p, c_size_t]),
    "sot_points_source": (text_p, [points_p]),
    "sot_points_source_size": (c_size_t, [points_p]),
    "sot_points_free": (None, [points_p]),
    "sot_tokenize": (
        status,
        [model_p, c_char_p, c_size_t, c_uint32, POINTER(c_int32), c_size_t, POINTER(c_size_t)],
    ),
    "sot_detokenize": (
        status,
        [model_p, POINTER(c_int32), c_size_t, c_uint32, text_p, c_size_t, POINTER(c_size_t)],
    ),
    "sot_logits": (status, [session_p, POINTER(c_int32), c_size_t, POINTER(c_float)]),
    "sot_status_name": (c_char_p, [status]),
    "sot_error_message": (c_char_p, []),
    "sot_version_number": (c_uint32, []),
    "sot_version_string": (c_char_p, []),
    "sot_chat_create": (status, [POINTER(sot_chat_params), POINTER(chat_p)]),
    "sot_chat_free": (None, [chat_p]),
    "sot_chat_append": (status, [chat_p, c_char_p, c_char_p]),
    "sot_chat_clear": (status, [chat_p]),
    "sot_chat_count": (c_size_t, [chat_p]),
    "sot_chat_dropped": (c_size_t, [chat_p]),
    "sot_chat_question": (c_char_p, [chat_p, c_size_t]),
    "sot_chat_answer": (c_char_p, [chat_p, c_size_t]),
    "sot_chat_save": (status, [chat_p, c_char_p]),
    "sot_chat_load": (status, [c_char_p, POINTER(sot_chat_params), POINTER(chat_p)]),
    "sot_chat_generate": (status, [chat_p, session_p, c_char_p, generate_p, POINTER(answer_p)]),
    "sot_router_load": (status, [c_char_p, POINTER(router_p)]),
    "sot_router_free": (None, [router_p]),
    "sot_router_classify": (
        status,
        [router_p, c_char_p, c_size_t, POINTER(c_float), POINTER(c_uint32)],
    ),
    "sot_profile_measure": (status, [session_p, POINTER(sot_profile_params), POINTER(profile_p)]),
    "sot_profile_refresh": (status, [profile_p, session_p, POINTER(profile_p)]),
    "sot_profile_save": (status, [profile_p, c_char_p]),
    "sot_profile_load": (status, [c_char_p, POINTER(profile_p)]),
    "sot_profile_free": (None, [profile_p]),
    "sot_profile_get_info": (status, [profile_p, POINTER(sot_profile_info)]),
    "sot_profile_prefill_ns": (c_double, [profile_p, c_uint32, c_uint32]),
    "sot_profile_decode_ns": (c_double, [profile_p, c_uint32, c_uint32]),
    "sot_profile_estimate": (
        status,
        [profile_p, POINTER(sot_lengths), POINTER(sot_estimate)],
    ),
    "sot_profile_break_even": (
        status,
        [profile_p, POINTER(sot_break_even_params), POINTER(sot_break_even)],
    ),
}
