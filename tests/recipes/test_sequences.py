"""The recipes on sequences: that they run, resume and end with their figure; the long ones a few steps only."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium import recipes
from lectorium.recipes.char_rnn import pieces
from lectorium.recipes.listener import Silent
from lectorium.recipes.stop import Stopped
from lectorium.recipes.training import Batch, Training, first, streams

# About 20 steps of each, with small nets.
SMOKE: dict[str, dict[str, Any]] = {
    "hello": {"epochs": 1},
    "char-rnn": {"epochs": 1, "limit": 80, "batch_size": 4, "hidden": 12, "length": 15},
    "addition": {"epochs": 1, "limit": 100, "batch_size": 5},
    "adding-problem": {"epochs": 1, "limit": 40, "batch_size": 2, "length": 6, "hidden": 8},
}
FIGURES = {
    "hello": r'letters of "hello" learned \d of 4',
    "char-rnn": r"validation \d\.\d{3} nats a character",
    "addition": r"exact sums \d+\.\d\d %",
    "adding-problem": r"mean squared error at 6 steps: rnn [\d.]+, lstm [\d.]+, gru [\d.]+, irnn [\d.]+",
}
LEFT = {
    "hello": ("curves.png", "scores.png"),
    "char-rnn": ("curves.png", "units.html", "sample.txt"),
    "addition": ("curves.png",),
    "adding-problem": ("curves.png", "gradient_flow_start.png", "gradient_flow_end.png"),
}


class Count(Silent):
    """Counts batches, and stops the run with Ctrl-C after so many."""

    def __init__(self, stop: int | None = None) -> None:
        self.batches, self._stop = 0, stop

    def batch(self, done: Batch) -> None:
        import signal

        self.batches += 1
        if self.batches == self._stop:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("name", SMOKE)
def test_twenty_steps_of_each_recipe(name: str, tmp_path: Path) -> None:
    import re

    count = Count()
    result = recipes.train(name, out=tmp_path, listener=count, **SMOKE[name])
    assert count.batches == 20
    assert re.fullmatch(FIGURES[name], result["figure"])
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result))
    for file in LEFT[name]:
        content = (tmp_path / file).read_bytes()
        assert content.startswith(b"\x89PNG") if file.endswith(".png") else content, file
    if name == "addition":  # right everywhere with teacher forcing is right when it writes alone
        assert result["exact"] == result["test_accuracy"]
    again = recipes.evaluate(tmp_path)
    assert again["figure"] == result["figure"]


@pytest.mark.parametrize("name", SMOKE)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    settings = {**SMOKE[name], "epochs": 2, "seed": 3}
    recipes.train(name, out=tmp_path / "whole", **settings)
    for stop in (7, 18):  # within the first epoch, then within the second
        with pytest.raises(Stopped):
            recipes.train(name, out=tmp_path / "cut", resume=stop > 7, listener=Count(stop), **settings)
    recipes.train(name, out=tmp_path / "cut", resume=True)
    whole, cut = ((tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "cut"))
    assert whole == cut
    results = [json.loads((tmp_path / run / "result.json").read_text()) for run in ("whole", "cut")]
    for result in results:
        del result["training_seconds"]
    assert results[0] == results[1]


# Hello.


@pytest.mark.parametrize("seed", range(3))
def test_hello_is_learned_exactly(seed: int, tmp_path: Path) -> None:
    result = recipes.train("hello", seed=seed, out=tmp_path)
    assert result["writes"] == "hello"
    assert result["test_accuracy"] == 1.0


def test_hello_prints_the_four_scores_of_each_step(tmp_path: Path) -> None:
    class Said(Silent):
        lines: list[str] = []  # noqa: RUF012

        def say(self, text: str) -> None:
            self.lines.append(text)

    recipes.train("hello", out=tmp_path, listener=Said())
    table = Said.lines[-4:]
    assert [line.split()[0] for line in table] == list("hell")
    assert all(len([part for part in line.split() if "." in part]) == 4 for line in table)
    assert [line[-1] for line in table] == list("ello")


# Texts: pieces, streams, states.


def test_the_streams_of_a_text_go_on_where_they_ended() -> None:
    cut = pieces(np.arange(101), 10)
    assert (cut.inputs + 1 == cut.targets).all()
    batches = [cut.take(chosen).inputs for chosen in streams(len(cut), 3)]
    assert [len(batch) for batch in batches] == [3, 3, 2, 2]
    for before, after in itertools.pairwise(batches):
        assert (before[: len(after), -1] + 1 == after[:, 0]).all()
    assert sorted(np.concatenate([batch.ravel() for batch in batches]).tolist()) == list(range(100))


@pytest.mark.parametrize(("count", "size"), [(1, 1), (1, 5), (7, 3), (10, 4), (12, 4), (5, 100)])
def test_streams_use_every_example_once_and_never_more_rows_than_before(count: int, size: int) -> None:
    batches = streams(count, size)
    assert sorted(np.concatenate(batches).tolist()) == list(range(count))
    rows = [len(batch) for batch in batches]
    assert rows == sorted(rows, reverse=True)
    assert rows[0] <= size


def test_the_state_of_the_last_batch_goes_into_the_next() -> None:
    recipe = recipes.get("char-rnn")
    settings = recipe.settings(epochs=1, limit=6, batch_size=2, options={"hidden": 4, "length": 5})
    seen: list[Any] = []
    plain = recipe.forward

    def watched(model: Any, batch: Any, state: Any) -> Any:
        result = plain(model, batch, state)
        seen.append((state, result[1]))
        return result

    training = Training(recipe, settings, recipe.read(settings))
    recipe.forward = watched  # type: ignore[method-assign]
    try:
        for event in training.run():
            if isinstance(event, Batch) and event.step == 3:
                break
    finally:
        del recipe.forward
    assert seen[0][0] is None
    for (_, after), (given, _) in itertools.pairwise(seen):
        assert not any(part.requires_grad for part in given)
        for part, part_given in zip(after, given, strict=True):
            np.testing.assert_array_equal(part.detach().numpy(), part_given.numpy())


def test_the_loss_over_carried_pieces_is_that_of_the_whole_text() -> None:
    model = lt.models.CharRNN(7, hidden=5, layers=2).eval()
    numbers = np.random.default_rng(0).integers(0, 7, 61)
    recipe = recipes.get("char-rnn")
    with lt.no_grad():
        whole = recipe.loss(
            model(lt.from_numpy(numbers[None, :-1]))[0], lt.from_numpy(numbers[None, 1:])
        ).item()
        state, parts = None, []
        for chosen in streams(6, 1):
            part = pieces(numbers, 10).take(chosen)
            output, state = recipe.forward(model, part, first(state, 1))
            parts.append(recipe.loss(output, lt.from_numpy(part.targets)).item())
    assert np.mean(parts) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "mut1", "mut2", "mut3"])
def test_char_rnn_takes_every_cell(cell: str, tmp_path: Path) -> None:
    settings = {**SMOKE["char-rnn"], "limit": 8, "cell": cell}
    result = recipes.train("char-rnn", out=tmp_path, **settings)
    assert result["options"] == {"cell": cell, "hidden": 12, "layers": 2, "length": 15}
    assert len(recipes.sample(tmp_path, length=5)) == 5


# Options.


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("char-rnn", {"cell": "lstmm"}, "unknown cell 'lstmm'; did you mean 'lstm'?"),
        ("char-rnn", {"cell": 3}, "--cell must be one of rnn, lstm, .*, got 3"),
        ("char-rnn", {"hidden": 0}, "--hidden must be 1 or more, got 0"),
        ("char-rnn", {"hidden": 2.5}, "--hidden must be a whole number, got 2.5"),
        ("char-rnn", {"hidden": "many"}, "--hidden must be a whole number, got 'many'"),
        (
            "char-rnn",
            {"hiden": 3},
            r"char-rnn has no option --hiden \(it has: --cell, --hidden, --layers, --length\)",
        ),
        ("lenet5", {"cell": "gru"}, "lenet5 has no option --cell"),
        ("adding-problem", {"length": 1}, "--length must be 2 to 10,000, got 1"),
        ("adding-problem", {"length": 10_001}, "--length must be 2 to 10,000, got 10001"),
        ("adding-problem", {"cell": "lstm,lstm"}, "--cell names one twice: lstm,lstm"),
        ("adding-problem", {"cell": "lstm,"}, "unknown cell ''"),
    ],
)
def test_an_option_that_makes_no_sense_is_an_error(
    name: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(recipes.RecipeError, match=message):
        recipes.train(name, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_run_is_resumed_with_its_own_options(tmp_path: Path) -> None:
    settings = {**SMOKE["char-rnn"], "cell": "gru"}
    with pytest.raises(Stopped):
        recipes.train("char-rnn", out=tmp_path, listener=Count(5), **settings)
    with pytest.raises(recipes.RecipeError, match=r"has --cell gru, not lstm.*leave --cell out"):
        recipes.train("char-rnn", out=tmp_path, resume=True, cell="lstm")
    assert recipes.train("char-rnn", out=tmp_path, resume=True, cell="gru")["options"]["cell"] == "gru"


def test_adding_nets_learn_apart_from_each_other(tmp_path: Path) -> None:
    """A cell's net ends with the same weights whichever others are trained beside it, but for the first ones."""
    recipe = recipes.get("adding-problem")
    both, one = (
        recipe.build(recipe.settings(options={"cell": c, "hidden": 4}), {}) for c in ("rnn,lstm", "lstm")
    )
    one.nets.lstm.load_state_dict(both.nets.lstm.state_dict())
    x, y = (lt.from_numpy(part) for part in lt.datasets.AddingProblem(8, length=6).arrays())
    for model, factor in ((both, 2), (one, 1)):
        optimizer = lt.optim.SGD(model.parameters(), lr=0.01 * factor)
        for _ in range(3):
            optimizer.zero_grad()
            recipe.loss(model(x), y).backward()
            optimizer.step()
    np.testing.assert_allclose(
        both.nets.lstm.sum.weight.detach().numpy(), one.nets.lstm.sum.weight.detach().numpy(), rtol=1e-4
    )
