"""Which module an error came from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import Module

_OPERATION = re.compile(r"([A-Za-z_]\w*)( \(in [^)]*\))?: ", re.ASCII)


def say_where(error: Exception, module: Module) -> None:
    """Puts the module's path into the error's text: ``conv2d (in features.3): …``.

    Every module that the error passes on its way out makes the path longer; the outermost comes last.
    """
    found: tuple[Any, str] | None = getattr(error, "_module_path", None)
    if found is None:
        path = ""
    else:
        inner, path = found
        if inner is module:
            return
        name = next((n for n, m in module.named_modules() if m is inner), None)
        if name is None:
            return
        path = f"{name}.{path}" if path else name
        text = error.args[0] if error.args else None
        match = _OPERATION.match(text) if isinstance(text, str) else None
        if match is not None:
            said = f"{match[1]} (in {path}): {text[match.end() :]}"  # pyright: ignore[reportOptionalSubscript]
            error.args = (said, *error.args[1:])
        else:
            notes: list[str] = getattr(error, "__notes__", [])
            notes[:] = [n for n in notes if not n.startswith("(in module ")]
            error.add_note(f"(in module {path})")
    error._module_path = (module, path)  # pyright: ignore[reportAttributeAccessIssue]
