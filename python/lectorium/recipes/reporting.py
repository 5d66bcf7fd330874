"""The table of results, from the runs' own result.json."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import SUMMARIES, get
from .data_names import KNOWN
from .errors import RecipeError, RunError
from .options import flag
from .run_folder import CONFIG, RESULT, RunFolder

HEAD = ("recipe", "data", "seed", "result", "time")


def report(runs: Sequence[str | os.PathLike[str]] = ()) -> str:
    """A Markdown table with a row for each complete run; without any named, all in the folder ``runs``.

    `runs`: run folders, or folders that hold some. The rows stand in the order of `lectorium list`, then of
    data, options and seed. Errors: RunError for a folder that is not there, or that holds no complete run.

    Example:
        >>> _ = lt.recipes.train("xor-mlp", out="runs/xor", seed=1)
        >>> print(lt.recipes.report(["runs/xor"]))  # doctest: +ELLIPSIS
        | recipe | data | seed | result | time |
        | --- | --- | ---: | --- | ---: |
        | `xor-mlp` | XOR | 1 | test accuracy 100.00 % | ... |
    """
    results: list[dict[str, Any]] = []
    for run in [Path(run) for run in runs] or [Path("runs")]:
        if not run.is_dir():
            hint = "; train first: lectorium train RECIPE" if not runs else ""
            raise RunError(f"there is no folder {run}{hint}")
        results += _results(run)
    order = list(SUMMARIES)
    results.sort(key=lambda r: (order.index(r["recipe"]), r["data"], str(r.get("options")), r["seed"]))
    lines = [f"| {' | '.join(HEAD)} |", "| --- | --- | ---: | --- | ---: |"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(result))} |" for result in results)])


def _results(folder: Path) -> list[dict[str, Any]]:
    """The results of a run folder, or of the complete runs in a folder of several."""
    if (folder / CONFIG).exists() or (folder / RESULT).exists():
        result = _result(folder)
        if result is None:
            raise RunError(
                f"the run in {folder} is not complete; to go on with it: lectorium train … --resume"
            )
        return [result]
    found = [_result(inner) for inner in sorted(folder.iterdir()) if (inner / RESULT).exists()]
    complete = [result for result in found if result is not None]
    if not complete:
        raise RunError(f"{folder} holds no complete run; train first: lectorium train RECIPE")
    return complete


def _result(folder: Path) -> dict[str, Any] | None:
    result = RunFolder(folder).read_json(RESULT)
    if result is None or "figure" not in result:
        return None
    missing = [key for key in ("recipe", "data", "seed", "training_seconds") if key not in result]
    if missing:
        raise RunError(f"{folder / RESULT} names no {', '.join(missing)}; is it the result of a run?")
    try:
        get(str(result["recipe"]))
    except RecipeError as error:
        raise RunError(f"{folder / RESULT}: {error}") from None
    return result


def _cells(result: dict[str, Any]) -> tuple[str, ...]:
    recipe = get(result["recipe"])
    usual = recipe.options
    options: dict[str, Any] = result.get("options") or {}
    chosen = "".join(
        f" {flag(name)} {value}"
        for name, value in options.items()
        if name not in usual or value != usual[name].default
    )
    data = KNOWN.get(result["data"], str(result["data"]))
    return (
        f"`{recipe.name}{chosen}`",
        data,
        str(result["seed"]),
        result["figure"],
        clock(result["training_seconds"]),
    )


def clock(seconds: float) -> str:
    """How long training took, to read.

    Example:
        >>> [lt.recipes.reporting.clock(s) for s in (0.42, 75, 4020)]
        ['0.4 s', '1 min 15 s', '1 h 7 min']
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    return (
        f"{minutes} min {round(seconds) % 60} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    )
