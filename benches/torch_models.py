"""The models of ``lectorium.models`` as PyTorch modules: the same source, run with the imports exchanged.

    alexnet = torch_models.load("alexnet")  # python/lectorium/models/alexnet.py on PyTorch
    net = alexnet.AlexNet()  # a torch.nn.Module

The model files use only what both libraries have under one name, and the few things that `torch_sequences`
adds to PyTorch, so tests and benchmarks compare the same code.
"""

from __future__ import annotations

import ast
import sys
import types
from pathlib import Path

import torch_sequences

MODELS = Path(__file__).resolve().parents[1] / "python" / "lectorium" / "models"


class _Exchange(ast.NodeTransformer):
    """Imports of the library become PyTorch's: ``..nn`` is torch.nn, other rooms' names are all in torch."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if node.level == 1:  # a model that another one is made of
            assert node.module
            load(node.module)
            node.module, node.level = _name_of(node.module), 0
        elif node.level == 2:
            room = node.module or ""
            node.module, node.level = (f"torch.{room}" if room.split(".")[0] == "nn" else "torch"), 0
        return node

    def visit_Import(self, node: ast.Import) -> ast.Import:
        for alias in node.names:
            alias.name = alias.name.replace("lectorium", "torch")
        return node


def _name_of(name: str) -> str:
    return f"torch_models.{name}"


def load(name: str) -> types.ModuleType:
    """The module ``lectorium.models.<name>`` with its classes made of PyTorch's; read once."""
    full = _name_of(name)
    if full not in sys.modules:
        path = MODELS / f"{name}.py"
        tree = ast.fix_missing_locations(_Exchange().visit(ast.parse(path.read_text(encoding="utf-8"))))
        module = types.ModuleType(full)
        module.__file__ = str(path)
        exec(compile(tree, str(path), "exec"), module.__dict__)
        if "nn" in module.__dict__:
            module.__dict__["nn"] = torch_sequences.nn
        sys.modules[full] = module
    return sys.modules[full]
