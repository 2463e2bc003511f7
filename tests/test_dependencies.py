"""What is installed is what is used: by everyone, or by whoever asked for an extra."""

from __future__ import annotations

import re
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OF_DISTRIBUTIONS = {
    "open_clip_torch": "open_clip",
    "huggingface-hub": "huggingface_hub",
    "scikit-learn": "sklearn",
    "pillow": "PIL",
    "lazy-loader": "lazy_loader",
    "annotated-types": "annotated_types",
    "tomli-w": "tomli_w",
    "python-multipart": "python_multipart",
}
"""What is imported under another name."""
BROUGHT_ALONG = {
    "botocore": "boto3",
    "h11": "uvicorn",
    "markupsafe": "jinja2",
    "onnx_ir": "onnxscript",
    "pyarrow": "ray",
    "pydantic_core": "pydantic",
    "starlette": "fastapi",
}
"""What vlmad imports though another package brings it, which is made of it."""
NOT_IMPORTED = {
    "python_multipart": "starlette reads forms with it",
    "torchvision": "open_clip and timm need the one that fits torch; doctor tries both",
}
OF_WHO_WRITES = {"jaxtyping", "pytest"}
"""Types, which are not imported when vlmad runs, and `vlmad.testing` of who tests a plugin."""
IMPORT = re.compile(
    r"^ *(?:from (?=[\w.]+ import )|import (?=[\w.]+(?: as \w+)?$))(\w+)", re.MULTILINE
)


def names(requirements: list[str]) -> set[str]:
    found = [re.match(r"[\w-]+", line) for line in requirements]
    return {OF_DISTRIBUTIONS.get(each[0], each[0]) for each in found if each} - {"vlmad"}


CORE = names(PROJECT["dependencies"])
EXTRAS = {
    name: names(lines)
    for name, lines in PROJECT["optional-dependencies"].items()
    if name not in ("dev", "docs")
}


@cache
def uses() -> dict[str, set[str]]:
    """Return what is imported, and by which rooms."""
    found: dict[str, set[str]] = defaultdict(set)
    for place in ("core", "plugins"):
        for path in (ROOT / place).rglob("*.py"):
            room = path.relative_to(ROOT / place).parts[0]
            if "templates" in path.parts:
                continue
            for name in IMPORT.findall(path.read_text(encoding="utf-8")):
                if not name.startswith("vlmad") and name not in sys.stdlib_module_names:
                    found[BROUGHT_ALONG.get(name, name)].add(room)
    return found


def test_all_that_is_imported_is_a_dependency_and_the_other_way_round() -> None:
    declared = CORE.union(*EXTRAS.values())
    assert uses().keys() - OF_WHO_WRITES == declared - NOT_IMPORTED.keys()


def test_nothing_of_an_extra_is_brought_to_everyone() -> None:
    of_extras = set[str]().union(*EXTRAS.values())
    assert not CORE & of_extras
    for name, rooms in uses().items():  # who has an extra's room alone needs the extra alone
        alone = {"vlmad_serve", "vlmad_line", "vlmad_video", "vlmad_s3", "vlmad_ray"}
        assert name in of_extras or not rooms <= alone, f"only {rooms} use {name}"
