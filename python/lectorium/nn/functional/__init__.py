"""Layers as functions, under PyTorch's names."""

from __future__ import annotations

from .activation import *  # noqa: F403
from .conv import conv1d as conv1d
from .conv import conv2d as conv2d
from .conv import conv_transpose1d as conv_transpose1d
from .conv import conv_transpose2d as conv_transpose2d
from .linear import bilinear as bilinear
from .linear import linear as linear
from .loss import *  # noqa: F403
from .pooling import *  # noqa: F403
