"""Plugins and vlmad of different ages understand each other, or say why they do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vlmad import API, load_detector
from vlmad.errors import PluginError, UnknownPartError
from vlmad.plugin import Plugin
from vlmad.recipes import Recipe
from vlmad.registry import Registry
from vlmad_run.identity import Identity, PartIdentity

Install = Callable[..., Path]
HOOK = """
from vlmad import Prediction, Scorer, hookimpl

class Blunt(Scorer):
    needs = frozenset()

    def __init__(self, sharpness: float = 0.0) -> None:
        self.sharpness = sharpness

@hookimpl
def register_scorers(register):
    register("blunt", Blunt, "a scorer", {formerly})
"""


def listed(name: str) -> Plugin:
    return next(plugin for plugin in Registry.discover().plugins if plugin.name == name)


# numbers


@pytest.mark.parametrize(
    ("line", "number", "upgrade"),
    [
        ("vlmad_api = 2", "2", "vlmad"),
        ("vlmad_api: int = 99  # of the future", "99", "vlmad"),
        ("vlmad_api = 0", "0", "acme"),
    ],
)
def test_a_plugin_of_another_api_is_told_both_numbers_and_nothing_of_it_runs(
    line: str, number: str, upgrade: str, install: Install, tmp_path: Path
) -> None:
    trace = f"open({str(tmp_path / 'ran')!r}, 'w')"
    install("acme", f"{trace}\nfrom vlmad import Tomorrow\n{line}\n")
    plugin = listed("acme")
    assert plugin.status == "incompatible"
    assert plugin.reason == (
        f"it is made for API {number} of vlmad, and this one has API {API}: "
        f"pip install --upgrade {upgrade}"
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("line", [f"vlmad_api = {API}", "", "# vlmad_api = 7", "x = 'vlmad_api'"])
def test_a_plugin_of_this_api_or_without_a_number_is_loaded(line: str, install: Install) -> None:
    install("acme", HOOK.format(formerly="()") + line)
    assert listed("acme").status == "ok"


def test_what_is_no_number_is_no_api(install: Install) -> None:
    install("acme", HOOK.format(formerly="()") + "vlmad_api = 'one'")
    assert listed("acme").status == "incompatible"
    assert "made for API 'one' of vlmad" in listed("acme").reason


def test_a_number_deep_in_a_package_counts_too(install: Install) -> None:
    folder = install("acme", "")
    (folder / "acme.py").unlink()
    (folder / "acme").mkdir()
    (folder / "acme" / "__init__.py").touch()
    (folder / "acme" / "parts.py").write_text(HOOK.format(formerly="()") + "vlmad_api = 2\n")
    entry = folder / "acme-1.0.dist-info" / "entry_points.txt"
    entry.write_text("[vlmad]\nacme = acme.parts\n")
    plugin = listed("acme")
    assert (plugin.status, plugin.registrations) == ("incompatible", [])
    assert "made for API 2 of vlmad" in plugin.reason


@pytest.mark.parametrize(
    "line",
    [
        "from vlmad import Tomorrow",
        "import vlmad.tomorrow",
        "from vlmad.tomorrow import X",
        "from vlmad_run.kinds import Tomorrow",
        "import vlmad_openclip.tomorrow",
    ],
)
def test_a_plugin_that_wants_what_vlmad_does_not_have_is_told_what_to_do(
    line: str, install: Install
) -> None:
    install("acme", line)
    plugin = listed("acme")
    assert plugin.status == "incompatible"
    assert plugin.reason.endswith(f": this vlmad has API {API}; pip install --upgrade vlmad acme")


def test_a_part_whose_module_wants_what_vlmad_does_not_have_is_told_what_to_do(
    install: Install,
) -> None:
    register = "def register_scorers(register):\n    register('late', 'acme_late:Late')\n"
    folder = install("acme", f"from vlmad import hookimpl\n@hookimpl\n{register}")
    (folder / "acme_late.py").write_text("from vlmad import Telescope\n")
    with pytest.raises(PluginError, match=r"pip install --upgrade vlmad acme$"):
        Registry.discover().get("scorer", "late").resolve()


def test_what_a_plugin_lacks_of_its_own_is_no_matter_of_versions(install: Install) -> None:
    install("vlmad-acme", "import vlmad_acme.forgotten")
    assert listed("vlmad_acme").status == "broken"


# names of before


def test_a_part_is_found_by_the_names_that_it_had(install: Install) -> None:
    install("acme", HOOK.format(formerly="['dull', 'duller']"))
    for registry in (Registry.discover(), Registry.discover()):  # imported, and from the index
        for name in ("dull", "duller", "acme:dull", "blunt"):
            assert registry.get("scorer", name).name == "blunt"
        assert registry.split("scorer", "dull:3") == ("dull", "3")
        assert "dull" not in registry.names("scorer")


def test_a_part_that_has_a_name_goes_before_one_that_had_it(install: Install) -> None:
    install("acme", HOOK.format(formerly="['harmonic']"))
    registry = Registry.discover()
    assert registry.get("scorer", "harmonic").distribution == "vlmad"
    assert registry.get("scorer", "acme:harmonic").name == "blunt"


def test_a_former_name_that_is_none_is_refused(install: Install) -> None:
    install("acme", HOOK.format(formerly="['a b']"))
    assert "'a b' is no name for a scorer" in listed("acme").reason


@pytest.mark.parametrize("name", ["blunt", "acme:blunt", "dull", "acme:dull"])
def test_recipes_know_a_part_and_its_options_by_any_of_its_names(
    name: str, install: Install
) -> None:
    install("acme", HOOK.format(formerly="'dull'"))
    registry = Registry.discover()
    for key in ("scorer", f"scorer:{name}"):
        recipe = Recipe({"scorer": name}, {key: {"sharpness": 2.0}})
        assembly = load_detector(recipe, registry=registry).assembly
        assert assembly.parts["scorer"].options == {"sharpness": 2.0}
        said = f"scorer '{name}' is called 'blunt' now"
        assert (said in assembly.notes) == ("dull" in name)


def test_what_was_made_with_a_part_is_good_after_it_was_renamed(install: Install) -> None:
    install("acme", HOOK.format(formerly="['dull']"))
    was, now = (
        Identity(
            parts={"scorer": PartIdentity(name=n, distribution="acme", version="1.0", options={})},
            weights_sha256="",
            precision="float32",
            preprocessing={},
            resize="squash",
            class_name="",
            sentences_sha256=None,
            references_sha256=[],
            threshold=None,
        )
        for n in ("dull", "blunt")
    )
    assert was.differences(now) == []
    assert now.differences(was) != []


# parts that are not there


def test_a_part_that_its_distribution_no_longer_has_is_had_in_the_version_that_a_file_names(
    install: Install,
) -> None:
    from vlmad_run.repeating import _installed

    install("acme", HOOK.format(formerly="()"), version="2.0")
    lost = PartIdentity(name="pointed", distribution="acme", version="1.0", options={})
    with pytest.raises(UnknownPartError) as raised:
        _installed("scorer", lost)
    assert str(raised.value) == (
        "scorer 'pointed' is of acme==1.0, and 2.0 has none of the name: "
        "pip install acme==1.0, if you trust it"
    )


def test_a_part_of_a_plugin_that_was_not_loaded_says_so(install: Install) -> None:
    install("acme", "1 / 0")
    with pytest.raises(UnknownPartError, match=r"acme \(broken\), see 'vlmad plugins'"):
        Registry.discover().get("scorer", "acme:blunt")
    assert issubclass(type(listed("acme").error), ZeroDivisionError)
    assert not isinstance(listed("acme").error, PluginError)
