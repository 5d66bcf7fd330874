"""Rows, means, targets, and benches/RESULTS.md."""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# Of each group, at AVX-512 and at AVX2: the geometric mean and each row must reach this ratio.
MEANS = {
    "training steps": (1.8, 1.5),
    "conv 3x3 stride 1": (2.2, 1.6),
    "GEMM, weight packed beforehand": (0.98, 0.98),
    "GEMM, nothing packed beforehand": (0.9, 0.9),
    "inference, batch 1": (1.7, 1.4),
    "elementwise, sums and copies": (1.5, 1.5),
    "norms, softmax and losses": (1.5, 1.5),
    "pooling": (1.5, 1.5),
    "optimizers": (1.5, 1.5),
    "small operations": (1.2, 1.2),
}
EACH = {
    "training steps": (1.1, 1.0),
    "GEMM, weight packed beforehand": (0.85, 0.85),
    "GEMM, nothing packed beforehand": (0.6, 0.6),
    "elementwise, sums and copies": (1.0, 1.0),
    "norms, softmax and losses": (1.0, 1.0),
    "pooling": (1.0, 1.0),
    "optimizers": (1.0, 1.0),
    "recurrent": (1.0, 1.0),
}
SINGLE = {
    "RNN 128 b32 T50": (2.0, 1.0),
    "LSTM 128x2 b50 T50": (1.15, 1.0),
    "LSTM 512 b32 T64": (1.2, 1.0),
    "GRU 128x2 b50 T50": (2.0, 1.0),
    "GRU 512 b32 T64": (1.6, 1.0),
    "bidirectional LSTM 256 b16 T200": (1.2, 1.0),
    "MUT1 128 b32 T50": (5.0, 1.0),
    "LSTMCell 128 b32, 40 steps": (1.5, 1.5),
    "LSTM 128, 100 steps of one sequence, one by one": (3.0, 3.0),
    "train VGG-16 32x32 b32": (2.2, 1.6),
    "train ResNet-18 224 b4": (1.8, 1.4),
    "train U-Net 128 b2": (2.0, 1.5),
    "train LeNet-5 b64 Adam": (2.0, 1.6),
}
# Said under the heading of a group.
REMARKS = {
    "GEMM, weight packed beforehand": "Ours alone keeps the packed weight from call to call (forms of up to "
    "64 MiB); PyTorch packs it at each call, as it does in a model.",
}
# Convolutional training steps against PyTorch's channels-last setting.
CHANNELS_LAST = (1.6, 1.3)


@dataclass
class Row:
    """One case. Keys are sides: ``""`` for us and the modes of PyTorch; seconds a part, bytes, messages."""

    name: str
    group: str
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def ratio(self, mode: str, part: str | None = None) -> float | None:
        """PyTorch's time over ours, of a part or of all parts together."""
        if "" not in self.times or mode not in self.times:
            return None
        both = (self.times[mode], self.times[""])
        theirs, ours = (sum(t.values()) if part is None else t[part] for t in both)
        return theirs / ours


def geometric(ratios: Iterable[float | None]) -> float | None:
    """The geometric mean of those that are there."""
    there = [r for r in ratios if r is not None]
    return math.exp(sum(map(math.log, there)) / len(there)) if there else None


def short(ratio: float | None, target: float | None) -> str:
    """A ratio with a mark and the target where it falls short."""
    if ratio is None:
        return ""
    return f"{ratio:.2f}" if target is None or ratio >= target else f"**{ratio:.2f}** ✗ {target:g}"


def figure(seconds: float) -> str:
    """Milliseconds with four digits."""
    ms = seconds * 1e3
    return f"{ms:.0f}" if ms >= 1000 else f"{ms:.4g}"


def target_of(row: Row, level: int) -> float | None:
    """What this row has to reach."""
    group = "training steps" if row.group.startswith("training") else row.group
    return SINGLE.get(row.name, EACH.get(group, (None, None)))[level]


