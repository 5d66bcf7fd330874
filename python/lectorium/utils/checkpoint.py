"""Activation checkpointing under PyTorch's path."""

from __future__ import annotations

from ..autograd.checkpoint import checkpoint, checkpoint_sequential

__all__ = ["checkpoint", "checkpoint_sequential"]
