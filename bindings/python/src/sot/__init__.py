"""Skeleton-of-Thought on a LLaMA runtime: the Python side of libsot.

    with sot.Model("demo.gguf") as model, sot.Session(model) as session:
        for event in session.stream("How can I improve my chess skills?"):
            print(event)
        print(session.generate("What is a good picnic?").text)

Model, Session, Points, Answer, Chat, Router and Profile are the library's objects. What fails
raises a SotError, of a class for each status, with the library's sentence; an argument of a wrong
type is a TypeError that names it. Times are in ns, sizes in bytes, lengths of texts in tokens,
unless a name says otherwise.
"""

from ._answer import Answer, Expansion
from ._chat import Chat, Round
from ._constants import (
    Extrapolated,
    Finish,
    Label,
    Mode,
    ProfileFlags,
    RouterKind,
    Stage,
    Status,
)
from ._errors import (
    ArgumentError,
    BusyError,
    CancelledError,
    CapacityError,
    ClosedError,
    ContextFullError,
    DeviceError,
    FileError,
    ForkError,
    FormatError,
    InternalError,
    LibraryError,
    OutOfMemoryError,
    RangeError,
    SotError,
    ThreadError,
    UnsupportedError,
)
from ._events import (
    DecisionEvent,
    DroppedEvent,
    Event,
    ExpansionEvent,
    PointEndEvent,
    PointEvent,
    PrefillEvent,
    StageEvent,
    TextEvent,
)
from ._library import version
from ._model import Model
from ._options import Conversation, Options, Prompts
from ._points import Point, Points
from ._profile import Profile
from ._records import BreakEven, Decision, Estimate, ModelInfo, ProfileInfo, SessionInfo, Stats
from ._router import Classification, Router
from ._session import Session
from ._stream import Stream

__all__ = [
    "Answer",
    "ArgumentError",
    "BreakEven",
    "BusyError",
    "CancelledError",
    "CapacityError",
    "Chat",
    "Classification",
    "ClosedError",
    "ContextFullError",
    "Conversation",
    "Decision",
    "DecisionEvent",
    "DeviceError",
    "DroppedEvent",
    "Estimate",
    "Event",
    "Expansion",
    "ExpansionEvent",
    "Extrapolated",
    "FileError",
    "Finish",
    "ForkError",
    "FormatError",
    "InternalError",
    "Label",
    "LibraryError",
    "Mode",
    "Model",
    "ModelInfo",
    "Options",
    "OutOfMemoryError",
    "Point",
    "PointEndEvent",
    "PointEvent",
    "Points",
    "PrefillEvent",
    "Profile",
    "ProfileFlags",
    "ProfileInfo",
    "Prompts",
    "RangeError",
    "Round",
    "Router",
    "RouterKind",
    "Session",
    "SessionInfo",
    "SotError",
    "Stage",
    "StageEvent",
    "Stats",
    "Status",
    "Stream",
    "TextEvent",
    "ThreadError",
    "UnsupportedError",
    "version",
]
