"""What is installed is found; what is broken is shown and stops nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vlmad import load_detector
from vlmad.errors import NameClashError, PluginError, UnknownPartError
from vlmad.plugin import Plugin
from vlmad.registry import Registry
from vlmad.testing import example_images
from vlmad_doctor._catalogue import clashes

Install = Callable[..., Path]

BLUNT_SCORER = """
from vlmad import hookimpl, Prediction, Scorer

class Blunt(Scorer):
    needs = frozenset({{"class token"}})

    def __call__(self, features, text, memory):
        score = features.image.mean(-1)
        return Prediction(score, score[:, None, None].expand(-1, *features.image_size))

@hookimpl
def register_scorers(register):
    register("{name}", Blunt)
"""


def status_of(registry: Registry, name: str) -> Plugin:
    return next(plugin for plugin in registry.plugins if plugin.name == name)


def assert_others_work(registry: Registry) -> None:
    [result] = load_detector("clip", registry=registry).predict(example_images(1).sources)
    assert result.error is None


def test_all_built_in_plugins_load(registry: Registry) -> None:
    built_in = [plugin for plugin in registry.plugins if plugin.distribution == "vlmad"]
    assert {plugin.name for plugin in built_in} >= {
        "openclip",
        "tiny",
        "winclip",
        "anomalyclip",
        "hybrid",
        "baselines",
    }
    assert [(p.name, p.reason) for p in built_in if p.status != "ok"] == []


def test_all_promised_names_exist(registry: Registry) -> None:
    promised = {
        "backbone": {"openclip", "tiny"},
        "prompts": {"compositional", "plain", "learned"},
        "extractor": {"window", "dense", "tiles"},
        "attention": {"none", "vv", "qq", "kk", "diagonal"},
        "scorer": {"harmonic", "dense", "max-cosine"},
        "detector": {"winclip", "anomalyclip", "hybrid", "clip", "clip-ac", "comparison"},
    }
    for kind, names in promised.items():
        assert names <= set(registry.names(kind))
    for kind in promised:
        for registration in registry.of_kind(kind):
            assert registration.resolve() is not None
            assert registration.summary
            assert registration.distribution == "vlmad"


@pytest.mark.slow
def test_a_third_party_part_is_found_with_its_distribution(install: Install) -> None:
    install("blunt", BLUNT_SCORER.format(name="blunt"), version="2.3")
    registration = Registry.discover().get("scorer", "blunt")
    assert registration.origin == "blunt 2.3"
    detector = load_detector(scorer="blunt")
    [result] = detector.predict(example_images(1).sources)
    assert result.error is None


def test_a_hook_that_raises_loses_only_its_own_plugin(install: Install) -> None:
    source = "from vlmad import hookimpl\n@hookimpl\ndef register_scorers(register):\n    1 / 0\n"
    install("divider", source)
    registry = Registry.discover()
    plugin = status_of(registry, "divider")
    assert plugin.status == "broken"
    assert "ZeroDivisionError" in plugin.reason
    assert_others_work(registry)


@pytest.mark.parametrize(
    "hook",
    [
        "def register_scorers(register, colour):\n    pass",
        "def register_telescopes(register):\n    pass",
    ],
    ids=["unknown argument", "unknown hook"],
)
def test_a_hook_of_another_version_is_incompatible(hook: str, install: Install) -> None:
    install("from-elsewhere", f"from vlmad import hookimpl\n@hookimpl\n{hook}\n")
    registry = Registry.discover()
    plugin = status_of(registry, "from_elsewhere")
    assert plugin.status == "incompatible"
    assert "register_" in plugin.reason
    assert plugin.reason.endswith("pip install --upgrade vlmad from-elsewhere")
    assert_others_work(registry)


@pytest.mark.parametrize(
    ("registration", "reason"),
    [
        ('register("", print)', "is no name for a scorer"),
        ('register("number", 3)', "neither a callable nor 'module:attribute'"),
        ('register("path", "no.colon")', "neither a callable nor 'module:attribute'"),
        ('register("twice", print); register("twice", print)', "registers scorer 'twice' twice"),
    ],
)
def test_a_senseless_registration_is_broken(
    registration: str, reason: str, install: Install
) -> None:
    hook = f"@hookimpl\ndef register_scorers(register):\n    {registration}\n"
    install("senseless", f"from vlmad import hookimpl\n{hook}")
    plugin = status_of(Registry.discover(), "senseless")
    assert plugin.status == "broken"
    assert reason in plugin.reason
    assert plugin.registrations == []


def test_a_path_that_leads_nowhere_is_an_error_only_when_the_part_is_wanted(
    install: Install,
) -> None:
    hook = '@hookimpl\ndef register_scorers(register):\n    register("lost", "nowhere:Lost")\n'
    install("lost", f"from vlmad import hookimpl\n{hook}")
    registry = Registry.discover()
    assert_others_work(registry)
    with pytest.raises(PluginError, match=r"scorer 'lost' of lost 1.0 cannot be loaded"):
        load_detector(scorer="lost", registry=registry)


def test_a_part_that_is_no_scorer_is_refused_by_name(install: Install) -> None:
    hook = '@hookimpl\ndef register_scorers(register):\n    register("text", lambda: "text")\n'
    install("texts", f"from vlmad import hookimpl\n{hook}")
    with pytest.raises(PluginError, match=r"is no vlmad.Scorer: it lacks __call__, fit"):
        load_detector(scorer="text")


def test_clashing_names_are_told_apart_by_their_distribution(install: Install) -> None:
    install("rival", BLUNT_SCORER.format(name="harmonic"))
    registry = Registry.discover()
    with pytest.raises(NameClashError, match="'vlmad:harmonic' or 'rival:harmonic'"):
        registry.get("scorer", "harmonic")
    assert registry.get("scorer", "rival:harmonic").distribution == "rival"
    assert registry.get("scorer", "vlmad:harmonic").distribution == "vlmad"
    assert ("scorer", "harmonic") in clashes(registry)
    detector = load_detector("winclip", registry=registry)
    assert detector.assembly.parts["scorer"].registration.distribution == "vlmad"
    detector = load_detector("winclip", scorer="rival:harmonic", registry=registry)
    assert detector.assembly.parts["scorer"].registration.distribution == "rival"


def test_blocked_plugins_are_listed_and_named_where_their_part_is_wanted(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("blunt", BLUNT_SCORER.format(name="blunt"))
    monkeypatch.setenv("VLMAD_PLUGINS", "")
    registry = Registry.discover()
    assert status_of(registry, "blunt").status == "blocked"
    with pytest.raises(UnknownPartError, match=r"no scorer is called 'blunt'.*blunt \(blocked\)"):
        registry.get("scorer", "blunt")
    assert_others_work(registry)
    monkeypatch.setenv("VLMAD_PLUGINS", "something, blunt")
    assert Registry.discover().get("scorer", "blunt")


def test_an_unknown_name_brings_the_nearest(registry: Registry) -> None:
    with pytest.raises(UnknownPartError, match="did you mean 'harmonic'"):
        registry.get("scorer", "harmonics")
    with pytest.raises(UnknownPartError, match="known: openclip, pixels, timm, tiny"):
        registry.get("backbone", "resnet")


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("tiny", ("tiny", None)),
        ("openclip:ViT-B-32/openai", ("openclip", "ViT-B-32/openai")),
        ("openclip:hf-hub:owner/name", ("openclip", "hf-hub:owner/name")),
        ("vlmad:openclip", ("vlmad:openclip", None)),
        ("vlmad:openclip:ViT-B-32", ("vlmad:openclip", "ViT-B-32")),
        ("unknown:x", ("unknown:x", None)),
    ],
)
def test_a_part_is_written_as_name_and_argument(
    text: str, split: tuple[str, str | None], registry: Registry
) -> None:
    assert registry.split("backbone", text) == split
