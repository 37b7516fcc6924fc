"""The constants of include/sot: one class for each family of names, with the same numbers.

tests/test_struct_layout.py compares every one of them with the headers.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

VERSION = (0, 1, 0)
"""SOT_VERSION_MAJOR, _MINOR, _PATCH of the headers that this package was written for."""


class _Open(IntEnum):
    """What a library of a later version may have more of: an unknown number is a member, too."""

    @classmethod
    def _missing_(cls, value: object) -> _Open:
        if not isinstance(value, int):
            raise ValueError("{!r} is no {}".format(value, cls.__name__))
        member = int.__new__(cls, value)
        member._name_ = "UNKNOWN_{}".format(value)
        member._value_ = value
        return member

    # Python 3.11.2 would look an unknown member up by its name.
    def __reduce_ex__(self, protocol: object) -> tuple[type[_Open], tuple[int]]:
        return type(self), (self.value,)


class Status(IntEnum):
    """What a call came to: 0, or the number of a failure."""

    OK = 0
    ERR_ARGUMENT = -1
    ERR_MEMORY = -2
    ERR_IO = -3
    ERR_FORMAT = -4
    ERR_UNSUPPORTED = -5
    ERR_CAPACITY = -6
    ERR_CONTEXT_FULL = -7
    ERR_CANCELLED = -8
    ERR_DEVICE = -9
    ERR_THREAD = -10
    ERR_RANGE = -11
    ERR_BUSY = -12
    ERR_INTERNAL = -13


class Mode(_Open):
    """How a question is answered."""

    DEFAULT = 0
    NORMAL = 1
    """The bare question, token by token: the paper's baseline."""
    SOT = 2
    """A skeleton, then all its points as one batch (paper, section 2); the default."""
    ROUTED = 3
    """A router chooses one of both (SoT-R, paper, section 4)."""


class Finish(_Open):
    """Why a text ended."""

    NONE = 0
    STOP = 1
    """End of sequence, a stop id or a stop string."""
    LENGTH = 2
    """The token limit."""
    CONTEXT = 3
    """The context or the page pool was full."""
    CANCELLED = 4


class Stage(_Open):
    """The parts of one answer's making."""

    NORMAL = 1
    SKELETON = 2
    EXPAND = 3
    ROUTE = 4


class Label(_Open):
    """What a router says of a question."""

    UNDECIDED = 0
    """Answered normally."""
    NORMAL = 1
    SOT = 2


class RouterKind(_Open):
    """Who decides whether a question suits Skeleton-of-Thought."""

    DEFAULT = 0
    """Of a decision: nobody was asked."""
    PROMPTING = 1
    """The model itself is asked (paper, App. C.1)."""
    TRAINED = 2
    """A classifier (paper, App. C.2): pass a Router."""
    ALWAYS = 3
    NEVER = 4
    CALLBACK = 5
    """A function of the caller's: pass it."""


class EventType(IntEnum):
    """The type of an event as the library numbers it; each is a class of its own here."""

    STAGE = 1
    TEXT = 2
    POINT = 3
    EXPANSION = 4
    POINT_END = 5
    PREFILL = 6
    DECISION = 7
    DROPPED = 8


class LogLevel(IntEnum):
    """How urgent a line of the log is."""

    DEBUG = 1
    INFO = 2
    WARNING = 3


class ModelFlags(IntFlag):
    """The parameters copy and lock of a Model."""

    COPY = 1
    LOCK = 2


class GenerateFlags(IntFlag):
    """The options ignore_stops and concurrent."""

    IGNORE_STOPS = 1
    CONCURRENT = 2


class PromptsFlags(IntFlag):
    """Prompts.chained."""

    CHAINED = 1


class ChatFlags(IntFlag):
    """The parameter keep_all of a Chat."""

    KEEP_ALL = 1


class TokenizeFlags(IntFlag):
    """The parameters bos and special of Model.tokenize."""

    BOS = 1
    SPECIAL = 2


class ProfileFlags(IntFlag):
    """How a profile was measured."""

    FULL = 1


class Extrapolated(IntFlag):
    """Whose estimates go beyond what was measured."""

    LIBSOT = 1
    PAPER = 2


FAMILIES = {
    "SOT_": Status,
    "SOT_MODE_": Mode,
    "SOT_FINISH_": Finish,
    "SOT_STAGE_": Stage,
    "SOT_LABEL_": Label,
    "SOT_ROUTER_": RouterKind,
    "SOT_EVENT_": EventType,
    "SOT_LOG_": LogLevel,
    "SOT_MODEL_": ModelFlags,
    "SOT_GENERATE_": GenerateFlags,
    "SOT_PROMPTS_": PromptsFlags,
    "SOT_CHAT_": ChatFlags,
    "SOT_TOKENIZE_": TokenizeFlags,
    "SOT_PROFILE_": ProfileFlags,
    "SOT_EXTRAPOLATED_": Extrapolated,
}
"""What the names of a class begin with in the headers."""
