"""Which promises each kind makes, and whether what is installed keeps them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from vlmad.errors import VlmadError
from vlmad.hookspecs import KINDS
from vlmad.options import check_options, options_of
from vlmad.plugin import BUILT_IN
from vlmad_conformance import _attention_promises as attention
from vlmad_conformance import _backbone_promises as backbone
from vlmad_conformance import _extractor_promises as extractor
from vlmad_conformance import _making_promises as making
from vlmad_conformance import _memory_promises as memory
from vlmad_conformance import _offered_promises as offered
from vlmad_conformance import _other_promises as other
from vlmad_conformance import _prompts_promises as prompts
from vlmad_conformance import _scorer_promises as scorer
from vlmad_conformance import _vision_promises as vision
from vlmad_conformance.examples import TWO_LAYERS
from vlmad_conformance.promises import Broken, Subject, broken_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad.parts import Backbone
    from vlmad.plugin import Registration
    from vlmad_conformance.promises import Tiers

TIERS: Mapping[str, Tiers] = {
    "backbone": (
        (backbone.spec, vision.answers),
        (
            backbone.says_how_it_computes,
            backbone.names_its_weights,
            vision.repeats,
            vision.encodes_each_image_alone,
            vision.tells_layers_apart,
            vision.exchanges_attention,
            vision.takes_a_uniform_image,
            backbone.encodes_sentences,
            backbone.tells_sentences_apart,
            backbone.lets_gradients_through,
        ),
    ),
    "prompts": (
        (prompts.fits_a_backbone,),
        (prompts.give_embeddings,),
        (prompts.repeat, prompts.remember_no_class_name, prompts.look_at_each_image_alone),
    ),
    "extractor": (
        (extractor.asks, extractor.arranges),
        (
            extractor.gives_the_class_token,
            extractor.reads_the_second_path,
            extractor.repeats,
            extractor.arranges_each_image_alone,
            extractor.keeps_no_state,
        ),
    ),
    "attention": (
        (attention.acts_on_blocks, attention.mixes),
        (
            attention.mixes_in_any_precision,
            attention.mixes_large_numbers,
            attention.mixes_each_image_alone,
            attention.keeps_no_state,
            attention.is_quick,
        ),
    ),
    "scorer": (
        (scorer.traits,),
        (scorer.needs, memory.fits),
        (scorer.predicts,),
        (
            scorer.puts_scores_in_their_place,
            scorer.repeats,
            scorer.is_quick,
            scorer.keeps_no_state,
            scorer.ignores_order,
            scorer.scores_each_alone,
            offered.scores_sets_alike,
            scorer.takes_a_set_of_one,
            scorer.takes_a_uniform_image,
            scorer.takes_text_per_image,
            offered.attributes,
            offered.honours_inside,
            memory.survives_a_file,
            memory.remembers_in_memory_alone,
            memory.takes_any_number_of_references,
            memory.judges_memory,
            memory.adds,
            memory.learns_misses,
        ),
    ),
}
SETTING = (making.is_documented, making.has_options_that_can_be_set, making.imports_quickly)
"""What everything with options promises."""
OTHERS: Mapping[str, Tiers] = {
    "detector": ((other.has_a_name_of_its_own, other.is_a_recipe),),
    "dataset": (
        (other.has_a_name_of_its_own, other.has_its_members),
        (other.recognises_its_own, other.reads_samples, *SETTING),
    ),
    "command": ((other.has_a_name_of_its_own, other.is_a_command, making.imports_quickly),),
    "defect": ((other.draws_where_it_says, *SETTING),),
    "format": (
        (other.has_its_members,),
        (other.leaves_files_of_others, making.imports_quickly),
    ),
    "engine": ((other.has_its_members,), (other.takes_arguments,)),
    "source": ((other.has_its_members,), (other.takes_arguments,)),
}
ANY_KIND: Tiers = ((other.has_its_members, making.imports_quickly),)
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "backbone:openclip": {"model": str(TWO_LAYERS), "weights": "random:0"},
    "backbone:timm": {"model": "test_resnet", "weights": "random:0"},
}
"""Of built-in parts that are not made without a published model."""


WITH_OPTIONS = (*KINDS, "dataset", "defect")
"""Kinds whose factories are given options; of others the factory is all that there is."""


def tiers_of(kind: str) -> Tiers:
    """Return the promises of what is registered for a kind."""
    if kind not in TIERS:
        return OTHERS.get(kind, ANY_KIND)
    *first, last = TIERS[kind]
    rest = (making.needs_known_words, making.learns, *last, *SETTING)
    return ((making.has_its_members,), *first, rest)


def subject_of(
    registration: Registration,
    options: Mapping[str, Any] | None = None,
    backbone: Backbone | None = None,
) -> Subject:
    """Return an installed part as a subject.

    Args:
        registration: of the registry.
        options: as after ``--set``, without the kind.
        backbone: one that prompts or an extractor fit.

    Raises:
        VlmadError: it cannot be imported, or has no such option.
    """
    kind, factory = registration.kind, registration.resolve()
    name, package = registration.full_name, registration.plugin.package
    known = {} if registration.distribution != BUILT_IN else OPTIONS
    given = {**known.get(f"{kind}:{registration.name}", {}), **(options or {})}
    if kind not in WITH_OPTIONS:
        made = factory if isinstance(factory, type) else lambda: factory
        return Subject(made, kind, name, factory, package)
    has = options_of(factory, registration)
    for word, value in (("precision", "float32"), ("anew", True)):
        if word in has:  # the tolerance is that of float32; what is learned is drawn
            given.setdefault(word, value)
    checked = check_options(str(registration), has, given)
    make = partial(factory, **checked)
    return Subject(make, kind, name, factory, package, checked, backbone)


def check_registered(
    registration: Registration,
    options: Mapping[str, Any] | None = None,
    backbone: Backbone | None = None,
) -> list[Broken]:
    """Return the promises that an installed part breaks; see `subject_of`."""
    try:
        subject = subject_of(registration, options, backbone)
    except VlmadError as error:
        return [Broken("can-be-made", str(error), "")]
    return list(broken_by(subject, tiers_of(registration.kind)))
