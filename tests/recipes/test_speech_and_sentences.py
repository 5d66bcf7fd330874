"""The recipes speech-ctc, sentiment and translate: twenty steps on small data made here, and wrong inputs."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium import recipes
from lectorium.cli import main
from lectorium.datasets.wav import wav_bytes
from lectorium.recipes import using

PICTURES = {"speech-ctc": "alignment", "sentiment": "confusion", "translate": "attention"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets in the form of the real ones: digits are tones, films are good or bad, French is English."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    sounds = folder / "fsdd" / "recordings"
    sounds.mkdir(parents=True)
    time = np.arange(1200) / 8000
    for digit in range(10):
        tone = 8000 * np.sin(2 * np.pi * (300 + 330 * digit) * time)
        for speaker in ("ann", "ben", "cid", "dot", "eve", "fay"):
            for i in range(10):
                sound = (tone * draw.uniform(0.5, 1)).astype(np.int16)
                (sounds / f"{digit}_{speaker}_{i}.wav").write_bytes(wav_bytes(sound, 8000))
    (folder / "rt-polarity").mkdir()
    for name, words in (("neg", ["bad", "dull"]), ("pos", ["good", "fine"])):
        lines = [f"the {draw.choice(['film', 'plot'])} is {draw.choice(words)} ." for _ in range(300)]
        (folder / "rt-polarity" / f"rt-polarity.{name}").write_text("\n".join(lines) + "\n")
    (folder / "tatoeba-fra-eng").mkdir()
    names = [f"n{chr(97 + i)}{chr(97 + j)}" for i in range(20) for j in range(25)]
    pairs = [f"I see {name}.\tje vois {name} ." for name in names]
    (folder / "tatoeba-fra-eng" / "fra.txt").write_text("\n".join(pairs) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LECTORIUM_DATA", str(folder))


@pytest.fixture(scope="module")
def runs(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each, of twenty steps."""
    base = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LECTORIUM_DATA", str(folder))
        for name, settings in {
            "speech-ctc": {"limit": 40, "epochs": 4, "batch_size": 8},
            "sentiment": {"limit": 200, "epochs": 5, "batch_size": 50, "lr": 0.01},
            "translate": {"limit": 160, "epochs": 5, "batch_size": 40, "lr": 0.01},
        }.items():
            recipes.train(name, out=base / name, **settings)
    return {name: base / name for name in PICTURES}


