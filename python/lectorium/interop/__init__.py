"""Formats that other libraries read and write."""

from __future__ import annotations

from . import safetensors

__all__ = ["safetensors"]
