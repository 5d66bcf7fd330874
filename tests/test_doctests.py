"""Every public name has a docstring with an example, and these and README's run, against the installed package.

pytest's own --doctest-modules would import python/lectorium from the checkout, which has no compiled module.
"""

import doctest
import functools
import importlib
import inspect
import pkgutil
import re
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lectorium as lt

README = Path(__file__).resolve().parents[1] / "README.md"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules() -> list[str]:
    found = pkgutil.walk_packages(lt.__path__, "lectorium.", onerror=lambda name: None)
    return ["lectorium", *sorted(m.name for m in found if not m.name.endswith((".__main__", "._core")))]


@pytest.fixture(autouse=True)
def _a_clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples may write files and draw random numbers."""
    monkeypatch.chdir(tmp_path)
    lt.manual_seed(0)


@pytest.mark.parametrize("name", modules())
def test_the_examples_in_the_docstrings_of_a_module_hold(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "lectorium").partition(".")[0] == "lectorium":
            raise
        pytest.skip(f"{name} needs the optional package {error.name}")
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    report: list[str] = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs={"lt": lt, "np": np}):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def test_the_python_blocks_of_readme_run_in_order() -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert blocks, f"no python block in {README}"
    names: dict[str, object] = {"__name__": "readme"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"README.md, python block {number}", "exec"), names)


# Where users find names. What begins with _ and what is not made here is nobody's to document.
ROOMS = """
    lectorium lectorium.autograd lectorium.data lectorium.datasets lectorium.gpu lectorium.interop
    lectorium.interop.dlpack lectorium.interop.safetensors lectorium.memory lectorium.models lectorium.nn
    lectorium.nn.functional lectorium.nn.init lectorium.nn.module lectorium.nn.parameter lectorium.nn.utils
    lectorium.nn.utils.rnn lectorium.optim lectorium.optim.lr_scheduler lectorium.plot lectorium.recipes
    lectorium.serialization lectorium.utils lectorium.utils.checkpoint lectorium.utils.data
    lectorium.utils.dlpack
""".split()
# What a layer does when it is called is in the example of its class.
OF_LAYERS = {"forward", "extra_repr", "reset_parameters", "reset_running_stats"}


@functools.cache
def public() -> dict[str, Any]:
    """Functions and classes by the name under which they are found first."""
    found: dict[int, tuple[str, Any]] = {}
    for room in ROOMS:
        module = importlib.import_module(room)
        names = getattr(module, "__all__", None) or [n for n in dir(module) if not n.startswith("_")]
        for name in names:
            value = getattr(module, name)
            origin = getattr(value, "__module__", None)
            ours = origin.startswith("lectorium") if isinstance(origin, str) else inspect.isbuiltin(value)
            if (inspect.isroutine(value) or inspect.isclass(value)) and ours:
                found.setdefault(id(value), (f"{room}.{name}", value))
    return dict(found.values())


def members(cls: type) -> dict[str, Any]:
    """Methods and properties that a class has of its own, or of bases that nobody sees."""
    seen = {id(value) for value in public().values()}
    ours = [base for base in cls.__mro__ if base.__module__.startswith("lectorium")]
    hidden = [base for base in ours if base is cls or id(base) not in seen]
    wanted = {name for base in hidden for name in vars(base) if not name.startswith("_")}
    wanted -= {name for base in ours if base not in hidden for name in dir(base)}
    if issubclass(cls, lt.nn.Module) and cls is not lt.nn.Module:
        wanted -= OF_LAYERS
    kinds = (property, classmethod, staticmethod, types.GetSetDescriptorType)
    return {
        name: value
        for name in sorted(wanted)
        if isinstance(value := inspect.getattr_static(cls, name), kinds) or inspect.isroutine(value)
    }


def lacking(what: Any) -> str:
    text = getattr(what, "__doc__", None) or ""
    return "" if ">>> " in text else "no example" if text.strip() else "no docstring"


def test_every_public_name_has_a_docstring_with_an_example() -> None:
    missing = [f"{name}: {lacking(value)}" for name, value in public().items() if lacking(value)]
    assert missing == []


def test_every_method_of_a_public_class_has_a_docstring_with_an_example() -> None:
    missing: list[str] = []
    for path, cls in public().items():
        if not inspect.isclass(cls):
            continue
        for name, member in members(cls).items():
            # A field says what it is; the in-place form of a method names that method.
            in_one_line = isinstance(member, types.GetSetDescriptorType | property) and cls is not lt.Tensor
            in_one_line |= cls is lt.Tensor and name.endswith("_") and f"``{name[:-1]}``" in member.__doc__
            in_one_line |= issubclass(cls, lt.nn.utils.rnn.PackedSequence) and hasattr(lt.Tensor, name)
            lack = lacking(member)
            if lack and not (in_one_line and lack == "no example"):
                missing.append(f"{path}.{name}: {lack}")
    assert missing == []


def test_examples_that_no_module_shows_hold_too() -> None:
    """Those of compiled names, and of methods that a function makes."""
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    parser, report = doctest.DocTestParser(), list[str]()
    compiled = {name: value for name, value in vars(lt._core).items() if not name.startswith("__")}
    for name, value in {**compiled, **members(lt.Tensor), **members(lt.dtype)}.items():
        if ">>> " in (text := inspect.getdoc(value) or ""):
            runner.run(parser.get_doctest(text, {"lt": lt, "np": np}, name, None, 0), out=report.append)
    assert runner.tries > 100
    assert runner.failures == 0, "".join(report)
