"""DLPack under PyTorch's path."""

from __future__ import annotations

from ..interop.dlpack import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
