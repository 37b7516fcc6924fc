"""Turn: one call's time on a session.

A request to cancel goes to a session and stops whatever runs there. So a call asks only in its own
turn, which no other call shares, and takes the request back, where it came too late, before the
turn ends.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from . import _layout
from ._constants import RouterKind
from ._errors import BusyError
from ._library import library
from ._owned import Owned
from ._records import sized


class Turn:
    """A context manager for the thread that runs the call; it keeps the session alive."""

    def __init__(self, session: Owned, lock: threading.Lock) -> None:
        self._session = session
        self._lock = lock
        self._cancel = library().sot_session_cancel
        self._was_asked = False

    @property
    def cell(self) -> Any:
        """The session, as the library's functions take it."""
        return self._session.cell

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise BusyError("the session is in use by another call")

    def cancel(self) -> None:
        """Asks the library to end the call; only between the turn's begin and its end."""
        self._was_asked = True
        self._cancel(self.cell)

    def __exit__(self, *_: object) -> None:
        try:
            if self._was_asked:
                self._use_up_request()
        finally:
            self._lock.release()

    def _use_up_request(self) -> None:
        """A request that comes when the call has returned would stop the session's next one. This
        call, which the library refuses once it has the session, uses the request up."""
        params = sized(_layout.sot_generate_params)
        params.router = RouterKind.TRAINED
        decision = sized(_layout.sot_decision)
        library().sot_route(self.cell, b"-", ctypes.byref(params), ctypes.byref(decision))
