"""BLEU, the figure of translations, as the program sacrebleu counts it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

ORDER = 4

# The tokenisation "13a": NIST's mteval-v13a for Western languages.
_SPLITS = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def tokens_13a(sentence: str) -> list[str]:
    """A sentence's words and signs, as mteval-v13a separates them.

    Example:
        >>> lt.recipes.bleu.tokens_13a("It's 3.5, isn't it?")
        ["It's", '3.5', ',', "isn't", 'it', '?']
    """
    line = sentence.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, sign in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        line = line.replace(entity, sign)
    line = f" {line} "
    for pattern, parts in _SPLITS:
        line = pattern.sub(parts, line)
    return line.split()


def bleu(answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU-4 of a whole test set, 0 to 100; `references`: for each answer its translations, one or more.

    Counts of n-grams are clipped by the largest in any one reference and added up over all sentences; the
    length to compare with is the nearest reference's; a precision of 0 is smoothed as mteval does (method
    "exp" of sacrebleu, whose default settings these are). Errors: ValueError for lists that do not fit.
    Source: Papineni, Roukos, Ward and Zhu (2002), BLEU: a method for automatic evaluation of machine
    translation; Post (2018), A call for clarity in reporting BLEU scores.

    Example:
        >>> round(lt.recipes.bleu.bleu(["The cat is here now."], [["The cat was here now.", "It is here."]]))
        43
    """
    if len(answers) != len(references) or not answers or not all(references):
        raise ValueError(
            "bleu: expected 1 or more answers with one or more references each, got "
            f"{len(answers)} answers and references for {sum(map(bool, references))}"
        )
    right, total = [0] * ORDER, [0] * ORDER
    length = wanted = 0
    for answer, known in zip(answers, references, strict=True):
        words, others = tokens_13a(answer), [tokens_13a(text) for text in known]
        length += len(words)
        wanted += min((abs(len(other) - len(words)), len(other)) for other in others)[1]
        for n in range(ORDER):
            own = _grams(words, n + 1)
            most: Counter[tuple[str, ...]] = Counter()
            for other in others:
                most |= _grams(other, n + 1)
            right[n] += (own & most).total()
            total[n] += own.total()
    if not any(right) or not all(total):
        return 0.0
    smooth, logs = 1, 0.0
    for good, all_of_them in zip(right, total, strict=True):
        smooth *= 1 if good else 2
        logs += math.log((good or 1 / smooth) / all_of_them)
    return 100 * math.exp(logs / ORDER + min(0.0, 1 - wanted / length))


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
