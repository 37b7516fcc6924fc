"""What the library reports in structs, as frozen dataclasses with the structs' field names.

The fields' types are stated here for who reads and who checks types; tests/test_struct_layout.py
compares the names with the structs'.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields
from typing import Any, Callable, Dict, Tuple, Type, TypeVar

from ._constants import Extrapolated, Label, Mode, ProfileFlags, RouterKind

Four = Tuple[int, int, int, int]
R = TypeVar("R")


@dataclass(frozen=True)
class ModelInfo:
    """What a model is. Sizes are counts of elements, *_bytes are bytes."""

    n_layer: int
    n_head: int
    n_kv: int
    d_head: int
    d_model: int
    d_ff: int
    n_vocab: int
    n_ctx_train: int
    """Context the model was trained with, in tokens; 0: not stated."""
    bos_id: int
    eos_id: int
    """-1: none."""
    n_parameters: int
    weight_bytes: int
    """Bytes that one decode step reads."""
    converted_bytes: int
    """Weights that were copied because the file's type is not FP16."""
    rope_theta: float
    rope_scale: float
    norm_eps: float
    has_tokenizer: bool
    name: str
    device: str
    """"cpu" or "cuda:N"."""
    conversation: str
    """The conversation template that was detected, "none" if there is no sign."""


@dataclass(frozen=True)
class SessionInfo:
    """What a session came to. Contexts and pools are in tokens."""

    n_threads: int
    n_ctx: int
    max_batch: int
    kv_tokens: int
    chunk_rows: int
    isa: str
    """The instruction set in use; "" on a device that has none."""
    session_bytes: int


@dataclass(frozen=True)
class Decision:
    """What a router decided."""

    router: RouterKind
    """Who decided; RouterKind.DEFAULT: nobody was asked."""
    label: Label
    letter: str
    """Prompting: "A", "B", "C", or "" where the model said something else."""
    score: float
    """From 0 to 1, how well Skeleton-of-Thought suits the question."""
    n_tokens: int
    """Prompting: tokens that the model wrote for it."""
    latency_ns: int
    """From the beginning of the call to the decision."""


@dataclass(frozen=True)
class Stats:
    """Statistics of one answer. Tuples of four are per stage: normal, skeleton, expand, route."""

    mode: Mode
    """Mode.NORMAL or Mode.SOT, whichever made the answer."""
    n_points: int
    n_points_dropped: int
    prefill_ns: Four
    decode_ns: Four
    prefill_tokens: Four
    """Prompt tokens computed."""
    reused_tokens: Four
    """Prompt tokens found in pages that were already computed."""
    decode_tokens: Four
    decode_steps: Four
    """Passes over the weights with rows that decode."""
    max_rows: Four
    """Most rows that decoded in one pass."""
    longest_expansion: int
    total_ns: int
    peak_page_tokens: int
    session_bytes: int
    route_ns: int
    spent_tokens: int
    won_ns: int


@dataclass(frozen=True)
class ProfileInfo:
    """Where and how a profile was measured, and how far its tables go."""

    flags: ProfileFlags
    libsot: str
    machine: str
    device: str
    isa: str
    model_name: str
    n_threads: int
    n_ctx: int
    max_batch: int
    chunk_rows: int
    n_layer: int
    n_head: int
    n_kv: int
    d_head: int
    d_model: int
    d_ff: int
    n_vocab: int
    n_cells: int
    n_cells_left_out: int
    prefill_max_batch: int
    prefill_max_tokens: int
    decode_max_batch: int
    decode_max_context: int
    weight_bytes: int


@dataclass(frozen=True)
class Estimate:
    """Latencies of one question in ns, libsot's and the paper's equations (1) to (4)."""

    extrapolated: Extrapolated
    """Whose lengths or batches lie beyond measured cells."""
    normal_ns: float
    skeleton_ns: float
    expand_ns: float
    sot_ns: float
    speedup: float
    """normal_ns / sot_ns."""
    paper_normal_ns: float
    paper_skeleton_ns: float
    paper_expand_ns: float
    paper_speedup: float
    paper_normal_flops: float
    paper_expand_flops: float


@dataclass(frozen=True)
class BreakEven:
    """Skeleton-of-Thought pays off from n_points on."""

    n_points: int
    """0: not even with max_points."""
    speedup: float
    max_speedup: float
    best_points: int
    extrapolated: Extrapolated


# Fields that are more than the number or the string in the struct.
_MEANINGS: Dict[Tuple[type, str], Callable[[Any], Any]] = {
    (ModelInfo, "has_tokenizer"): bool,
    (Decision, "router"): RouterKind,
    (Decision, "label"): Label,
    (Decision, "letter"): lambda letter: chr(letter) if letter else "",
    (Stats, "mode"): Mode,
    (ProfileInfo, "flags"): ProfileFlags,
    (Estimate, "extrapolated"): Extrapolated,
    (BreakEven, "extrapolated"): Extrapolated,
}


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, ctypes.Array):
        return tuple(value)
    return value


def record(cls: Type[R], struct: Any) -> R:
    """The dataclass cls with copies of the struct's fields of the same names."""
    values = {}
    for field in fields(cls):  # type: ignore[arg-type]
        value = _plain(getattr(struct, field.name))
        meaning = _MEANINGS.get((cls, field.name))
        values[field.name] = value if meaning is None else meaning(value)
    return cls(**values)


def sized(struct_type: Any) -> Any:
    """A new struct of zeros with its struct_size."""
    return struct_type(struct_size=ctypes.sizeof(struct_type))
