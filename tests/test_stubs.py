"""_core.pyi says what the compiled module has: the same names and parameters, both ways."""

import ast
import inspect
from collections.abc import Iterable
from pathlib import Path

import pytest

import lectorium as lt
from lectorium import _core

STUB = ast.parse((Path(lt.__file__).parent / "_core.pyi").read_text(encoding="utf-8"))
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}
# What every class or module has; slots that Python adds beside the one that is defined.
EVERYWHERE = {*dir(object), "__annotations__", "__dict__", "__module__", "__weakref__"}
WRITTEN = {"__eq__", "__ne__", "__hash__", "__format__", "__lt__", "__le__", "__gt__", "__ge__", "__new__"}


def declared(body: Iterable[ast.stmt]) -> dict[str, list[ast.FunctionDef]]:
    """The names that a body defines, each with its functions: several where it is overloaded."""
    found: dict[str, list[ast.FunctionDef]] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.ClassDef):
            found[node.name] = []
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) != "TypeAlias":
            found[ast.unparse(node.target)] = []
    return found


def differences(stub: set[str], real: set[str]) -> list[str]:
    missing = [f"{name}: compiled, but not in _core.pyi" for name in sorted(real - stub)]
    return missing + [f"{name}: in _core.pyi, but not compiled" for name in sorted(stub - real)]


def test_the_stub_has_the_names_of_the_compiled_module() -> None:
    real = {name for name in vars(_core) if not (name.startswith("__") and name != "__version__")}
    assert differences(set(declared(STUB.body)), real) == []


def test_the_stub_has_the_methods_of_tensor() -> None:
    names = set(declared(CLASSES["Tensor"].body))
    assert differences(names - WRITTEN, set(dir(lt.Tensor)) - EVERYWHERE) == []
    assert names >= WRITTEN


@pytest.mark.parametrize("name", sorted({*CLASSES} - {"Tensor", "ShapeError"}))
def test_the_stub_has_the_members_of_a_class(name: str) -> None:
    real = {member for member in dir(getattr(_core, name)) if member not in EVERYWHERE}
    assert differences(set(declared(CLASSES[name].body)) - {"__new__"}, real) == []


def parameters(node: ast.FunctionDef) -> list[str]:
    a = node.args
    rest = [p for p in (a.vararg, *a.kwonlyargs, a.kwarg) if p is not None]
    return [p.arg for p in (*a.posonlyargs, *a.args, *rest)]


def real_parameters(function: object) -> list[str] | None:
    """None where the object does not tell: an operation takes ``*args`` and passes them on."""
    if not callable(function):
        return None
    try:
        found = inspect.signature(function).parameters.values()
    except ValueError:
        return None
    if any((p.kind is p.VAR_POSITIONAL and p.name == "args") or p.kind is p.VAR_KEYWORD for p in found):
        return None
    return [p.name for p in found]


def test_the_functions_of_the_stub_have_the_compiled_parameters() -> None:
    wrong: list[str] = []
    for name, nodes in declared(STUB.body).items():
        real = real_parameters(getattr(_core, name))
        if real is not None and any(parameters(node) != real for node in nodes):
            wrong.append(f"{name}: {real} compiled")
    assert wrong == []


def test_the_methods_of_the_stub_have_the_parameters_of_tensors_methods() -> None:
    wrong: list[str] = []
    for name, nodes in declared(CLASSES["Tensor"].body).items():
        function = inspect.getattr_static(lt.Tensor, name)
        real = None if isinstance(function, property) else real_parameters(function)
        # The compiled class has its own names for what elementwise operations call x, y and out.
        if len(nodes) != 1 or real is None or name in WRITTEN or real[:1] == ["x"]:
            continue
        if parameters(nodes[0])[1:] != real[1:]:
            wrong.append(f"{name}: {parameters(nodes[0])[1:]} in _core.pyi, {real[1:]} in fact")
    assert wrong == []
