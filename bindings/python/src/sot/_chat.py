"""Chat: rounds of question and answer that go in front of the next question (paper, App. B.2)."""

from __future__ import annotations

import ctypes
import threading
from typing import (
    TYPE_CHECKING,
    Any,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
    overload,
)

from . import _layout, _pack
from ._answer import Answer
from ._asking import Asking
from ._constants import ChatFlags
from ._errors import BusyError
from ._library import check, library
from ._options import Options
from ._owned import Owned, alive
from ._records import sized
from ._session import Session
from ._stream import Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack

_IN_USE = "the chat is in use by another call"


class Round(NamedTuple):
    """A question and its final answer."""

    question: str
    answer: str


class Chat(Sequence[Round]):
    """A sequence of rounds. It belongs to no session: each round may be generated on another one,
    or on another model.

    reserve_tokens: kept free behind the prompt for what will be written; 0: a quarter of the
    session's n_ctx. keep_all: a full context is an error; no round is ever left out.

    Any thread may use it. While a round is generated, everything else raises BusyError, and so does
    a round that begins while another thread is in a call.

    Raises OutOfMemoryError.
    """

    def __init__(self, *, reserve_tokens: int = 0, keep_all: bool = False) -> None:
        lib = library()
        self._open(reserve_tokens, keep_all, lib.sot_chat_create)

    def _open(self, reserve_tokens: int, keep_all: bool, function: Any, *arguments: Any) -> None:
        self._owned: Optional[Owned] = None
        # Only `with` takes it, so that no signal comes between taking and holding it; re-entrant,
        # since a signal's handler may use the chat.
        self._lock = threading.RLock()
        self._is_generating = False
        params = sized(_layout.sot_chat_params)
        params.reserve_tokens = _pack.number("reserve_tokens", reserve_tokens)
        params.flags = ChatFlags.KEEP_ALL if keep_all else 0
        owned = Owned(_layout.chat_p, library().sot_chat_free)
        check(function(*arguments, ctypes.byref(params), owned.out()))
        self._owned = owned

    @classmethod
    def load(cls, path: _pack.Path, *, reserve_tokens: int = 0, keep_all: bool = False) -> Chat:
        """Reads the rounds that save wrote. Raises FileError, FormatError (it names file and
        line), OutOfMemoryError."""
        chat = cls.__new__(cls)
        encoded = _pack.path("path", path)
        chat._open(reserve_tokens, keep_all, library().sot_chat_load, encoded)
        return chat

    def save(self, path: _pack.Path) -> None:
        """Writes all rounds as JSON lines, beside path and then in its place. Raises FileError,
        OutOfMemoryError."""
        encoded = _pack.path("path", path)
        with self._lock:
            owned = self._idle()
            check(library().sot_chat_save(owned.cell, encoded))

    def append(self, question: str, answer: str) -> None:
        """Adds a round; the question is not empty. Raises ArgumentError, OutOfMemoryError."""
        texts = _pack.text("question", question), _pack.text("answer", answer)
        with self._lock:
            owned = self._idle()
            check(library().sot_chat_append(owned.cell, *texts))

    def clear(self) -> None:
        """Forgets all rounds."""
        with self._lock:
            owned = self._idle()
            check(library().sot_chat_clear(owned.cell))

    @property
    def dropped(self) -> int:
        """How many of the oldest rounds are no longer sent because a context was full."""
        with self._lock:
            owned = self._idle()
            return int(library().sot_chat_dropped(owned.cell))

    def __len__(self) -> int:
        with self._lock:
            owned = self._idle()
            return int(library().sot_chat_count(owned.cell))

    @overload
    def __getitem__(self, i: int) -> Round: ...

    @overload
    def __getitem__(self, i: slice) -> Tuple[Round, ...]: ...

    def __getitem__(self, i: Union[int, slice]) -> Union[Round, Tuple[Round, ...]]:
        lib = library()
        with self._lock:
            owned = self._idle()
            found = range(lib.sot_chat_count(owned.cell))[i]
            rounds = tuple(
                Round(
                    lib.sot_chat_question(owned.cell, j).decode("utf-8", "replace"),
                    lib.sot_chat_answer(owned.cell, j).decode("utf-8", "replace"),
                )
                for j in ([found] if isinstance(found, int) else found)
            )
        return rounds[0] if isinstance(found, int) else rounds

    def generate(self, session: Session, question: str, **options: Unpack[Options]) -> Answer:
        """Answers a question behind the rounds; it becomes the last round when it succeeds. A
        partial answer is none, and may be appended.

        Raises as Session.generate. Where all rounds do not fit, the oldest are no longer sent, and
        a DroppedEvent says so; with keep_all that is ContextFullError."""
        return self._generate(session, question, options, streaming=False).run()

    def stream(self, session: Session, question: str, **options: Unpack[Options]) -> Stream:
        """The same as an iterator of events, see Session.stream."""
        return Stream(self._generate(session, question, options, streaming=True), session)

    def _generate(
        self, session: Session, question: str, options: Options, *, streaming: bool
    ) -> Asking[Answer]:
        encoded = _pack.text("question", question)
        _pack.expect("session", session, Session)
        generate = library().sot_chat_generate
        with self._lock:
            owned = self._idle()

        def invoke(cell: Any, params: Any, out: Any) -> int:
            # On the worker, to which signals do not come. It must not wait: one may have come to
            # the lock's holder, and its handler may be what asks.
            if not self._lock.acquire(blocking=False):
                raise BusyError(_IN_USE)
            try:
                self._idle()
                self._is_generating = True
            finally:
                self._lock.release()
            try:
                return int(generate(owned.cell, cell, encoded, params, out))
            finally:
                self._is_generating = False

        return session._ask_answer(options, invoke, streaming=streaming)

    def close(self) -> None:
        """Frees the chat, when a round that is being generated has ended."""
        self._owned = None

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _idle(self) -> Owned:
        """The chat, for one call with the lock held."""
        if self._is_generating:
            raise BusyError(_IN_USE)
        return alive(self._owned, "chat")
