"""Session: pages, activations and threads on a model; everything is asked through one."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Set

from . import _layout, _pack
from ._answer import Answer, answer_of
from ._asking import Asking
from ._call import Call, wait_for
from ._errors import ArgumentError
from ._library import check, library
from ._model import Model
from ._options import Options
from ._owned import Owned, alive
from ._points import Points
from ._records import Decision, SessionInfo, record, sized
from ._stream import Stream
from ._turn import Turn

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Session:
    """What answers questions on a model. It belongs to one thread at a time: a call while another
    is under way raises BusyError. cancel() alone may be called from any thread.

    n_threads: threads that compute; default: one per CPU this process may run on; at most 256.
    n_ctx: tokens that a sequence can hold; default: what the model was trained with, at most 4096.
    max_batch: sequences decoded together; default 16.
    kv_tokens: tokens that the page pool holds; default n_ctx + 256 * max_batch + 1024.
    chunk_rows: rows of one pass, at least max_batch; default 128, on a CUDA device 512.
    isa: instruction set of the CPU: "auto" (default), "amx", "avx512", "avx2", "neon", "portable".
    pin_threads: threads stay on their CPUs.

    All memory that generating needs is reserved here. A session keeps its model alive, and is
    freed when it and its last call are gone. In a child of fork() it cannot be used, since its
    threads are not there: ForkError. Options of the methods: see Options.

    Every method that generates waits on the calling thread, which Ctrl-C reaches, while the
    library works on another; an exception raised while it waits, by a signal or a callback, stops
    the call and comes out of it.

    Raises OutOfMemoryError, ThreadError, UnsupportedError (an isa this machine lacks),
    DeviceError, ArgumentError.
    """

    info: SessionInfo
    model: Model

    def __init__(
        self,
        model: Model,
        *,
        n_threads: int = 0,
        n_ctx: int = 0,
        max_batch: int = 0,
        kv_tokens: int = 0,
        chunk_rows: int = 0,
        isa: str = "auto",
        pin_threads: bool = False,
    ) -> None:
        self._owned: Optional[Owned] = None
        self._in_use = threading.Lock()  # held for a call's turn
        self._left: Set[Call] = set()
        lib = library()
        params = sized(_layout.sot_session_params)
        _pack.set_numbers(
            params,
            n_threads=n_threads,
            n_ctx=n_ctx,
            max_batch=max_batch,
            kv_tokens=kv_tokens,
            chunk_rows=chunk_rows,
        )
        params.isa = _pack.text("isa", isa)
        params.pin_threads = 1 if pin_threads else 0
        owned = Owned(_layout.session_p, lib.sot_session_free)
        owned_model = _pack.expect("model", model, Model)._handle()
        check(lib.sot_session_create(owned_model.cell, ctypes.byref(params), owned.out()))
        info = sized(_layout.sot_session_info)
        check(lib.sot_session_get_info(owned.cell, ctypes.byref(info)))
        self.info = record(SessionInfo, info)
        self.model = model
        self._owned = owned

    def generate(self, question: str, **options: Unpack[Options]) -> Answer:
        """Answers a question, by Skeleton-of-Thought unless mode says otherwise.

        Raises ArgumentError, UnsupportedError (no tokenizer), BusyError, DeviceError,
        OutOfMemoryError, ThreadError; and with a partial answer CancelledError,
        ContextFullError."""
        return self._generate(question, options, streaming=False).run()

    def stream(self, question: str, **options: Unpack[Options]) -> Stream:
        """Answers a question as generate does, and returns an iterator over its events, which is
        an asynchronous iterator, too. Generating begins at once."""
        return Stream(self._generate(question, options, streaming=True), self)

    def _generate(self, question: str, options: Options, *, streaming: bool) -> Asking[Answer]:
        encoded = _pack.text("question", question)
        generate = library().sot_generate
        return self._ask_answer(
            options, lambda s, p, out: int(generate(s, encoded, p, out)), streaming=streaming
        )

    def skeleton(self, question: str, **options: Unpack[Options]) -> Points:
        """Stage 1: a skeleton of the answer, parsed (paper, section 2.1). Raises as generate."""
        encoded = _pack.text("question", question)
        lib = library()
        out = Owned(_layout.points_p, lib.sot_points_free)
        return Asking(
            self,
            options,
            lambda s, p, o: int(lib.sot_skeleton(s, encoded, p, o)),
            lambda: Points(out, out.cell),
            out,
        ).run()

    def expand(self, question: str, points: Points, **options: Unpack[Options]) -> Answer:
        """Stage 2: expands all points as one batch. The tokens of a point do not depend on what it
        is batched with; max_points does not apply. Raises as generate."""
        encoded = _pack.text("question", question)
        expand = library().sot_expand_batch
        _pack.expect("points", points, Points)
        return self._ask_answer(
            options, lambda s, p, out: int(expand(s, encoded, points._pointer, p, out))
        ).run()

    def route(self, question: str, **options: Unpack[Options]) -> Decision:
        """Decides whether a question suits Skeleton-of-Thought; the option router says who is
        asked. Limits, stops and sampling do not apply. Raises as generate; ContextFullError where
        the question to the model has no room."""
        encoded = _pack.text("question", question)
        lib = library()
        decision = sized(_layout.sot_decision)
        return Asking(
            self,
            options,
            lambda s, p, _: int(lib.sot_route(s, encoded, p, ctypes.byref(decision))),
            lambda: record(Decision, decision),
        ).run()

    def logits(self, tokens: Sequence[int]) -> memoryview[float]:
        """The logits behind the last of the tokens: a writable memoryview of n_vocab floats
        (format "f"), of which numpy.asarray makes an array without a copy. Pages of a beginning
        shared with the last call are reused.

        Raises ArgumentError, ContextFullError, CancelledError, BusyError, DeviceError."""
        array, count = _pack.numbers("tokens", tokens, ctypes.c_int32)
        lib = library()
        values = (ctypes.c_float * self.model.info.n_vocab)()
        self._wait(lambda s: int(lib.sot_logits(s, array, count, values)))
        return memoryview(values).cast("B").cast("f")

    def logits_array(self, tokens: Sequence[int]) -> Any:
        """The same as a numpy array, (n_vocab,) of float32, without a copy.

        Raises as logits, and ImportError where numpy is missing."""
        import numpy

        return numpy.asarray(self.logits(tokens))

    def measure(
        self,
        *,
        n_sequences: int = 1,
        n_new: int = 1,
        n_past: int = 0,
        n_shared: int = 0,
        n_warmup: int = 1,
        n_repeats: int = 5,
    ) -> List[int]:
        """Times the passes that generating is made of, in ns, one for each counted run:
        n_sequences sequences with n_past tokens in pages, of which the first n_shared are shared,
        compute n_new tokens each.

        Raises ArgumentError, ContextFullError, CancelledError, UnsupportedError, BusyError,
        DeviceError, OutOfMemoryError."""
        params = sized(_layout.sot_measure_params)
        _pack.set_numbers(
            params,
            n_sequences=n_sequences,
            n_new=n_new,
            n_past=n_past,
            n_shared=n_shared,
            n_warmup=n_warmup,
            n_repeats=n_repeats,
        )
        if not 0 < n_repeats <= 10000:
            raise ArgumentError("n_repeats is {}; from 1 to 10000 is possible".format(n_repeats))
        lib = library()
        times = (ctypes.c_uint64 * n_repeats)()
        self._wait(lambda s: int(lib.sot_session_measure(s, ctypes.byref(params), times)))
        return list(times)

    def cancel(self) -> None:
        """Asks the running call, or the next one if none runs, to stop: it raises CancelledError
        with what it has. From any thread."""
        owned = self._owned
        if owned is not None:
            library().sot_session_cancel(owned.cell)

    def close(self) -> None:
        """Frees the session. A call that is under way is cancelled; memory goes when it ends."""
        self.cancel()
        self._owned = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<sot.Session on {!r}{}>".format(self.model, "" if self._owned else ", closed")

    def _handle(self) -> Owned:
        return alive(self._owned, "session", after_fork=False)

    def _begin(self) -> Turn:
        """The turn of a call that is about to begin; streams that were let go end first."""
        owned = self._handle()
        for call in list(self._left):
            call.abort()
            if call.ended:
                self._left.discard(call)
        return Turn(owned, self._in_use)

    def _leave(self, call: Call) -> None:
        """A stream was let go while its call had not ended."""
        self._left.add(call)

    def _wait(self, function: Any) -> None:
        """Runs a call that makes no text."""
        turn = self._begin()
        wait_for(lambda: int(function(turn.cell)), turn=turn)

    def _ask_answer(self, options: Options, invoke: Any, **more: Any) -> Asking[Answer]:
        out = Owned(_layout.answer_p, library().sot_answer_free)
        return Asking(self, options, invoke, lambda: answer_of(out), out, **more)
