"""The command `lectorium`. Errors that a user can mend are one line on stderr."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

USAGE, FAILURE = 2, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code: 0, 2 for wrong usage, 1 for failure, 130 after Ctrl-C.

    Example:
        >>> lt.cli.main(["--version"])  # doctest: +ELLIPSIS
        lectorium ...
        0
    """
    # Nothing heavy is imported before it is known that it is needed.
    from ..recipes.errors import RecipeError, RunError

    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a bar's blocks gets question marks rather than an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except RecipeError as error:
        return _fail(error, USAGE)
    except RunError as error:
        return _fail(error, FAILURE)
    except BrokenPipeError:
        # Whoever read the output has gone (`| head`); Python would complain about it once more at its end.
        _silence()
        return FAILURE
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", FAILURE)
    except MemoryError as error:
        return _fail(f"out of memory: {error}; try a smaller --batch-size", FAILURE)
    except KeyboardInterrupt:
        return _stopped("stopped", 2)


def _run(arguments: list[str]) -> int:
    from ..datasets import DataError, DownloadError
    from .app import StoppedRun, app

    try:
        result = app(arguments, prog_name="lectorium", standalone_mode=False)
    except (DataError, DownloadError) as error:
        return _fail(error, FAILURE)
    except StoppedRun as stop:
        return _stopped(str(stop), stop.number)
    except Exception as error:
        # What the parser of the command line has to say; its classes have no public name.
        message = getattr(error, "format_message", None)
        if message is not None:
            context = getattr(error, "ctx", None)
            place = f" (see {context.command_path} --help)" if context is not None else ""
            return _fail(f"{message().rstrip('.')}{place}", USAGE)
        if type(error).__name__ == "Abort":
            raise KeyboardInterrupt from None
        raise
    if result == 130:  # Ctrl-C, outside of training
        return _stopped("stopped", 2)
    return result if isinstance(result, int) else 0


def _fail(error: object, code: int) -> int:
    # One line, whatever the message was made of; texts for several lines come from the data sets.
    text = " ".join(str(error).split())
    print(f"lectorium: {text}", file=sys.stderr)
    return code


def _stopped(text: str, number: int) -> int:
    # On a terminal the cursor stands behind "^C".
    print(f"\n{text}" if sys.stderr.isatty() else text, file=sys.stderr)
    return 128 + number


def _silence() -> None:
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


__all__ = ["main"]
