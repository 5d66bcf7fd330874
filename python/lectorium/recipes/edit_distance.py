"""How many labels are wrong in a sequence."""

from __future__ import annotations

from collections.abc import Sequence


def edit_distance(answer: Sequence[object], truth: Sequence[object]) -> int:
    """The fewest insertions, deletions and substitutions that turn one sequence into the other.

    Source: Levenshtein (1966), Binary codes capable of correcting deletions, insertions, and reversals.

    Example:
        >>> lt.recipes.edit_distance.edit_distance("kitten", "sitting")
        3
    """
    row = list(range(len(truth) + 1))
    for i, own in enumerate(answer, 1):
        diagonal, row[0] = row[0], i
        for j, true in enumerate(truth, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (own != true))
    return row[-1]
