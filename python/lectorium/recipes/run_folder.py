"""The folder of a run: its files, each of which appears complete or not at all, and who may write there."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from .._core import __version__
from ..interop._atomic import write_atomically
from ..serialization import load, save
from .errors import RunError

CONFIG, METRICS, RESULT = "config.json", "metrics.csv", "result.json"
MODEL, CHECKPOINT = "model.safetensors", "checkpoint.safetensors"
PICTURES = (
    *("curves.png", "confusion.png", "mistakes.png", "filters.png", "feature_maps.png", "gates.png"),
    *("scores.png", "gradient_flow_start.png", "gradient_flow_end.png", "units.html", "sample.txt"),
    *("alignment.png", "attention.png"),
)
# In the order in which an older run is removed: without its result it is no longer complete.
OWN = (RESULT, CHECKPOINT, MODEL, METRICS, *PICTURES, CONFIG)


class RunFolder:
    """One run's files. `claim` makes the folder and keeps a second process from writing there.

    Example:
        >>> folder = lt.recipes.run_folder.RunFolder("runs/example")
        >>> folder.claim()
        >>> folder.write_json("result.json", {"epochs": 1})
        >>> folder.read_json("result.json"), folder.read_json("config.json")
        ({'epochs': 1}, None)
        >>> folder.release()
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._held: int | None = None

    def claim(self) -> None:
        """Makes the folder if need be and locks it. Errors: RunError if it cannot be written or is in use."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path / ".writable", [b""])
            (self.path / ".writable").unlink()
        except OSError as error:
            raise RunError(f"cannot write to the run folder {self.path}: {error.strerror or error}") from None
        self._lock()
        # What a killed process left half written.
        for name in (*OWN, ".writable"):
            for rest in self.path.glob(f"{name}.*.tmp"):
                with contextlib.suppress(OSError):
                    rest.unlink()

    def _lock(self) -> None:
        # The lock is on the folder itself and held by the open descriptor: no file that could be left behind.
        try:
            import fcntl

            held = os.open(self.path, os.O_RDONLY)
        except (ImportError, OSError):  # Windows
            return
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            raise RunError(
                f"another process is training in {self.path}; wait for it, stop it, or choose another --out"
            ) from None
        except OSError:  # a file system without locks
            os.close(held)
            return
        self._held = held

    def release(self) -> None:
        """Lets others write here."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def __enter__(self) -> RunFolder:
        self.claim()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def erase(self) -> bool:
        """Removes the files of an older run, and no others; whether there were any."""
        found = [self.path / name for name in OWN if (self.path / name).is_file()]
        for file in found:
            file.unlink()
        return bool(found)

    # Reading and writing.

    def write(self, name: str, content: bytes) -> None:
        """A whole file at once."""
        write_atomically(self.path / name, [content])

    def write_json(self, name: str, values: Mapping[str, Any]) -> None:
        """A JSON object, for people to read too."""
        self.write(name, (json.dumps(values, indent=2) + "\n").encode())

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The JSON object in a file, None if there is no such file. Errors: RunError for a damaged one."""
        file = self.path / name
        try:
            values = json.loads(file.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunError(f"cannot read {file}: {error.strerror or error}") from None
        except ValueError as error:
            raise RunError(f"{file} is damaged ({error}); train again without --resume") from None
        if not isinstance(values, dict):
            raise RunError(f"{file} is damaged (not a JSON object); train again without --resume")
        return cast("dict[str, Any]", values)

    def write_csv(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """A table with the keys of the first row as its head."""
        listed = list(rows)
        text = io.StringIO()
        if listed:
            table = csv.DictWriter(text, fieldnames=list(listed[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(listed)
        self.write(name, text.getvalue().encode())

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """All that resuming needs, then the weights alone. The older files stay if this fails."""
        save({"version": __version__, **state}, self.path / CHECKPOINT)
        save(state["model"], self.path / MODEL)

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, None if there is none yet. Errors: RunError for a damaged one."""
        file = self.path / CHECKPOINT
        if not file.exists():
            return None
        state = self._load(file)
        if not isinstance(state, dict) or "settings" not in state or "model" not in state:
            raise RunError(f"{file} is not the checkpoint of a run; train again without --resume")
        return cast("dict[str, Any]", state)

    def load_weights(self) -> dict[str, Any]:
        """The weights under their `state_dict` names. Errors: RunError."""
        file = self.path / MODEL
        if not file.exists():
            raise RunError(
                f"{self.path} holds no {MODEL}; train first: lectorium train NAME --out {self.path}"
            )
        return self._load(file)

    @staticmethod
    def _load(file: Path) -> Any:
        try:
            return load(file)
        except OSError as error:
            raise RunError(f"cannot read {file}: {error.strerror or error}") from None
        except ValueError as error:
            text = str(error)
            raise RunError(text if str(file) in text else f"{file}: {text}") from None
