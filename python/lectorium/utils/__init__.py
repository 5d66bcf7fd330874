"""PyTorch's paths to things that live elsewhere: ``utils.data`` and ``utils.checkpoint``."""

from __future__ import annotations

from . import checkpoint, data

__all__ = ["checkpoint", "data"]
