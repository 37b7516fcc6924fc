"""A long call into the library: it runs on a thread of its own while the caller waits.

Python delivers signals to the main thread, between bytecodes; a main thread inside libsot would not
notice Ctrl-C before the answer is complete. So the library runs on a worker, and the caller waits
where signals can reach it. An exception there, of a signal or of a callback, stops the call, waits
for its end, which takes one pass over the weights at most, and goes on its way.

  CALL-1  callbacks run in the waiting thread, never in the worker, which waits for their reply
  CALL-2  when wait() has returned or raised, the library is no longer in the call, but for
          RecursionError, which may leave no room to wait in: the worker then ends by itself
  CALL-3  a call that is stopped before its worker takes it never runs, and ends all the same
  CALL-4  a request to stop reaches its own call alone, no other and no later one on that session
  CALL-5  signals come between any two steps of the waiting thread: it takes locks by `with` alone,
          and all that it does to end a call may be done again
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Callable, Deque, Optional, Set, Tuple

from ._constants import Status
from ._errors import ForkError, SotError, ThreadError, error_of
from ._library import last_message

if TYPE_CHECKING:
    import asyncio

    from ._turn import Turn

END = object()
"""The last item of a call; it stays in the mailbox, for whoever else waits there."""
_STOP = object()


class _Stopped(Exception):
    """In the worker: there will be no reply, the call is to end."""


class _Request:
    """An item that the worker waits for a reply to."""

    def __init__(self, item: Any) -> None:
        self.item = item


class Mailbox:
    """What worker and caller say to one another."""

    def __init__(self) -> None:
        self.items: "queue.SimpleQueue[Any]" = queue.SimpleQueue()
        self.replies: "queue.SimpleQueue[Any]" = queue.SimpleQueue()
        self.stopped = False
        self.failure: Optional[BaseException] = None
        # A deque, since taking from it is one step: post never takes one that it does not wake.
        self.sleepers: "Deque[Tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]]" = deque()

    def post(self, item: Any) -> None:
        """Leaves an item for the caller, and wakes every event loop's task that waits for one."""
        self.items.put(item)
        while self.sleepers:
            try:
                loop, future = self.sleepers.popleft()
                loop.call_soon_threadsafe(_wake, future)
            except (IndexError, RuntimeError):
                pass  # it woke by itself, or its loop was closed: nobody is waiting

    async def sleep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Waits until there is an item, which another task may be first to take."""
        sleeper = (loop, loop.create_future())
        self.sleepers.append(sleeper)
        try:
            if self.items.empty():
                await sleeper[1]
        finally:
            try:
                self.sleepers.remove(sleeper)
            except ValueError:
                pass  # post has taken it

    def ask(self, item: Any) -> Any:
        """Leaves an item and waits for its reply. Raises _Stopped where there will be none."""
        if self.stopped:
            raise _Stopped
        self.post(_Request(item))
        reply = self.replies.get()
        if reply is _STOP:
            raise _Stopped
        return reply

    def guard(self, function: Callable[..., int]) -> Callable[..., int]:
        """A callback for the library: non-zero, which stops the call, where function raises."""

        def guarded(*arguments: Any) -> int:
            if self.stopped:
                return 1
            try:
                return function(*arguments)
            except _Stopped:
                return 1
            except BaseException as error:
                self.failure = error
                return 1

        return guarded


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class Call:
    """One call into the library.

    function returns a status; it runs on the worker and keeps what it needs alive. handle answers
    the items that were left with Mailbox.ask. turn is the call's time on a session; a call without
    one is stopped by its callbacks alone.
    """

    def __init__(
        self,
        function: Callable[[], int],
        mail: Mailbox,
        handle: Optional[Callable[[Any], Any]] = None,
        turn: Optional[Turn] = None,
    ) -> None:
        self.mail = mail
        self._handle = handle
        self.pid = os.getpid()
        self.status = int(Status.ERR_CANCELLED)
        self.message = "cancelled before it began"
        self.ended = False
        self._function: Optional[Callable[[], int]] = function
        self._turn = turn
        # Held while stopping and beginning are decided upon; the garbage collector and a signal's
        # handler may stop, too.
        self._deciding: Any = threading.RLock()
        self._running = False
        self._worker: Optional[int] = None

    def start(self) -> None:
        """Starts the worker. Raises ThreadError."""
        _running.add(self)
        try:
            threading.Thread(target=self._work, name="sot", daemon=True).start()
        except RecursionError:
            raise
        except RuntimeError as error:
            self.stop()
            raise ThreadError(str(error)) from error

    def _work(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self.mail.failure = error
        finally:
            self._finish()

    def _run(self) -> None:
        with self._deciding:
            self._worker = threading.get_ident()
            function, self._function = self._function, None
            turn = self._turn
        if function is None:
            return
        with turn or nullcontext():
            with self._deciding:
                self._running = not self.mail.stopped
            if not self._running:
                return
            try:
                status = function()
            finally:
                with self._deciding:
                    self._running = False
            if status != 0:
                self.message = last_message()
            self.status = status

    def _finish(self) -> None:
        self._function = self._handle = self._turn = None
        self.ended = True
        _running.discard(self)
        self.mail.post(END)

    def stop(self) -> None:
        """Asks the library to end the call soon; does not wait. From any thread."""
        self.mail.stopped = True
        self.mail.replies.put(_STOP)
        if self.pid != os.getpid():
            return
        with self._deciding:
            if self._worker is None:
                self._finish()
            elif self._running and self._turn is not None:
                self._turn.cancel()

    def abort(self) -> None:
        """Stops the call and waits for its end, whatever signals come meanwhile; what their
        handlers raise comes out then. Does not wait in a handler that interrupts stop()."""
        late: Optional[BaseException] = None
        while True:
            try:
                self.stop()
                self._await_end()
                break
            except RecursionError:
                # Trying on would never end, and a call begins where there is more room. The worker
                # is told here, where stop() may not have been, lest it wait for a reply.
                self.mail.stopped = True
                self.mail.replies.put(_STOP)
                raise
            except BaseException as error:
                late = error
        if late is not None:
            raise late

    def _await_end(self) -> None:
        # The worker does not end before a stop() that this thread is in, which a signal's handler
        # interrupts. Signals come between any two steps, so the lock alone knows whose it is.
        if self._deciding._is_owned():
            return
        while not (self.ended or self._worker == threading.get_ident()):
            if self.pid != os.getpid():
                return
            try:
                self.mail.items.get(timeout=0.1)
            except queue.Empty:
                pass
        if self.ended:
            self.mail.post(END)

    def deal_with(self, item: Any) -> Any:
        """Answers a request and returns None; returns any other item, END being the last one.
        Raises what the request's handler raises, and whoever called stops the call then."""
        if item is END:
            self.mail.post(END)
        if not isinstance(item, _Request):
            return item
        handle = self._handle
        if handle is not None and not self.mail.stopped:
            self.mail.replies.put(handle(item.item))
        return None

    def check_process(self) -> None:
        """Raises ForkError in a child of the process that began the call."""
        if self.pid != os.getpid():
            raise ForkError("a call that process {} began goes on there only".format(self.pid))

    def next_item(self) -> Any:
        """Waits for the next item that is not a request; END is the last one. Raises what a signal
        or a handler raises, and whoever called aborts the call then."""
        while True:
            self.check_process()
            item = self.deal_with(self.mail.items.get())
            if item is not None:
                return item

    def wait(self) -> None:
        """Runs the call to its end. Raises what a callback or a signal raised."""
        try:
            self.start()
            while self.next_item() is not END:
                pass
        except BaseException:
            self.abort()
            raise
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raises what went wrong in the worker beside the library's status."""
        failure, self.mail.failure = self.mail.failure, None
        if failure is not None:
            raise failure

    def error(self, partial: Any = None) -> SotError:
        """The exception for a status other than OK."""
        return error_of(self.status, self.message, partial)


_running: Set[Call] = set()


def wait_for(
    function: Callable[[], int],
    mail: Optional[Mailbox] = None,
    handle: Optional[Callable[[Any], Any]] = None,
    turn: Optional[Turn] = None,
) -> None:
    """Runs function on a worker to its end and raises the exception of its status."""
    call = Call(function, mail or Mailbox(), handle, turn)
    call.wait()
    if call.status != 0:
        raise call.error()


@atexit.register
def _stop_all() -> None:
    """The interpreter must not go away under a worker that is about to call back into it."""
    calls = [call for call in list(_running) if call.pid == os.getpid()]
    for call in calls:
        call.stop()
    for call in calls:
        call.abort()
