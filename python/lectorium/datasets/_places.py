"""Where data files may lie: the folders looked through before anything is downloaded."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

Root = str | os.PathLike[str] | None


def cache_folder() -> Path:
    """Return the folder for downloads: LECTORIUM_CACHE, or the user's cache folder on this platform.

    >>> cache_folder().is_absolute()
    True
    """
    chosen = os.environ.get("LECTORIUM_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "lectorium"


def folders(root: Root, names: Sequence[str]) -> list[Path]:
    """Return the folders in which a data set may lie, in the order in which to look.

    `names`: the data set's folder names, e.g. ``("mnist", "MNIST/raw")``. `root` itself comes first,
    then those names in `root`, in LECTORIUM_DATA and in the cache.

    >>> [folder.as_posix() for folder in folders("here", ["mnist"])[:2]]
    ['here', 'here/mnist']
    """
    places: list[Path] = []
    if root is not None:
        base = Path(root).expanduser()
        places += [base, *(base / name for name in names)]
    local = os.environ.get("LECTORIUM_DATA")
    if local:
        places += [Path(local).expanduser() / name for name in names]
    places += [cache_folder() / name for name in names]
    return list(dict.fromkeys(places))


def download_folder(root: Root, name: str) -> Path:
    """Return the folder that a download of data set `name` goes to.

    >>> download_folder("here", "mnist").as_posix()
    'here/mnist'
    """
    return (cache_folder() if root is None else Path(root).expanduser()) / name


def find(folder: Path, names: Iterable[str]) -> Path | None:
    """Return the first of the files `names` that exists in `folder`, else None.

    >>> find(Path("/nowhere"), ["a", "b"]) is None
    True
    """
    return next((folder / name for name in names if (folder / name).is_file()), None)


def missing(title: str, what: str, looked: Sequence[Path], variable_folder: str) -> str:
    """Return the sentence for data that is nowhere, with the way out.

    >>> missing("MNIST", "train-labels", [Path("a")], "mnist").splitlines()[0]
    'MNIST: train-labels not found. Looked in:'
    """
    lines = [f"{title}: {what} not found. Looked in:", *(f"  {folder}" for folder in looked)]
    lines.append(
        "Pass download=True, or root= with the folder of a local copy, or set LECTORIUM_DATA "
        f"to a folder that holds {variable_folder}/."
    )
    return "\n".join(lines)