@pytest.mark.parametrize("name", PICTURES)
def test_twenty_steps_make_the_loss_smaller_and_leave_a_complete_run(
    name: str, runs: dict[str, Path]
) -> None:
    result = json.loads((runs[name] / "result.json").read_text())
    figures = {
        "speech-ctc": lambda: f"label errors {100 * result['label_errors']:.2f} %",
        "sentiment": lambda: f"test accuracy {100 * result['test_accuracy']:.2f} %",
        "translate": lambda: f"BLEU {result['bleu']:.2f}",
    }
    assert result["figure"] == figures[name]()
    for picture in ("curves", PICTURES[name]):
        assert (runs[name] / f"{picture}.png").read_bytes().startswith(b"\x89PNG"), picture
    with (runs[name] / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == result["epochs"]
    assert float(rows[-1]["train_loss"]) < 0.9 * float(rows[0]["train_loss"])
    assert all(np.isfinite(float(row["test_loss"])) for row in rows)


def test_the_reviews_of_this_test_are_learned(runs: dict[str, Path]) -> None:
    assert json.loads((runs["sentiment"] / "result.json").read_text())["test_accuracy"] > 0.9


@pytest.mark.parametrize("name", PICTURES)
def test_eval_finds_the_figure_again(name: str, runs: dict[str, Path]) -> None:
    figure = json.loads((runs[name] / "result.json").read_text())["figure"]
    assert recipes.evaluate(runs[name])["figure"] == figure


@pytest.mark.parametrize("name", PICTURES)
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    name: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    recipe = recipes.get(name)
    config = json.loads((runs[name] / "config.json").read_text())
    settings = recipe.settings(**{k: config[k] for k in ("epochs", "batch_size", "lr", "seed", "limit")})
    training = recipes.training.Training(recipe, settings, recipe.read(settings))
    steps = training.run()
    for _ in range(7):
        next(steps)
    lt.save(training.state(), tmp_path / "checkpoint.safetensors")
    lt.manual_seed(99)
    again = recipes.training.Training(recipe, settings, recipe.read(settings))
    again.load_state(lt.load(tmp_path / "checkpoint.safetensors"))
    for _ in again.run():
        pass
    weights = lt.load(runs[name] / "model.safetensors")
    for key, value in again.model.state_dict().items():
        assert (value.numpy() == weights[key].numpy()).all(), key


# Asking the trained models.


def test_a_sentence_is_judged(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    classes, chances = using.judge("The film is good.", runs["sentiment"])
    assert (classes, int(chances.argmax())) == (("negative", "positive"), 1)
    assert chances.sum() == pytest.approx(1)
    assert main(["judge", "dull plot", f"--run={runs['sentiment']}"]) == 0
    assert "class negative (" in capsys.readouterr().out


def test_a_sentence_is_translated_alone_as_among_others(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    trained = recipes.evaluation.load_run(runs["translate"])
    sentences = ["je vois naa .", "je vois tous .", "naa"]
    together = recipes.translate.translations(trained.model, trained.facts, sentences)
    assert together == [using.translate(sentence, runs["translate"]) for sentence in sentences]
    assert main(["translate", sentences[0], f"--run={runs['translate']}"]) == 0
    assert capsys.readouterr().out == together[0] + "\n"


def test_a_sound_is_transcribed(
    runs: dict[str, Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = folder / "fsdd" / "recordings" / "7_ann_0.wav"
    digits = using.transcribe(sound, runs["speech-ctc"])
    assert all(0 <= digit < 10 for digit in digits)
    assert main(["transcribe", str(sound), f"--run={runs['speech-ctc']}"]) == 0
    assert capsys.readouterr().out == " ".join(map(str, digits)) + "\n"


def test_attention_looks_at_the_words_of_the_source(runs: dict[str, Path]) -> None:
    trained = recipes.evaluation.load_run(runs["translate"])
    weights, source, words = recipes.translate.attention_map(
        trained.model, trained.facts, "je vois naa .", "I see naa."
    )
    assert weights.shape == (len(words), len(source)) == (5, 4)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


# Wrong inputs.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["translate", " ", "--run=translate"], "the text is empty; expected a French sentence"),
        (["judge", "", "--run=sentiment"], "the text is empty; expected a sentence"),
        (
            ["judge", "good", "--run=translate"],
            "translate in .* is not what judges sentences; train sentiment",
        ),
        (["translate", "va", "--run=none"], "no run folder .*none; train first: lectorium train translate"),
        (["transcribe", "none.wav", "--run=speech-ctc"], "none.wav: No such file or directory"),
        (["transcribe", "text.wav", "--run=speech-ctc"], "text.wav: not a WAV file"),
        (["transcribe", "fast.wav", "--run=speech-ctc"], "has 16000 samples a second, the model reads 8000"),
        (["transcribe", "empty.wav", "--run=speech-ctc"], "empty.wav holds no sound"),
    ],
)
def test_a_wrong_question_is_one_line_that_says_why(
    arguments: list[str],
    message: str,
    runs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, run in runs.items():
        (tmp_path / name).symlink_to(run)
    (tmp_path / "text.wav").write_text("words, words, words")
    (tmp_path / "fast.wav").write_bytes(wav_bytes(np.zeros(99, np.int16), 16000))
    (tmp_path / "empty.wav").write_bytes(wav_bytes(np.zeros(0, np.int16), 8000))
    assert main(arguments) != 0
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert re.search(message, err), err


@pytest.mark.parametrize("name", PICTURES)
def test_a_data_set_that_is_nowhere_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lectorium.datasets import _download

    monkeypatch.delenv("LECTORIUM_DATA")
    monkeypatch.setenv("LECTORIUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_download, "_open", _no_net)
    assert main(["train", name, f"--out={tmp_path / 'run'}"]) == 1
    err = capsys.readouterr().err.strip()  # the progress bar leaves an empty line
    assert len(err.splitlines()) == 1
    assert "could not be downloaded. Mirrors tried:" in err
    assert "set LECTORIUM_DATA" in err


def _no_net(*_: Any) -> Any:
    from lectorium.datasets import _download

    raise _download._Broken("no net")


def test_a_broken_recording_stops_the_run_before_it_begins(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "fsdd", tmp_path / "fsdd")
    (tmp_path / "fsdd" / "recordings" / "3_eve_7.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    monkeypatch.setenv("LECTORIUM_DATA", str(tmp_path))
    assert main(["train", "speech-ctc", f"--out={tmp_path / 'run'}"]) == 1
    assert "3_eve_7.wav: no samples in it; truncated?" in capsys.readouterr().err
