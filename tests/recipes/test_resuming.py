"""A run that was stopped or killed and goes on ends with the same bits as one that never was."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import lectorium as lt
from lectorium import recipes
from lectorium.recipes import session
from lectorium.recipes.listener import Silent
from lectorium.recipes.run_folder import RunFolder
from lectorium.recipes.stop import Stopped

# Dropout makes the state of the random generator matter.
SETTINGS: dict[str, Any] = {"limit": 400, "epochs": 3, "batch_size": 32, "seed": 5}


class StopAfter(Silent):
    """Sends Ctrl-C to the run after so many batches."""

    def __init__(self, batches: int) -> None:
        self._left = batches
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def batch(self, done: Any) -> None:
        self._left -= 1
        if self._left == 0:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    recipes.train("mlp", out=folder, **SETTINGS)
    return folder


def same_run(one: Path, other: Path) -> None:
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    states = [lt.load(folder / "checkpoint.safetensors") for folder in (one, other)]
    for state in states:
        state.pop("seconds")
        for row in state["history"]:
            row.pop("seconds")
    assert repr(states[0]) == repr(states[1])
    tables: list[list[dict[str, str]]] = []
    for folder in (one, other):
        with (folder / "metrics.csv").open() as file:
            tables.append([{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)])
    assert tables[0] == tables[1]


@pytest.mark.parametrize("batches", [1, 7, 12, 13, 20, 38, 39])
def test_a_run_stopped_after_any_batch_goes_on_bit_for_bit(batches: int, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped, match="to go on: lectorium train mlp --out .* --resume|for the pictures"):
        recipes.train("mlp", out=tmp_path, listener=StopAfter(batches), **SETTINGS)
    listener = StopAfter(-1)
    recipes.train("mlp", out=tmp_path, resume=True, listener=listener)
    assert any(line.startswith(f"resuming {tmp_path}") for line in listener.said)
    same_run(whole, tmp_path)


def test_a_run_of_lenet5_stopped_twice_goes_on_bit_for_bit(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"limit": 200, "epochs": 2, "batch_size": 20}
    recipes.train("lenet5", out=tmp_path / "whole", **settings)
    out = tmp_path / "stopped"
    with pytest.raises(Stopped, match="stopped in epoch 1 of 2, after batch 4 of 10"):
        recipes.train("lenet5", out=out, listener=StopAfter(3), **settings)
    with pytest.raises(Stopped, match="stopped in epoch 2 of 2, after batch 5 of 10"):
        recipes.train("lenet5", out=out, listener=StopAfter(10), resume=True)
    recipes.train("lenet5", out=out, resume=True)
    same_run(tmp_path / "whole", out)


UNIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these signals nor flock")

SLOW = """
import sys, time
from lectorium.recipes import session
session.EVERY = 0.1
from lectorium.cli import main, show
moved = show.TrainingView.batch
show.TrainingView.batch = lambda self, done: (moved(self, done), time.sleep(0.02))
sys.exit(main(sys.argv[1:]))
"""


def arguments(out: Path, *more: str) -> list[str]:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    return [sys.executable, "-c", SLOW, "train", "mlp", f"--out={out}", *flags, *more]


@UNIX
def test_a_run_killed_at_any_instant_goes_on_bit_for_bit(whole: Path, tmp_path: Path) -> None:
    rng = random.Random(1)
    kills = 0
    while kills < 4:
        process = subprocess.Popen(arguments(tmp_path, "--resume"), stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Strokes"):
                break
        time.sleep(rng.uniform(0, 0.35))
        process.kill()
        process.communicate()
        kills += 1
    last = subprocess.run(arguments(tmp_path, "--resume"), capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    assert "resuming" in last.stdout
    same_run(whole, tmp_path)
    assert not list(tmp_path.glob("*.tmp")), "what a killed process left half written is cleared away"


@UNIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_within_a_second_with_a_checkpoint_and_says_how_to_go_on(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        arguments(tmp_path, "--epochs=50"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    sent = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - sent < 1.5  # a second, and what a busy machine adds
    assert process.returncode == 128 + number
    assert f"to go on: lectorium train mlp --out {tmp_path} --resume" in errors
    assert len(errors.splitlines()) == 1
    state = lt.load(tmp_path / "checkpoint.safetensors")
    assert (state["epoch"], state["step"]) >= (1, 0)


def test_a_checkpoint_is_written_while_an_epoch_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "EVERY", 0.0)
    steps: list[int] = []

    class Look(Silent):
        def batch(self, done: Any) -> None:
            if (tmp_path / "checkpoint.safetensors").exists():
                steps.append(lt.load(tmp_path / "checkpoint.safetensors")["step"])

    recipes.train("logistic", out=tmp_path, limit=100, epochs=1, batch_size=20, listener=Look())
    assert steps == [1, 2, 3, 4]


def test_checkpoints_are_at_most_five_seconds_apart() -> None:
    assert session.EVERY <= 4


# What --resume does otherwise.


def test_resuming_where_there_is_no_run_yet_starts_from_the_beginning(whole: Path, tmp_path: Path) -> None:
    listener = StopAfter(-1)
    recipes.train("mlp", out=tmp_path, resume=True, listener=listener, **SETTINGS)
    assert "starting from the beginning" in listener.said[0]
    same_run(whole, tmp_path)


def test_resuming_a_complete_run_says_so_and_changes_nothing(whole: Path) -> None:
    before = {file.name: file.read_bytes() for file in whole.iterdir()}
    listener = StopAfter(-1)
    result = recipes.train("mlp", out=whole, resume=True, listener=listener)
    assert "is complete" in listener.said[0]
    assert result["epochs"] == 3
    assert {file.name: file.read_bytes() for file in whole.iterdir()} == before


def test_a_run_killed_before_its_pictures_only_makes_the_rest(tmp_path: Path) -> None:
    recipes.train("logistic", out=tmp_path, limit=100, epochs=1)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "result.json").unlink()
    listener = StopAfter(-1)
    recipes.train("logistic", out=tmp_path, resume=True, listener=listener)
    assert any("all 1 epochs are trained" in line for line in listener.said)
    assert (tmp_path / "result.json").exists()
    assert (tmp_path / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize(("name", "value"), [("lr", 0.5), ("epochs", 9), ("seed", 6), ("batch_size", 8)])
def test_resuming_with_another_setting_is_an_error_that_names_it(name: str, value: Any, whole: Path) -> None:
    flag = "--" + name.replace("_", "-")
    with pytest.raises(
        recipes.RecipeError, match=rf"has {flag} .*, not {value}; a run is resumed with its own"
    ):
        recipes.train("mlp", out=whole, resume=True, **{name: value})


def test_resuming_the_run_of_another_recipe_is_an_error(whole: Path) -> None:
    with pytest.raises(recipes.RecipeError, match="holds a run of mlp, not of logistic"):
        recipes.train("logistic", out=whole, resume=True)


def test_without_resume_a_run_starts_over_and_touches_only_its_own_files(tmp_path: Path) -> None:
    recipes.train("lenet5", out=tmp_path, limit=50, epochs=1)
    (tmp_path / "notes.txt").write_text("mine")
    listener = StopAfter(-1)
    recipes.train("logistic", out=tmp_path, limit=50, epochs=1, listener=listener)
    assert "held an older run" in listener.said[0]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "filters.png").exists(), "a picture of the older run"


# Trouble with the folder.


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 1000])
def test_a_damaged_checkpoint_is_an_error_that_names_the_file(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        recipes.train("mlp", out=tmp_path, listener=StopAfter(2), **SETTINGS)
    (tmp_path / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(recipes.RunError, match="checkpoint.safetensors"):
        recipes.train("mlp", out=tmp_path, resume=True)


def test_a_truncated_checkpoint_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        recipes.train("mlp", out=tmp_path, listener=StopAfter(2), **SETTINGS)
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(recipes.RunError, match="checkpoint.safetensors"):
        recipes.train("mlp", out=tmp_path, resume=True)


def test_weights_of_another_model_are_an_error_that_names_the_first_keys(whole: Path, tmp_path: Path) -> None:
    recipes.train("logistic", out=tmp_path, limit=50, epochs=1)
    (tmp_path / "model.safetensors").write_bytes((whole / "model.safetensors").read_bytes())
    with pytest.raises(
        recipes.RunError, match=r"linear.weight is missing; linear.bias is missing; .*, and \d+ more"
    ):
        recipes.evaluate(tmp_path)


@UNIX
def test_a_second_process_may_not_train_in_the_same_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path), pytest.raises(recipes.RunError, match="another process is training in"):
        recipes.train("logistic", out=tmp_path, limit=50, epochs=1)
    recipes.train("logistic", out=tmp_path, limit=50, epochs=1)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(recipes.RunError, match="cannot write to the run folder"):
        recipes.train("logistic", out=tmp_path / "file" / "run", limit=50)


def _small_files() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_while_saving_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        recipes.train("mlp", out=tmp_path, listener=StopAfter(5), **SETTINGS)
    old = (tmp_path / "checkpoint.safetensors").read_bytes()
    full = subprocess.run(
        [sys.executable, "-m", "lectorium.cli", "train", "mlp", f"--out={tmp_path}", "--resume"],
        capture_output=True, text=True, preexec_fn=_small_files,
    )  # fmt: skip
    assert full.returncode == 1
    assert full.stderr.startswith(f"lectorium: cannot save a checkpoint: {tmp_path}")
    assert "the last one stays, to go on from it: lectorium train mlp" in full.stderr
    assert len(full.stderr.splitlines()) == 1
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == old
    assert not list(tmp_path.glob("*.tmp"))
    result = recipes.train("mlp", out=tmp_path, resume=True)
    assert result["epochs"] == 3


def test_no_file_of_a_lock_is_left_behind(whole: Path) -> None:
    assert not [name for name in os.listdir(whole) if "lock" in name or name.startswith(".")]
