"""The engine of ``vlmad run --model FILE.sprout``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlmad import load_detector
from vlmad.errors import RecipeError
from vlmad.files import read_toml
from vlmad.recipes import parse_recipe
from vlmad_run.kinds import Runnable
from vlmad_run.references import Assembled


def open_recipe(path: Path, options: Mapping[str, Mapping[str, Any]]) -> Runnable:
    """Open a file that is written like a recipe; it may name a class too."""
    table = dict(read_toml(path, "recipe", RecipeError))
    class_name = str(table.pop("class_name", "object"))
    detector = load_detector(parse_recipe(table, str(path)), options=options)
    return Assembled(detector, class_name, references=[])
