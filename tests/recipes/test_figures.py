"""BLEU and the edit distance. The values of BLEU are those that sacrebleu 2.6.0 prints."""

from __future__ import annotations

import pytest

from lectorium.recipes.bleu import bleu, tokens_13a
from lectorium.recipes.edit_distance import edit_distance

CASES = {
    "one sentence": (
        36.0887722595069,
        ["The quick brown fox jumps over the dog."],
        [["The quick brown fox jumped over the lazy dog."]],
    ),
    "several references, of different number": (
        38.260294162784476,
        ["I am cold.", "He's gone."],
        [["I'm cold.", "I am very cold."], ["He is gone.", "He has left."]],
    ),
    "too short": (
        75.77852938122874,
        ["Go!", "It costs $3.50, sir."],
        [["Go away!"], ["It costs 3.50 dollars, sir.", "That costs $3.50, sir."]],
    ),
}


@pytest.mark.parametrize(("expected", "answers", "references"), CASES.values(), ids=CASES)
def test_bleu_is_what_sacrebleu_counts(
    expected: float, answers: list[str], references: list[list[str]]
) -> None:
    assert bleu(answers, references) == pytest.approx(expected, abs=1e-9)


def test_bleu_of_the_same_and_of_nothing_in_common() -> None:
    assert bleu(["It is here now."], [["It is here now."]]) == pytest.approx(100)
    assert bleu(["a b c d e"], [["v w x y z"]]) == 0
    assert bleu([""], [["v w x y z"]]) == 0
    # No four words in a row anywhere: undefined, and 0 as sacrebleu has it.
    assert bleu(["Go !"], [["Go !"]]) == 0


@pytest.mark.parametrize(
    ("answers", "references"), [([], []), (["a"], []), (["a"], [[]]), (["a"], [["a"], ["b"]])]
)
def test_bleu_of_lists_that_do_not_fit_is_an_error(answers: list[str], references: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="bleu: expected 1 or more answers with one or more references each"):
        bleu(answers, references)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello, world!", "Hello , world !"),
        ("It's 3,000.50 (about $4).", "It's 3,000.50 ( about $ 4 ) ."),
        ("1990-1991 and well-known", "1990 - 1991 and well-known"),
        ("&quot;a&quot; &amp; b&lt;c", '" a " & b < c'),
        ("a\nb c-\nd", "a b cd"),
        ("", ""),
    ],
)
def test_words_are_separated_as_13a_does(text: str, tokens: str) -> None:
    assert " ".join(tokens_13a(text)) == tokens


@pytest.mark.parametrize(
    ("answer", "truth", "distance"),
    [
        ([], [], 0),
        ([1], [], 1),
        ([], [1, 2], 2),
        ([1, 2, 3], [1, 3], 1),
        ([1, 2], [2, 1], 2),
        ([5, 5], [5], 1),
    ],
)
def test_the_edit_distance_counts_insertions_deletions_and_substitutions(
    answer: list[int], truth: list[int], distance: int
) -> None:
    assert edit_distance(answer, truth) == distance == edit_distance(truth, answer)
