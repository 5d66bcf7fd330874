"""The models of the lectures. They compute and nothing else: no files, no data."""

from __future__ import annotations

from .cifarnet import CifarNet
from .lenet5 import LeNet5
from .logistic_regression import LogisticRegression
from .mlp import MLP
from .perceptron import Perceptron
from .xor_mlp import XorMLP

__all__ = ["MLP", "CifarNet", "LeNet5", "LogisticRegression", "Perceptron", "XorMLP"]
