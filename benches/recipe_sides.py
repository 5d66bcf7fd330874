"""A recipe here and its source on PyTorch, over several seeds: what the scripts of single recipes share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tables import cores, heading, write_results

from lectorium import recipes


def arguments(doc: str | None, runs: str, seeds: list[int]) -> argparse.ArgumentParser:
    """The options that all of them take."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=seeds)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--only", choices=("lectorium", "torch"))
    parser.add_argument("--runs", type=Path, default=Path(runs))
    parser.add_argument("--write", action="store_true", help="put the table into benches/RESULTS.md")
    return parser


def compare(
    script: str,
    args: argparse.Namespace,
    recipe: str,
    in_torch: Callable[[dict[str, Any], int], dict[str, Any]],
    figure: tuple[str, str],
    notes: str,
    settings: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Trains what is missing in ``args.runs`` and prints the table.

    ``figure``: the key of a result, and the format of its numbers in the table.
    """
    (key, form), options = figure, options or {}
    found: dict[str, list[float]] = {}
    for seed in args.seeds:
        for side in ("lectorium", "torch") if args.only is None else (args.only,):
            folder = args.runs / "-".join([side, *options.values(), str(seed)])
            given: dict[str, Any] = {
                **(settings or {}),
                "seed": seed,
                "epochs": args.epochs,
                "limit": args.limit,
            }
            if side == "lectorium":
                result = recipes.train(
                    recipe, **given, **options, out=folder, threads=args.threads, resume=True
                )
            elif (folder / "result.json").exists():
                result = json.loads((folder / "result.json").read_text())
            else:
                result = in_torch({**given, "options": options}, args.threads)
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "result.json").write_text(json.dumps(result))
            found.setdefault(side, []).append(result[key])
            print(f"{side}, seed {seed}: {result[key]:.4f}", flush=True)
    head = "| | " + " | ".join(f"seed {seed}" for seed in args.seeds) + " | mean |"
    lines = [head, "|---|" + "---:|" * (len(args.seeds) + 1)]
    for side, values in found.items():
        cells = [format(value, form) for value in [*values, float(np.mean(values))]]
        lines.append(f"| {side} | " + " | ".join(cells) + " |")
    print("\n".join(lines))
    if args.write:
        text = heading(f"python benches/{script}", f"{args.threads} threads", notes)
        write_results(script, text + "\n" + "\n".join(lines))
