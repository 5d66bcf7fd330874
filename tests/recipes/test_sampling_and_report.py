"""`sample`, the units drawn over a text, and the table of results."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium import recipes
from lectorium.cli import main
from lectorium.recipes.text_pages import best_unit, in_quotes, indentation, line_position, unit_values


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    recipes.train("char-rnn", out=folder, limit=40, epochs=1, batch_size=4, hidden=12, length=15, seed=1)
    return folder


def test_the_same_seed_gives_the_same_text(run: Path) -> None:
    texts = [recipes.sample(run, prime="def ", length=40, seed=seed) for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]
    assert [len(text) for text in texts] == [40] * 3


def test_near_temperature_0_the_likeliest_character_is_taken(run: Path) -> None:
    texts = {recipes.sample(run, length=30, temperature=1e-6, seed=seed) for seed in range(3)}
    assert len(texts) == 1
    assert len({recipes.sample(run, length=30, temperature=1e30, seed=seed) for seed in range(3)}) == 3


def test_the_first_character_has_the_chances_of_the_scores(run: Path) -> None:
    model, vocabulary = (
        recipes.evaluation.load_run(run).model,
        lt.datasets.Vocabulary(recipes.char_rnn.CHARACTERS),
    )
    with lt.no_grad():
        scores = model(lt.from_numpy(vocabulary.encode("if")[None]))[0][0, -1] / 2.0
        chances = scores.softmax(0).numpy()
    drawn = [recipes.sampling.written(model, vocabulary, "if", 1, 2.0, seed) for seed in range(2000)]
    shares = np.bincount(vocabulary.encode("".join(drawn)), minlength=len(vocabulary)) / 2000
    assert np.abs(shares - chances).max() < 5 * np.sqrt(chances.max() / 2000)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prime": ""}, "the prime text is empty; it needs at least one character"),
        ({"prime": "naïve"}, "the prime text has 'ï', which the vocabulary of 97 characters lacks"),
        ({"temperature": 0.0}, "temperature must be a finite number above 0, got 0.0"),
        ({"temperature": float("nan")}, "temperature must be a finite number above 0, got nan"),
        ({"temperature": "hot"}, "temperature must be a number, got 'hot'"),
        ({"prime": 3}, "prime must be a text, got 3"),
        ({"length": 0}, "length must be 1 or more, got 0"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_what_cannot_be_sampled_is_an_error(wrong: dict[str, Any], message: str, run: Path) -> None:
    with pytest.raises(recipes.RecipeError, match=message):
        recipes.sample(run, **wrong)


def test_pieces_longer_than_the_text_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(recipes.RecipeError, match=r"--length must be [\d,]+ or less, got 900000: the last"):
        recipes.train("char-rnn", out=tmp_path, length=900_000)


def test_only_char_rnn_writes(tmp_path: Path) -> None:
    recipes.train("xor-mlp", out=tmp_path, epochs=1, limit=8)
    with pytest.raises(recipes.RecipeError, match="xor-mlp in .* writes no text; train char-rnn"):
        recipes.sample(tmp_path)
    with pytest.raises(recipes.RunError, match="there is no run folder .*: lectorium train char-rnn"):
        recipes.sample(tmp_path / "nowhere")


def test_the_command_prints_prime_and_text(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(run), "--prime", "def ", "--length", "20", "--temperature", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("def ")
    assert len(printed) == 4 + 20 + 1
    assert main(["sample", str(run), "--prime", ""]) == 2
    assert "the prime text is empty" in capsys.readouterr().err


@pytest.mark.skipif("LECTORIUM_DATA" not in os.environ, reason="LECTORIUM_DATA is not set")
def test_a_text_with_another_vocabulary_does_not_fit(run: Path) -> None:
    with pytest.raises(recipes.RecipeError, match="does not fit Tiny Shakespeare: another vocabulary"):
        recipes.evaluate(run, data="tinyshakespeare")


# Units.


def test_what_is_looked_for_in_a_text() -> None:
    text = 'x = \'a\\\'b\'  # it\'s\n    if """c\nd""":\n'
    quoted = "".join(c for c, inside in zip(text, in_quotes(text), strict=True) if inside)
    assert quoted == "'a\\'b\"c\nd"
    assert indentation(text).tolist() == [0.0] * 19 + [4.0] * 12 + [0.0] * 6
    assert line_position("ab\n\nc").tolist() == [0, 1, 2, 0, 0]


def test_the_unit_that_follows_a_property_is_found() -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 40, 5))
    wanted = np.random.default_rng(1).normal(size=(3, 40))
    values[1, :, :, 3] = -2 * wanted + 1
    assert best_unit(values, wanted) == (1, 3, pytest.approx(-1))
    assert best_unit(values, np.ones((3, 40))) is None


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_unit_values_are_those_of_one_pass(cell: str) -> None:
    model = lt.models.CharRNN(6, hidden=4, layers=2, cell=cell).eval()
    numbers = np.random.default_rng(0).integers(0, 6, (3, 7))
    values = unit_values(model, numbers)
    assert values.shape == (2, 3, 7, 4)
    assert np.abs(values).max() <= 1
    if cell == "gru":
        with lt.no_grad():
            h = model.rnn(model.embedding(lt.from_numpy(numbers)))[0].numpy()
        np.testing.assert_allclose(values[1], h, atol=1e-6)


def test_the_page_of_units_is_one_file_with_the_text_escaped(run: Path) -> None:
    page = (run / "units.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "http" not in page.partition("<pre>")[0]
    assert "<script" not in page
    assert "position in the line: unit " in page
    with pytest.raises(ValueError, match="units_page: one has 2 values for 3 characters"):
        lt.plot.units_page("abc", [("one", np.zeros(2))], "title")


# The report.


def result(folder: Path, **changed: Any) -> None:
    folder.mkdir(parents=True)
    values = {
        "recipe": "char-rnn", "data": "tinyshakespeare", "seed": 0, "figure": "validation 1.500 nats a character",
        "training_seconds": 615.2, "options": {"cell": "lstm", "hidden": 256, "layers": 2, "length": 100},
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps({**values, **changed}))


def test_the_report_is_a_table_of_the_complete_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result(
        tmp_path / "runs" / "b", seed=2, options={"cell": "gru", "hidden": 256, "layers": 2, "length": 100}
    )
    result(tmp_path / "runs" / "a")
    result(
        tmp_path / "runs" / "c",
        recipe="xor-mlp",
        data="xor",
        figure="test accuracy 100.00 %",
        training_seconds=1,
        options={},
    )
    (tmp_path / "runs" / "unfinished").mkdir()
    expected = [
        "| recipe | data | seed | result | time |",
        "| --- | --- | ---: | --- | ---: |",
        "| `xor-mlp` | XOR | 0 | test accuracy 100.00 % | 1.0 s |",
        "| `char-rnn --cell gru` | Tiny Shakespeare | 2 | validation 1.500 nats a character | 10 min 15 s |",
        "| `char-rnn` | Tiny Shakespeare | 0 | validation 1.500 nats a character | 10 min 15 s |",
    ]
    assert recipes.report().splitlines() == expected
    assert recipes.report(["runs/a", "runs/b", "runs/c"]).splitlines() == expected


def test_a_report_of_what_is_no_complete_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(recipes.RunError, match="there is no folder .*nowhere"):
        recipes.report([tmp_path / "nowhere"])
    with pytest.raises(recipes.RunError, match="holds no complete run; train first"):
        recipes.report([tmp_path])
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "config.json").write_text("{}")
    with pytest.raises(recipes.RunError, match="is not complete; to go on with it"):
        recipes.report([tmp_path / "cut"])
    result(tmp_path / "odd", recipe="rnn-char")
    with pytest.raises(recipes.RunError, match="unknown recipe 'rnn-char'; did you mean 'char-rnn'"):
        recipes.report([tmp_path / "odd"])
    (tmp_path / "odd" / "result.json").write_text('{"figure": "good", "recipe": "mlp"}')
    with pytest.raises(recipes.RunError, match="names no data, seed, training_seconds"):
        recipes.report([tmp_path / "odd"])
    (tmp_path / "odd" / "result.json").write_text("{")
    with pytest.raises(recipes.RunError, match="is damaged"):
        recipes.report([tmp_path / "odd"])


def test_the_command_prints_the_report(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[2].startswith(
        "| `char-rnn --hidden 12 --length 15` | Python's standard library | 1 | validation "
    )


# The command's options.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["char-rnn", "--cell=lstmm"], "unknown cell 'lstmm'; did you mean 'lstm'?"),
        (["char-rnn", "--cell"], "option --cell has no value"),
        (["--cell", "gru", "char-rnn"], "the recipe comes first: lectorium train RECIPE --cell"),
        (["lenet5", "--cell", "gru"], "lenet5 has no option --cell"),
        (["char-rnn", "gru"], "unexpected argument 'gru'"),
        (["char-rnn", "--hidden", "x"], "--hidden must be a whole number, got 'x'"),
    ],
)
def test_wrong_options_of_a_recipe_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_info_names_the_options_of_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "char-rnn"]) == 0
    assert (
        "--cell  The recurrent cell. (rnn, lstm, gru, mut1, mut2, mut3) [default: lstm]"
        in capsys.readouterr().out
    )
