"""The examples in docstrings and in README run, against the installed package.

pytest's own --doctest-modules would import python/lectorium from the checkout, which has no compiled module.
"""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

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
