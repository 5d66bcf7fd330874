"""Settings that only one recipe has, such as ``--cell gru``: declared by the recipe, given after its name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import RecipeError, unknown


@dataclasses.dataclass(frozen=True)
class Option:
    """What a recipe declares in `Recipe.options`: the value it has unless told otherwise, and what it may be.

    A text option has `choices`, and with `several` takes some of them, with commas between. A number is a
    whole one from `least` to `most`, or, if the default is a float, finite and above 0.

    Example:
        >>> option = lt.recipes.options.Option("lstm", "The recurrent cell.", choices=("lstm", "gru"))
        >>> option.check("cell", "gru")
        'gru'
    """

    default: str | int | float
    help: str
    choices: tuple[str, ...] = ()
    several: bool = False
    least: int = 1
    most: int | None = None

    def check(self, name: str, value: Any) -> str | int | float:
        """`value`, or the text of one from the command line, as the setting. Errors: RecipeError."""
        if isinstance(self.default, str):
            return self._text(name, value)
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        try:
            number = type(self.default)(value) if isinstance(value, str) else value
        except ValueError:
            raise RecipeError(f"--{name} must be {kind}, got '{value}'") from None
        if isinstance(number, bool) or not isinstance(number, (int, type(self.default))):
            raise RecipeError(f"--{name} must be {kind}, got {number!r}")
        least = self.least if isinstance(self.default, int) else 0.0
        most = (1 << 63) - 1 if self.most is None else self.most
        if isinstance(self.default, int) and not least <= number <= most:
            wanted = f"{least} or more" if self.most is None else f"{least} to {most:,}"
            raise RecipeError(f"--{name} must be {wanted}, got {number}")
        if isinstance(self.default, float) and not 0 < number < float("inf"):
            raise RecipeError(f"--{name} must be a finite number above 0, got {number}")
        return type(self.default)(number)

    def _text(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise RecipeError(f"--{name} must be one of {', '.join(self.choices)}, got {value!r}")
        chosen = [part.strip() for part in value.split(",")] if self.several else [value]
        for part in chosen:
            if part not in self.choices:
                raise unknown(name, part, self.choices)
        if len(set(chosen)) < len(chosen):
            raise RecipeError(f"--{name} names one twice: {value}")
        return ",".join(chosen)


def flag(name: str) -> str:
    """An option's name on the command line.

    Example:
        >>> lt.recipes.options.flag("beam_width")
        '--beam-width'
    """
    return "--" + name.replace("_", "-")


def chosen(recipe: str, options: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of all `options` of a recipe, those in `given` checked. Errors: RecipeError.

    Example:
        >>> lt.recipes.options.chosen("lenet5", {}, {"cell": "gru"})
        Traceback (most recent call last):
        lectorium.recipes.errors.RecipeError: lenet5 has no option --cell
    """
    for name in given:
        if name not in options:
            known = f" (it has: {', '.join(flag(n) for n in options)})" if options else ""
            raise RecipeError(f"{recipe} has no option {flag(name)}{known}")
    return {
        name: option.default if given.get(name) is None else option.check(name.replace("_", "-"), given[name])
        for name, option in options.items()
    }


def parsed(arguments: Sequence[str]) -> dict[str, str]:
    """``["--cell", "gru"]`` or ``["--cell=gru"]`` as ``{"cell": "gru"}``. Errors: RecipeError.

    Example:
        >>> lt.recipes.options.parsed(["--beam-width=3", "--cell", "gru"])
        {'beam_width': '3', 'cell': 'gru'}
    """
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--") or argument == "--":
            raise RecipeError(f"unexpected argument '{argument}'; options are written --name value")
        name, equals, value = argument[2:].partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise RecipeError(f"option --{name} has no value, or is none: see lectorium train --help")
            value = rest.pop(0)
        found[name.replace("-", "_")] = value
    return found
