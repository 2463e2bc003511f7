"""The hooks of vlmad-sprout; parts are imported when they are used."""

from vlmad import hookimpl
from vlmad.hookspecs import Register

vlmad_api = 1


@hookimpl
def register_backbones(register: Register) -> None:
    """Register the backbone."""
    register(
        "sprout",
        "vlmad_sprout.backbone:SproutBackbone",
        "moments of the colours of each patch, no text",
    )


@hookimpl
def register_prompts(register: Register) -> None:
    """Register the prompts."""
    register(
        "sprout",
        "vlmad_sprout.prompts:SproutPrompts",
        "one sentence for each side",
    )


@hookimpl
def register_extractors(register: Register) -> None:
    """Register the extractor."""
    register(
        "sprout",
        "vlmad_sprout.extractor:SproutExtractor",
        "the patches of one layer",
    )


@hookimpl
def register_attention(register: Register) -> None:
    """Register the attention."""
    register(
        "sprout",
        "vlmad_sprout.attention:SproutAttention",
        "tokens look at what has a key like theirs",
    )


@hookimpl
def register_scorers(register: Register) -> None:
    """Register the scorer."""
    register(
        "sprout",
        "vlmad_sprout.scorer:SproutScorer",
        "the place that is most like what is wrong",
    )


@hookimpl
def register_detectors(register: Register) -> None:
    """Register the recipe."""
    register(
        "sprout",
        "vlmad_sprout.recipe:SPROUT",
        "patches compared with two sentences",
    )


@hookimpl
def register_datasets(register: Register) -> None:
    """Register the reader of labelled images."""
    register(
        "sprout",
        "vlmad_sprout.dataset:SproutDataset",
        "images named in labels.txt",
    )


@hookimpl
def register_commands(register: Register) -> None:
    """Register the command."""
    register(
        "sprout",
        "vlmad_sprout.command:print_scores",
        "Print the score of each photograph.",
    )


@hookimpl
def register_defects(register: Register) -> None:
    """Register the synthetic defect."""
    register(
        "sprout",
        "vlmad_sprout.defect:SproutDefect",
        "a dark round spot",
    )


@hookimpl
def register_engines(register: Register) -> None:
    """Register the engine."""
    register(
        "sprout",
        "vlmad_sprout.engine:open_recipe",
        "a recipe, to be run with --model",
    )


@hookimpl
def register_formats(register: Register) -> None:
    """Register the format of image files."""
    register(
        "sprout",
        "vlmad_sprout.format:SproutFormat",
        "grey values as text, a row a line",
    )


@hookimpl
def register_sources(register: Register) -> None:
    """Register the source of images."""
    register(
        "sprout",
        "vlmad_sprout.source:find_listed",
        "the photographs that a text file lists",
    )


@hookimpl
def register_sinks(register: Register) -> None:
    """Register the sink of judgements."""
    register(
        "sprout",
        "vlmad_sprout.sink:to_list",
        "the images that are not OK, as lines of text",
    )


@hookimpl
def register_steadiers(register: Register) -> None:
    """Register what steadies verdicts over time."""
    register(
        "sprout",
        "vlmad_sprout.steadier:SproutSteadier",
        "anomalous for some seconds more",
    )


@hookimpl
def register_supplements(register: Register) -> None:
    """Register what is made of a run besides."""
    register(
        "sprout",
        "vlmad_sprout.supplement:worst_of",
        "a text file that names the worst image",
    )
