"""Stream: an answer's events while it is made, for `for` and for `async for`."""

from __future__ import annotations

import os
import queue
from typing import TYPE_CHECKING, Any, AsyncIterator, Iterator, Optional, Type

from ._answer import Answer
from ._asking import Asking
from ._call import END
from ._errors import CancelledError, ContextFullError, SotError
from ._events import Event

if TYPE_CHECKING:
    from ._session import Session


class Stream(Iterator[Event], AsyncIterator[Event]):
    """Iterates over the events of one answer, in a loop or, by one task at a time, in an
    asynchronous one. Made by Session.stream and Chat.stream, which begin generating at once; it
    goes on while the loop's body runs.

    The loop ends with the answer, or raises what generate would. close(), letting go of the stream
    and, in an asynchronous loop, cancelling the task that waits for an event stop the call. Where
    an exception leaves the loop's body its traceback still holds the stream: `with` closes it.
    """

    answer: Optional[Answer]
    """None until the stream has ended; then the answer, or what there was of it; where an exception
    or the task's being cancelled ended the loop, from close() on."""

    def __init__(self, asking: Asking[Answer], session: Session) -> None:
        self.answer = None
        self._asking = asking
        self._call = asking.call
        self._session = session
        self._done = False  # nothing more comes out of the loop
        self._taken = False  # answer says what there was
        self._call.start()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Event:
        if self._done:
            raise StopIteration
        try:
            item = self._call.next_item()
        except BaseException:
            self._call.abort()
            self._done = True  # last: where a signal comes in between, __del__ stops the call
            raise
        return self._event(item, StopIteration)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Event:
        import asyncio

        if self._done:
            raise StopAsyncIteration
        call = self._call
        if call.mail.sleepers:
            raise RuntimeError("another task is waiting for this stream")
        try:
            await asyncio.sleep(0)  # other tasks have their turn, however fast events come
            item = None
            while item is None:
                call.check_process()
                try:
                    item = call.deal_with(call.mail.items.get_nowait())
                except queue.Empty:
                    await call.mail.sleep(asyncio.get_running_loop())
        except BaseException:
            self._abandon()
            raise
        return self._event(item, StopAsyncIteration)

    def _event(self, item: Any, end: Type[Exception]) -> Event:
        if item is not END:
            event: Event = item
            return event
        self._take_result()
        raise end

    def _take_result(self) -> None:
        self._done = self._taken = True
        try:
            self.answer = self._asking.result()
        except (CancelledError, ContextFullError) as error:
            self.answer = error.partial if isinstance(error.partial, Answer) else None
            raise

    def cancel(self) -> None:
        """Stops the call soon, as Session.cancel does: the loop ends with CancelledError."""
        self._call.stop()

    def close(self) -> None:
        """Stops the call and waits for its end, one pass over the weights at most; answer then has
        what there was. Nothing where the stream has ended."""
        if not self._taken:
            self._call.abort()
            self._take_leftover()

    async def aclose(self) -> None:
        """close(), without blocking the event loop."""
        import asyncio

        self._call.stop()
        while not self._call.ended:
            if self._call.pid != os.getpid():
                return
            try:
                self._call.deal_with(self._call.mail.items.get_nowait())
            except queue.Empty:
                await self._call.mail.sleep(asyncio.get_running_loop())
        if not self._taken:
            self._take_leftover()

    def _take_leftover(self) -> None:
        if not self._call.ended:
            return  # it is the process's that forked this one, or a frame below is stopping it
        try:
            self._take_result()
        except SotError:
            pass  # whoever closes a stream no longer asks how it would have ended

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if "_call" in self.__dict__ and not self._done:
            self._abandon()

    def _abandon(self) -> None:
        """Stops the call without waiting; the session's next one will."""
        if not self._call.ended:
            self._session._leave(self._call)
            self._call.stop()
        self._done = True  # last: where a signal comes in between, __del__ does it again
