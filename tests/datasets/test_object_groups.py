"""Groups of objects and types of defects come from a file that anyone may replace."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from vlmad.errors import InputError
from vlmad_datasets.object_groups import read_groups


def test_mvtec_ads_fifteen_objects_and_seventy_three_defect_folders_are_all_placed() -> None:
    groups = read_groups()
    assert Counter(groups.objects.values()) == {"texture": 5, "rigid": 7, "flexible": 3}
    assert len(set(groups.defects.values())) == 10
    assert Counter(category for category, _ in groups.defects) == {
        "bottle": 3, "cable": 8, "capsule": 5, "carpet": 5, "grid": 5, "hazelnut": 4,
        "leather": 5, "metal_nut": 4, "pill": 7, "screw": 5, "tile": 5, "toothbrush": 1,
        "transistor": 4, "wood": 5, "zipper": 7,
    }  # fmt: skip


def test_ones_own_groups_take_their_place(tmp_path: Path) -> None:
    path = tmp_path / "groups.toml"
    path.write_text('[groups]\nvalves = ["inlet", "outlet"]\n[defects.leak]\ninlet = ["drip"]\n')
    groups = read_groups(path)
    assert groups.objects == {"inlet": "valves", "outlet": "valves"}
    assert groups.defects == {("inlet", "drip"): "leak"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[groups", "Expected"),
        (b"\xff", "groups.toml is not TOML .*'utf-8' codec"),
        (b"[group]", "group: Extra inputs are not permitted"),
        (b"groups = 1", "groups: Input should be a valid dictionary"),
        (b"[defects.leak]\na = [1]", "defects.leak.a.0: Input should be a valid string"),
        (b"[groups]\na = ['x']\nb = ['x']", "'x' stands under 'a' and 'b'"),
        (b"[defects.a]\nx = ['y']\n[defects.b]\nx = ['y']", "'x y' stands under 'a' and 'b'"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "groups.toml").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_groups(tmp_path / "groups.toml")
    with pytest.raises(InputError, match=r"none.toml: No such file"):
        read_groups(tmp_path / "none.toml")
