"""PyTorch's paths to things that live elsewhere: ``utils.data``, ``utils.checkpoint``, ``utils.dlpack``."""

from __future__ import annotations

from . import checkpoint, data, dlpack

__all__ = ["checkpoint", "data", "dlpack"]
