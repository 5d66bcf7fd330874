"""The command: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import lectorium as lt
from lectorium.cli import main
from lectorium.cli.networks import NETWORKS
from lectorium.datasets import Strokes
from lectorium.recipes.layers import layers

SMALL = ["--limit=200", "--epochs=1", "--batch-size=50"]


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lectorium.cli", *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of LeNet-5 in a fresh folder, where the command was called, and what it printed."""
    here = tmp_path_factory.mktemp("here")
    ran = subprocess.run(
        [sys.executable, "-m", "lectorium.cli", "train", "lenet5", *SMALL],
        capture_output=True, text=True, cwd=here,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    return here / "runs" / "lenet5", ran.stdout


def test_training_says_that_it_uses_strokes_and_ends_with_the_test_accuracy(run: tuple[Path, str]) -> None:
    folder, printed = run
    lines = printed.splitlines()
    assert lines[0].startswith("Strokes: ")
    assert "--data mnist" in lines[0]
    result = json.loads((folder / "result.json").read_text())
    assert lines[-1] == f"test accuracy {100 * result['test_accuracy']:.2f} %"
    assert re.fullmatch(r"test accuracy \d+\.\d\d %", lines[-1])
    assert "\x1b" not in printed


def test_the_run_folder_holds_what_is_promised(run: tuple[Path, str]) -> None:
    folder, _ = run
    result = json.loads((folder / "result.json").read_text())
    assert 0 <= result["test_accuracy"] <= 1
    assert (result["epochs"], result["seed"], result["data"]) == (1, 0, "strokes")
    assert json.loads((folder / "config.json").read_text())["batch_size"] == 50
    assert list(lt.load(folder / "model.safetensors")) == list(lt.models.LeNet5().state_dict())
    for name in ("curves", "confusion", "filters", "feature_maps", "mistakes"):
        with Image.open(folder / f"{name}.png") as picture:
            picture.load()
            assert min(picture.size) >= 200, name
    assert len((folder / "metrics.csv").read_text().splitlines()) == 2


def test_eval_prints_the_last_line_of_training(
    run: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, printed = run
    assert main(["eval", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == printed.splitlines()[-1]


@pytest.mark.skipif("LECTORIUM_DATA" not in os.environ, reason="LECTORIUM_DATA is not set")
def test_eval_on_another_set(run: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run[0]), "--data=mnist", "--limit=500"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("MNIST: 500 pictures")
    assert re.fullmatch(r"test accuracy \d+\.\d\d %", lines[-1])


def test_a_complete_run_is_said_to_be_complete(
    run: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, printed = run
    assert main(["train", "lenet5", f"--out={folder}", "--resume"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "is complete" in lines[0]
    assert lines[-1] == printed.splitlines()[-1]


def test_predict_shows_the_digit_and_a_bar_for_each(
    run: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(255 - Strokes(n=1, train=False).images[0]).save(tmp_path / "digit.png")
    assert main(["predict", str(tmp_path / "digit.png"), f"--run={run[0]}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert re.fullmatch(r"digit \d \(\d+\.\d\d %\)", lines[-1])
    shown = [float(line.split()[1]) for line in lines[:10]]
    assert sum(shown) == pytest.approx(100, abs=0.1)
    assert lines[-1].split()[1] == str(shown.index(max(shown)))


def test_list_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for name in lt.recipes.names():
        assert re.search(rf"^{name} ", printed, re.MULTILINE)


@pytest.mark.parametrize("name", lt.recipes.names())
def test_info_shows_the_layers_of_every_recipe(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", name]) == 0
    printed = capsys.readouterr().out
    parameters = sum(p.numel() for p in lt.recipes.get(name).model().parameters())
    assert "multiply-adds" in printed
    assert re.search(rf"total .*\b{parameters:,}\b", printed)


def test_info_shows_the_steps_of_a_decoder_as_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "translate"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("grucell") == 1
    assert re.search(r"grucell  x6 .*\b197,376\b", printed)


@pytest.mark.parametrize("name", NETWORKS)
def test_info_shows_the_layers_of_every_model(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", name]) == 0
    printed = capsys.readouterr().out
    parameters = sum(p.numel() for p in NETWORKS[name].make().parameters())
    assert re.search(rf"total .*\b{parameters:,}\b", printed)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("alexnet", 0.714), ("vgg16", 15.470), ("googlenet", 1.498), ("resnet18", 1.814), ("resnet34", 3.664),
        ("resnet50", 4.089), ("densenet121", 2.834),
    ],
)  # fmt: skip
def test_multiply_adds_are_those_that_torchvision_gives(name: str, billions: float) -> None:
    net = NETWORKS[name]
    rows = layers(net.make(), net.input_shape)
    assert round(sum(row.multiply_adds for row in rows) / 1e9, 3) == pytest.approx(billions, abs=0.0015)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lectorium {lt.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["eval", "--help"], ["predict", "--help"]]
)
def test_help_is_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert "Usage: lectorium" in capsys.readouterr().out


def test_the_flags_of_train_are_those_of_readme(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "--help"])
    printed = capsys.readouterr().out
    for flag in ("data", "epochs", "batch-size", "lr", "seed", "threads", "out", "resume"):
        assert f"--{flag} " in printed


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "lenet"], 2, "unknown recipe 'lenet'; did you mean 'lenet5'?"),
        (["info", "xormlp"], 2, "unknown recipe or model 'xormlp'; did you mean 'xor-mlp'?"),
        (["train", "lenet5", "--data=mnits"], 2, "unknown data set 'mnits'; did you mean 'mnist'?"),
        (["train", "lenet5", "--data=cifar10"], 2, "lenet5 does not run on cifar10"),
        (["train", "lenet5", "--epochs=0"], 2, "epochs must be 1 or more, got 0"),
        (["train", "lenet5", "--epochs=two"], 2, "Invalid value for '--epochs'"),
        (["train", "lenet5", "--lr=-1"], 2, "lr must be a finite number above 0, got -1"),
        (["train", "lenet5", "--lr=nan"], 2, "lr must be a finite number above 0, got nan"),
        (["train", "lenet5", "--threads=0"], 2, "threads must be 1 or more, got 0"),
        (["train", "lenet5", "--batch-size=0"], 2, "batch size must be 1 or more, got 0"),
        (["train", "lenet5", "--bathc-size=5"], 2, "--bathc-size"),
        (["train"], 2, "Missing argument '"),
        (["trian", "lenet5"], 2, "No such command 'trian'"),
        (["eval", "nowhere"], 1, "there is no run folder nowhere"),
        (["predict", "digit.png", "--run=nowhere"], 1, "there is no run folder nowhere"),
        (["predict", "digit.png"], 1, "train first: lectorium train lenet5"),
    ],
)
def test_wrong_use_is_one_line_on_stderr_and_an_exit_code(
    arguments: list[str], code: int, message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("lectorium: ")
    assert len(printed.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["train", "lenet5", f"--out={tmp_path / 'file' / 'run'}"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"lectorium: cannot write to the run folder {tmp_path / 'file' / 'run'}: ")
    assert len(printed.splitlines()) == 1


def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(tmp_path)]) == 1
    assert "is not a run folder: it holds no config.json" in capsys.readouterr().err
    (tmp_path / "config.json").write_text("{")
    assert main(["eval", str(tmp_path)]) == 1
    assert "config.json is damaged" in capsys.readouterr().err


def test_data_that_is_nowhere_is_an_error_that_says_where_to_put_it(tmp_path: Path) -> None:
    ran = command(
        "train", "cifarnet", f"--out={tmp_path / 'run'}",
        LECTORIUM_DATA="", LECTORIUM_CACHE=str(tmp_path / "cache"), https_proxy="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9",
    )  # fmt: skip
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]  # above it stands the download's progress
    assert last.startswith("lectorium: cifar-10")
    assert "LECTORIUM_DATA" in last
    assert "Traceback" not in ran.stderr


def test_output_that_cannot_show_bars_is_no_error(run: tuple[Path, str], tmp_path: Path) -> None:
    Image.fromarray(255 - Strokes(n=1, train=False).images[0]).save(tmp_path / "digit.png")
    ran = command("predict", tmp_path / "digit.png", "--run", run[0], PYTHONIOENCODING="ascii")
    assert ran.returncode == 0, ran.stderr


def test_the_command_imports_nothing_heavy_before_it_needs_it() -> None:
    code = """
import sys
import lectorium
early = {m for m in ("typer", "rich", "matplotlib", "PIL", "lectorium.cli") if m in sys.modules}
import lectorium.cli
lectorium.cli.main(["--version"])
late = {m for m in ("matplotlib", "PIL") if m in sys.modules}
print(early, late)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == "set() set()"


def test_help_comes_at_once() -> None:
    best = min(_seconds_of_help() for _ in range(3))
    assert best < 1.0


def _seconds_of_help() -> float:
    started = time.monotonic()
    assert command("--help").returncode == 0
    return time.monotonic() - started
