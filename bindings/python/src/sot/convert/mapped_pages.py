"""Giving back pages of mapped files that were read: they count as the process's memory until the
system is short of it, and are read from the file again if need be."""

from __future__ import annotations

import bisect
import ctypes
import mmap
import sys
from collections.abc import Collection

_MADV_DONTNEED = 4  # Linux


class MappedPages:
    """Where this process has files mapped privately, now: all, or the ones at the given real paths.

    Nothing may ever have written to what is given back: it would be lost. Does nothing elsewhere
    than on Linux.
    """

    def __init__(self, paths: Collection[str] | None = None) -> None:
        self._ranges: list[tuple[int, int]] = []
        if not sys.platform.startswith("linux"):
            return
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                addresses, flags, _, _, inode, *path = line.rstrip("\n").split(None, 5)
                wanted = paths is None or path[:1] and path[0] in paths
                if inode != "0" and flags.endswith("p") and wanted:
                    begin, end = (int(address, 16) for address in addresses.split("-"))
                    self._ranges.append((begin, end))
        self._ranges.sort()
        self._madvise = ctypes.CDLL(None).madvise
        self._madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def give_back(self, address: int, size: int) -> None:
        """The pages of [address, address + size), if all of them are one file's."""
        begin = address - address % mmap.PAGESIZE
        end = address + size
        i = bisect.bisect_right(self._ranges, (begin, sys.maxsize)) - 1
        if i >= 0 and self._ranges[i][0] <= begin and end <= self._ranges[i][1]:
            self._madvise(begin, end - begin, _MADV_DONTNEED)

    def give_back_all(self) -> None:
        for begin, end in self._ranges:
            self._madvise(begin, end - begin, _MADV_DONTNEED)
