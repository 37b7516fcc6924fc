"""Checkpoints that ship only PyTorch ``.bin`` files, turned into safetensors or one GGUF file.

``python -m sot.convert SRC DST`` is the command (``--help`` is its manual page) and
:func:`convert` the same from Python. ``conversion.py`` is where to start reading. Importing this
package loads neither libsot nor torch.
"""

from __future__ import annotations

from .conversion import DEFAULT_SHARD_BYTES, Summary, convert
from .tensor import ConvertError

__all__ = ["DEFAULT_SHARD_BYTES", "ConvertError", "Summary", "convert"]
