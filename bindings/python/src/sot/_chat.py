"""Chat: rounds of question and answer that go in front of the next question (paper, App. B.2)."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
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

    from ._call import Call

_IN_USE = "the chat is in use by another call"


class Round(NamedTuple):
    """A question and its final answer."""

    question: str
    answer: str


class Chat(Sequence[Round]):
    """A sequence of rounds. It belongs to no session: each round may be generated on another one,
    or on another model.

    reserve_tokens: kept free behind the prompt for what will be written; 0: a quarter of the
    session's n_ctx or kv_tokens, whichever is less. keep_all: a full context is an error; no round
    is ever left out.

    Any thread may use it. While a round is generated, everything else raises BusyError, and so does
    a round that a signal's handler begins amid another method. A child of fork() has the rounds
    that were complete; it cannot change a chat of which a round was being generated.

    Raises OutOfMemoryError.
    """

    def __init__(self, *, reserve_tokens: int = 0, keep_all: bool = False) -> None:
        lib = library()
        self._open(reserve_tokens, keep_all, lib.sot_chat_create)

    def _open(self, reserve_tokens: int, keep_all: bool, function: Any, *arguments: Any) -> None:
        self._owned: Optional[Owned] = None
        self._locks: Dict[int, Any] = {}
        self._round: Optional[weakref.ref[Call]] = None  # the last call that generates
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
            texts = [
                (lib.sot_chat_question(owned.cell, j), lib.sot_chat_answer(owned.cell, j))
                for j in ([found] if isinstance(found, int) else found)
            ]
        rounds = tuple(
            Round(question.decode("utf-8", "replace"), answer.decode("utf-8", "replace"))
            for question, answer in texts
            if question is not None and answer is not None  # else a signal's handler cleared it
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
        owned = alive(self._owned, "chat")
        # First, since it waits for streams that were let go, this chat's perhaps.
        asking = session._ask_answer(
            options,
            lambda s, p, out: int(generate(owned.cell, s, encoded, p, out)),
            streaming=streaming,
        )
        if self._lock._is_owned():
            raise BusyError(_IN_USE)  # the method that a handler interrupts found the chat idle
        with self._lock:
            self._idle()
            self._round = weakref.ref(asking.call)
        return asking

    def close(self) -> None:
        """Frees the chat, when a round that is being generated has ended."""
        self._owned = None

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _lock(self) -> Any:
        """Only `with` takes it, so that no signal comes between taking and holding it; re-entrant,
        since a signal's handler may use the chat. One for each process: a child of fork() would
        wait for ever for one that another thread held then."""
        return self._locks.setdefault(os.getpid(), threading.RLock())

    def _idle(self) -> Owned:
        """The chat, for one call with the lock held."""
        call = self._round and self._round()
        if call and not call.ended and call.pid == os.getpid():
            raise BusyError(_IN_USE)
        return alive(self._owned, "chat")