def lines_of(row: Row, modes: list[str], level: int) -> list[str]:
    """A row of the table, or one a part and their sum."""
    names: list[str | None] = [*row.times.get("", {"": 0})]
    if len(names) > 1:
        names.append(None)
    lines: list[str] = []
    for part in names:
        whole = part is None or not part
        cells = [row.name if not part else f"{row.name}: {part}"]
        if part is None:
            cells[0] += ": together"
        for side in ("", *modes):
            times = row.times.get(side)
            if times is None:
                cells.append(f"failed: {row.errors[side]}" if side in row.errors else "")
            else:
                cells.append(figure(sum(times.values()) if part is None else times[part]))
            if side:
                target = target_of(row, level) if whole and side == "eager" else None
                cells.append(short(row.ratio(side, part), target))
        peaks = [row.peaks.get(side) for side in ("", modes[0])]
        for i, peak in enumerate(peaks):
            above = i == 0 and row.group.startswith("training") and peak and peaks[1] and peak > peaks[1]
            text = "" if peak is None or not whole else f"{peak / 1e6:.0f}"
            cells.append(f"**{text}** ✗" if above else text)
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def head_of(modes: list[str]) -> list[str]:
    """The head of a table of rows."""
    cells = ["", "ours, ms"]
    for mode in modes:
        cells += [f"{mode}, ms", "ratio"]
    cells += ["ours, MB", f"{modes[0]}, MB"]
    return ["| " + " | ".join(cells) + " |", "|---|" + "---:|" * (len(cells) - 1)]


def summary(rows: list[Row], modes: list[str], level: int) -> list[str]:
    """Geometric means beside what they must reach."""
    lines = [
        "| group | cases | against | geometric mean | target | lowest | target |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]

    def line(text: str, chosen: list[Row], mode: str, mean: float | None, each: float | None) -> None:
        ratios = [(r, row.name) for row in chosen if (r := row.ratio(mode)) is not None]
        if not ratios:
            return
        low, name = min(ratios)
        least = "" if each is None else f"{each:g}"
        goal = "" if mean is None else f"{mean:g}"
        lines.append(
            f"| {text} | {len(ratios)} | {mode} | {short(geometric(r for r, _ in ratios), mean)} | {goal} "
            f"| {short(low, each)} ({name}) | {least} |"
        )

    for mode in modes:
        training = [r for r in rows if r.group.startswith("training steps")]
        pictures = [r for r in training if r.group.endswith("convolutional")]
        eager = mode == "eager"
        line(
            "training steps",
            training,
            mode,
            MEANS["training steps"][level] if eager else None,
            EACH["training steps"][level] if eager else None,
        )
        line(
            "training steps, convolutional",
            pictures,
            mode,
            CHANNELS_LAST[level] if mode == "channels-last" else None,
            None,
        )
        for group in dict.fromkeys(r.group for r in rows if r not in training):
            goals = (MEANS.get(group), EACH.get(group)) if eager else (None, None)
            mean, each = (None if g is None else g[level] for g in goals)
            line(group, [r for r in rows if r.group == group], mode, mean, each)
    return lines


def report(rows: list[Row], modes: list[str], level: int) -> str:
    """All tables."""
    lines = summary(rows, modes, level)
    for group in dict.fromkeys(r.group for r in rows):
        lines += ["", f"### {group[0].upper()}{group[1:]}", ""]
        lines += [REMARKS[group], ""] if group in REMARKS else []
        lines += head_of(modes)
        for row in rows:
            if row.group == group:
                lines += lines_of(row, modes, level)
    return "\n".join(lines)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """The processor and its cores, in a line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        text = info.read_text()
        model = next((x.split(":")[1].strip() for x in text.splitlines() if "model name" in x), model)
        model += ", AVX-512" if "avx512f" in text else ", AVX2" if "avx2" in text else ""
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def write_results(section: str, text: str) -> None:
    """Replaces one section of benches/RESULTS.md."""
    path = Path(__file__).parent / "RESULTS.md"
    old = path.read_text(encoding="utf-8") if path.exists() else "# Measured\n"
    head = f"## {section}\n"
    before, found, rest = old.partition(head)
    after = rest[rest.index("\n## ") + 1 :] if found and "\n## " in rest else ""
    new = f"{before.rstrip()}\n\n{head}\n{text.rstrip()}\n\n{after}".rstrip() + "\n"
    path.write_text(new, encoding="utf-8")


def heading(command: str, setting: str, notes: str) -> str:
    """Machine, date and command over a table."""
    return f"{machine()}, {setting}, {datetime.date.today()}. `{command}`\n{notes}\n"
