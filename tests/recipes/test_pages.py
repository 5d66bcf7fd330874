"""The pages in docs/recipes: one for each recipe on sequences, with its command, its model and its files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lectorium import recipes
from lectorium.recipes.run_folder import OWN

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(ROOT.glob("docs/recipes/[a-z]*.md"))


def test_every_page_is_of_a_recipe_and_in_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"hello", "char-rnn", "addition", "adding-problem"} <= {page.stem for page in PAGES}
    for page in PAGES:
        assert page.stem in recipes.SUMMARIES
        assert f"[`{page.stem}`](docs/recipes/{page.name})" in readme


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    recipe = recipes.get(page.stem)
    assert f"lectorium train {page.stem}" in text
    for command in re.findall(rf"lectorium train {page.stem} ([^#\n]*)", text):
        for option in re.findall(r"--([a-z-]+)", command):
            known = {"data", "epochs", "batch-size", "lr", "seed", "threads", "out", "resume", "limit"}
            assert option in known or option.replace("-", "_") in recipe.options, option
    for file in re.findall(r"`([a-z_]+\.(?:png|html|txt))`", text):
        assert file in OWN, file
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert link.startswith("http") or (page.parent / link).exists(), link
