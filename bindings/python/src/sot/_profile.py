"""Profile: how long prompts and decode steps take on a device, and latencies estimated from it."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Optional, Sequence

from . import _layout, _pack
from ._call import Mailbox, wait_for
from ._constants import ProfileFlags
from ._errors import ArgumentError
from ._library import check, library
from ._model import progress_calls
from ._owned import Owned, alive
from ._records import BreakEven, Estimate, ProfileInfo, record, sized
from ._session import Session


class Profile:
    """Tables of latencies (paper, App. E and F); immutable, for all threads. Made by
    Profile.measure and Profile.load."""

    info: ProfileInfo

    def __init__(self, owned: Owned) -> None:
        info = sized(_layout.sot_profile_info)
        check(library().sot_profile_get_info(owned.cell, ctypes.byref(info)))
        self.info = record(ProfileInfo, info)
        self._owned: Optional[Owned] = owned

    @classmethod
    def measure(
        cls,
        session: Session,
        *,
        full: bool = False,
        max_batch: int = 0,
        max_context: int = 0,
        n_decode_repeats: int = 0,
        n_prefill_repeats: int = 0,
        cell_ns: int = 0,
        machine: str = "",
        on_progress: Optional[Callable[[int, int], object]] = None,
    ) -> Profile:
        """Measures the tables with the session's model, device and threads: for batches up to
        max_batch (0: 16), contexts up to max_context tokens (0: 1024); full: every cell of the
        paper's grid, which takes hours where a model is large. on_progress is called with how much
        of how much is done; a true value cancels.

        Raises ArgumentError, ContextFullError, CancelledError, UnsupportedError, BusyError,
        DeviceError, OutOfMemoryError."""
        lib = library()
        mail = Mailbox()
        params = sized(_layout.sot_profile_params)
        params.flags = ProfileFlags.FULL if full else 0
        _pack.set_numbers(
            params,
            max_batch=max_batch,
            max_context=max_context,
            n_decode_repeats=n_decode_repeats,
            n_prefill_repeats=n_prefill_repeats,
        )
        params.cell_ns = _pack.number("cell_ns", cell_ns, 64)
        params.machine = _pack.text("machine", machine)
        params.progress = _layout.sot_profile_fn(progress_calls(mail, on_progress))
        return cls._measured(
            session,
            lambda s, out: int(lib.sot_profile_measure(s, ctypes.byref(params), out)),
            mail,
            None if on_progress is None else lambda item: on_progress(*item),
        )

    def refresh(self, session: Session) -> Profile:
        """A copy scaled by what a few cells, measured again, came to. Raises as measure;
        ArgumentError for another model, device or number of threads, too."""
        lib = library()
        profile = self._handle()
        return self._measured(
            session, lambda s, out: int(lib.sot_profile_refresh(profile.cell, s, out))
        )

    @classmethod
    def _measured(
        cls,
        session: Session,
        function: Callable[[Any, Any], int],
        mail: Optional[Mailbox] = None,
        handle: Optional[Callable[[Any], Any]] = None,
    ) -> Profile:
        turn = _pack.expect("session", session, Session)._begin()
        owned = Owned(_layout.profile_p, library().sot_profile_free)
        wait_for(lambda: function(turn.cell, owned.out()), mail, handle, turn)
        return cls(owned)

    @classmethod
    def load(cls, path: _pack.Path) -> Profile:
        """Reads a profile. Raises FileError, FormatError, UnsupportedError (a later version's
        file), OutOfMemoryError."""
        lib = library()
        owned = Owned(_layout.profile_p, lib.sot_profile_free)
        check(lib.sot_profile_load(_pack.path("path", path), owned.out()))
        return cls(owned)

    def save(self, path: _pack.Path) -> None:
        """Writes a JSON file, beside path and then in its place. Raises FileError."""
        owned = self._handle()
        check(library().sot_profile_save(owned.cell, _pack.path("path", path)))

    def prefill_ns(self, n_sequences: int, n_tokens: int) -> float:
        """t_P(B, k): ns of B prompts of k tokens each and the first token behind each."""
        return self._table("sot_profile_prefill_ns", n_sequences, n_tokens)

    def decode_ns(self, n_sequences: int, n_context: int) -> float:
        """t_D(B, k): ns of a step of B sequences with k tokens before it each."""
        return self._table("sot_profile_decode_ns", n_sequences, n_context)

    def _table(self, name: str, n_sequences: int, n_tokens: int) -> float:
        owned, function = self._handle(), getattr(library(), name)
        batch = _pack.number("n_sequences", n_sequences)
        return float(function(owned.cell, batch, _pack.number("n_tokens", n_tokens)))

    def estimate(
        self,
        *,
        normal_prompt: int,
        normal_tokens: int,
        skeleton_prompt: int,
        skeleton_tokens: int,
        common_prompt: int,
        point_prompt_tails: Sequence[int],
        point_tokens: Sequence[int],
        skeleton_found: int = 0,
        common_found: int = 0,
    ) -> Estimate:
        """The latencies of one question whose texts have these lengths, in tokens:
        point_prompt_tails and point_tokens are (n_points). *_found: how many are in pages already.

        Raises ArgumentError (a length out of range), OutOfMemoryError."""
        owned = self._handle()
        struct = sized(_layout.sot_lengths)
        _pack.set_numbers(
            struct,
            normal_prompt=normal_prompt,
            normal_tokens=normal_tokens,
            skeleton_prompt=skeleton_prompt,
            skeleton_tokens=skeleton_tokens,
            skeleton_found=skeleton_found,
            common_prompt=common_prompt,
            common_found=common_found,
        )
        tails, n_tails = _pack.numbers("point_prompt_tails", point_prompt_tails, ctypes.c_uint32)
        tokens, n_points = _pack.numbers("point_tokens", point_tokens, ctypes.c_uint32)
        if n_tails != n_points:
            raise ArgumentError(
                "point_prompt_tails has {} entries, point_tokens {}".format(n_tails, n_points)
            )
        struct.point_prompt_tails, struct.point_tokens = tails, tokens
        struct.n_points = n_points
        estimate = sized(_layout.sot_estimate)
        check(
            library().sot_profile_estimate(
                owned.cell, ctypes.byref(struct), ctypes.byref(estimate)
            )
        )
        return record(Estimate, estimate)

    def break_even(
        self,
        *,
        point_tokens: int = 0,
        normal_per_point: float = 0,
        skeleton_per_point: float = 0,
        normal_prompt: int = 0,
        skeleton_prompt: int = 0,
        skeleton_found: int = 0,
        common_prompt: int = 0,
        common_found: int = 0,
        point_tail: int = 0,
        max_points: int = 0,
    ) -> BreakEven:
        """The number of points from which on Skeleton-of-Thought pays off, for a kind of question;
        0 stands for the paper's lengths (point_tokens: 64; max_points: 16). Raises as estimate."""
        owned = self._handle()
        params = sized(_layout.sot_break_even_params)
        params.normal_per_point = _pack.real("normal_per_point", normal_per_point)
        params.skeleton_per_point = _pack.real("skeleton_per_point", skeleton_per_point)
        _pack.set_numbers(
            params,
            point_tokens=point_tokens,
            normal_prompt=normal_prompt,
            skeleton_prompt=skeleton_prompt,
            skeleton_found=skeleton_found,
            common_prompt=common_prompt,
            common_found=common_found,
            point_tail=point_tail,
            max_points=max_points,
        )
        result = sized(_layout.sot_break_even)
        check(
            library().sot_profile_break_even(
                owned.cell, ctypes.byref(params), ctypes.byref(result)
            )
        )
        return record(BreakEven, result)

    def close(self) -> None:
        """Gives the profile up."""
        self._owned = None

    def __enter__(self) -> Profile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handle(self) -> Owned:
        return alive(self._owned, "profile")
