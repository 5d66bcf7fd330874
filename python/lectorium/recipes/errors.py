"""What can go wrong with a recipe or a run, in words for the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RecipeError(ValueError):
    """A request that cannot be carried out: an unknown name, a bad number, a setting that differs.

    Example:
        >>> issubclass(lt.recipes.RecipeError, ValueError)
        True
    """


class RunError(RuntimeError):
    """A run folder that cannot be used: not there, not writable, in use, damaged, or of another model.

    Example:
        >>> issubclass(lt.recipes.RunError, RuntimeError)
        True
    """


def unknown(what: str, name: str, known: Iterable[str]) -> RecipeError:
    """The error for a name that is none of `known`, with the nearest one.

    Example:
        >>> print(lt.recipes.errors.unknown("recipe", "lenet", ["lenet5", "mlp"]))
        unknown recipe 'lenet'; did you mean 'lenet5'? (known: lenet5, mlp)
    """
    names = list(known)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return RecipeError(f"unknown {what} '{name}'{hint} (known: {', '.join(names)})")
