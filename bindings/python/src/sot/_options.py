"""The options of everything that generates, and sot_generate_params made of them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypedDict,
    TypeVar,
    Union,
)

from . import _layout, _pack
from ._constants import GenerateFlags, Label, Mode, PromptsFlags, RouterKind
from ._errors import ArgumentError
from ._events import Event
from ._library import check, library
from ._owned import Owned
from ._records import sized
from ._router import Router

RouteReply = Union[bool, Label, Tuple[Union[bool, Label], float]]
"""True or Label.SOT for Skeleton-of-Thought; with a score from 0 to 1 if there is one."""
RouteFunction = Callable[[str], RouteReply]
EventFunction = Callable[[Event], object]


@dataclass(frozen=True)
class Conversation:
    """A conversation template of one's own. The prompt of a round is
    user_tag question user_end assistant_tag answer_gap answer assistant_end; a system message goes
    in front as system_tag message system_end, inside the first user turn. Control pieces such as
    </s> are read as themselves here and never in questions and answers."""

    user_tag: str = ""
    user_end: str = ""
    assistant_tag: str = ""
    assistant_end: str = ""
    system_tag: str = ""
    system_end: str = ""
    stop: str = ""
    """A stop string or a control piece that ends the turn; "": none."""
    answer_gap: str = ""


@dataclass(frozen=True)
class Prompts:
    """Prompt templates of one's own (paper, Prompts 1-3): skeleton must have {request}, point must
    have {request}, {outline}, {point} and {point_outline}; what follows "[ROLESWITCHING
    assistant:]" is the partial answer that the model continues. chained: point is the user's next
    turn behind the skeleton, with {point} and {point_outline} alone."""

    skeleton: str
    point: str
    router: Optional[str] = None
    """With {request} alone; None: the paper's (App. C.1)."""
    chained: bool = False

    @classmethod
    def load(cls, path: _pack.Path) -> Prompts:
        """Reads a JSON file with outline_prompt, point_prompt and, where wanted, router_prompt
        and chained. Raises FileError, FormatError, OutOfMemoryError."""
        lib = library()
        loaded = Owned(_layout.prompts_p, lib.sot_prompts_free)
        check(lib.sot_prompts_load(_pack.path("path", path), loaded.out()))
        struct = loaded.cell.contents
        return cls(
            struct.skeleton.decode(),
            struct.point.decode(),
            None if struct.router is None else struct.router.decode(),
            bool(struct.flags & PromptsFlags.CHAINED),
        )


class Options(TypedDict, total=False):
    """Options of generate, skeleton, expand, route and stream; all may be left out.

    Lengths are in tokens, and 0 stands for the default."""

    mode: Union[Mode, str]
    """"sot" (default), "normal" or "routed"; of generate and stream only."""
    temperature: float
    """0 (default): the likeliest token."""
    top_k: int
    """Keep the k likeliest tokens; 0: all."""
    top_p: float
    """Keep the smallest set of tokens of this probability; 0, 1: all."""
    repetition_penalty: float
    """Over the text generated so far; 0, 1: none."""
    seed: int
    """Of the random streams, one stream per sequence; below 2**64."""
    max_tokens: int
    """Of a normal answer; default 1024."""
    max_skeleton_tokens: int
    """Default 512."""
    max_point_tokens: int
    """Of each expansion; default 256."""
    point_limits: Sequence[int]
    """max_point_tokens of each point, in skeleton order; 0 or no entry: max_point_tokens."""
    max_points: int
    """Cap on the points parsed from a skeleton; default 64."""
    stop_ids: Sequence[int]
    """Tokens that end a text, besides the end of sequence."""
    stop_strings: Sequence[str]
    """Texts that end a text and are cut off."""
    ignore_stops: bool
    """Nothing but its token limit ends a text; for measuring."""
    conversation: Union[str, Conversation]
    """"vicuna", "llama2-chat", "ultralm", "openchat", "stablevicuna", "none", or one's own;
    default: the model's."""
    system_message: str
    history: Sequence[Tuple[str, str]]
    """Earlier rounds: (question, answer) each."""
    prompts: Prompts
    """Goes before wording."""
    wording: str
    """"two-shot" (default), "zero-shot", "compact" or "chained"."""
    forced_skeleton: str
    """For measuring: what is written in place of what the model would write."""
    router: Union[RouterKind, str, Router, RouteFunction]
    """Of mode "routed": "prompting" (default), "always", "never", a Router, or a function that
    is called with the question, in the thread that waits for the answer."""
    concurrent: bool
    """Mode "routed": the router is asked while both answers begin."""
    on_event: EventFunction
    """Called with each event, in the thread that waits for the answer; a true value stops the
    call, and so does an exception, which comes out of it. Not of stream."""


_INTEGERS = {
    "top_k": 32,
    "seed": 64,
    "max_tokens": 32,
    "max_skeleton_tokens": 32,
    "max_point_tokens": 32,
    "max_points": 32,
}
_REALS = ("temperature", "top_p", "repetition_penalty")
_STRINGS = ("system_message", "wording", "forced_skeleton")
_ARRAYS = {"stop_ids": ctypes.c_int32, "point_limits": ctypes.c_uint32}
_FLAGS = {
    "ignore_stops": GenerateFlags.IGNORE_STOPS,
    "concurrent": GenerateFlags.CONCURRENT,
}


class Packed:
    """sot_generate_params with everything that it points to, and the caller's two functions."""

    def __init__(self, options: Options) -> None:
        self.struct = sized(_layout.sot_generate_params)
        self.on_event: Optional[EventFunction] = None
        self.on_route: Optional[RouteFunction] = None
        self._kept: List[Any] = []
        for name, value in options.items():
            if name not in Options.__annotations__:
                raise TypeError("no option is named {!r}; sot.Options has them all".format(name))
            if value is not None:
                self._set(name, value)

    def keep(self, thing: Any) -> Any:
        """Keeps alive, as long as this, what the struct points to."""
        self._kept.append(thing)
        return thing

    def _set(self, name: str, value: Any) -> None:
        struct = self.struct
        if name in _INTEGERS:
            setattr(struct, name, _pack.number(name, value, _INTEGERS[name]))
        elif name in _REALS:
            setattr(struct, name, _pack.real(name, value))
        elif name in _STRINGS:
            setattr(struct, name, _pack.text(name, value))
        elif name in _ARRAYS:
            array, count = _pack.numbers(name, value, _ARRAYS[name])
            setattr(struct, name, self.keep(array))
            setattr(struct, "n_" + name, count)
        elif name in _FLAGS:
            struct.flags |= _FLAGS[name] if value else 0
        elif name == "mode":
            struct.mode = constant(Mode, name, value)
        elif name == "on_event":
            self.on_event = _function(name, value)
        else:
            getattr(self, "_set_" + name)(value)

    def _set_stop_strings(self, value: Sequence[str]) -> None:
        array, count = _pack.strings(_pack.texts("stop_strings", value))
        self.struct.stop_strings, self.struct.n_stop_strings = self.keep(array), count

    def _set_history(self, rounds: Sequence[Tuple[str, str]]) -> None:
        both: List[bytes] = []
        for i, one in enumerate(_pack.items("history", rounds)):
            name = "history[{}]".format(i)
            texts = _pack.texts(name, one)
            if len(texts) != 2:
                raise ArgumentError("{}: (question, answer) is expected".format(name))
            both.extend(texts)
        array, count = _pack.strings(both)
        self.struct.history, self.struct.n_history = self.keep(array), count

    def _set_conversation(self, value: Union[str, Conversation]) -> None:
        if not isinstance(value, Conversation):
            self.struct.conversation = _pack.text("conversation", value)
            return
        struct = sized(_layout.sot_conversation)
        for field in fields(value):
            setattr(struct, field.name, _pack.text(field.name, getattr(value, field.name)))
        self.struct.custom_conversation = ctypes.pointer(struct)

    def _set_prompts(self, value: Prompts) -> None:
        _pack.expect("prompts", value, Prompts)
        struct = sized(_layout.sot_prompts)
        struct.flags = PromptsFlags.CHAINED if value.chained else 0
        struct.skeleton = _pack.text("prompts.skeleton", value.skeleton)
        struct.point = _pack.text("prompts.point", value.point)
        if value.router is not None:
            struct.router = _pack.text("prompts.router", value.router)
        self.struct.prompts = ctypes.pointer(struct)

    def _set_router(self, value: Union[RouterKind, str, Router, RouteFunction]) -> None:
        if isinstance(value, Router):
            self.struct.trained_router = self.keep(value._handle()).cell
            self.struct.router = RouterKind.TRAINED
        elif isinstance(value, (str, RouterKind)):
            self.struct.router = constant(RouterKind, "router", value)
        else:
            self.on_route = _function("router", value)
            self.struct.router = RouterKind.CALLBACK


def _function(name: str, value: Any) -> Any:
    if not callable(value):
        raise TypeError("{}: {} cannot be called".format(name, type(value).__name__))
    return value


E = TypeVar("E", bound=IntEnum)


def constant(cls: Type[E], name: str, value: Union[E, str]) -> E:
    """A member of cls, or the one whose name is the string in lower case."""
    if isinstance(value, cls):
        return value
    found: Dict[str, E] = {member.name.lower(): member for member in cls}
    if not isinstance(value, str) or value not in found:
        raise ArgumentError("{}: {!r} is none of {}".format(name, value, ", ".join(found)))
    return found[value]


def decide(reply: RouteReply, decision: Any) -> None:
    """Writes what a function of the caller's said into the library's sot_decision."""
    label, score = reply if isinstance(reply, tuple) and len(reply) == 2 else (reply, None)
    if isinstance(label, Label):
        decision.label = label
    elif isinstance(label, bool):
        decision.label = Label.SOT if label else Label.NORMAL
    else:
        raise TypeError("router: it returned {!r}, neither a bool nor a Label".format(reply))
    decision.score = float(decision.label == Label.SOT) if score is None else float(score)
