"""What flows from the images to the prediction, in this order.

`ImageBatch` → (`Request` → `VisualFeatures`) → `Features` + `TextEmbeddings` → `Prediction`

In the shapes b is images, p patches, r regions, n sentences, d dimensions of an embedding,
w the width of a transformer, h x w pixels. Importing this module does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from vlmad.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

Resize: TypeAlias = Literal["squash", "pad"]
"""How an image becomes the model's square: `squash` ignores the format, `pad` keeps it."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a backbone wants its pixels: size (height, width), channel mean and deviation."""

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"


class ImageSource(Protocol):
    """One image, or a part of one, read when it is asked for (`vlmad.images.Source`)."""

    name: str

    def pixels(self, preprocessing: Preprocessing, resize: Resize) -> Float[Tensor, "3 h w"]:
        """Return the normalised pixels at the model's size."""

    def crops(
        self, boxes: Float[Tensor, "t 4"], preprocessing: Preprocessing, resize: Resize
    ) -> Float[Tensor, "t 3 h w"]:
        """Return crops of the original, each at the model's size."""


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Source images, decoded only when asked for, and how they are brought to a size."""

    sources: tuple[ImageSource, ...]
    resize: Resize = "squash"

    def __len__(self) -> int:
        return len(self.sources)

    def split(self, size: int | None) -> Iterator[ImageBatch]:
        """Yield batches of up to `size` of these images; None is all of them."""
        size = size or max(1, len(self))
        for start in range(0, len(self), size):
            yield ImageBatch(self.sources[start : start + size], self.resize)

    def pixels(self, preprocessing: Preprocessing) -> Float[Tensor, "b 3 h w"]:
        """Return the normalised pixels of the whole images.

        Raises:
            InputError: an image cannot be read, or prepared pixels have another size.
        """
        import torch

        return torch.stack([source.pixels(preprocessing, self.resize) for source in self.sources])

    def crops(
        self, boxes: Float[Tensor, "t 4"], preprocessing: Preprocessing
    ) -> Float[Tensor, "b t 3 h w"]:
        """Return crops of the originals, each brought to the model's size.

        Args:
            boxes: top, left, bottom, right as shares (0 to 1) of the model's image, so that
                a box means the same place however the image was resized.
            preprocessing: what the backbone wants.
        """
        import torch

        crops = [source.crops(boxes, preprocessing, self.resize) for source in self.sources]
        return torch.stack(crops)


@dataclass(frozen=True, slots=True)
class ClassToken:
    """Ask for the image's class token, in the text's space; without text, for what is pooled."""

    normed: bool = True
    """Whether the final norm comes before the projection (AnomalyCLIP leaves it out)."""


@dataclass(frozen=True, slots=True)
class Patches:
    """Ask for the patch tokens after `layer` blocks; layer 0 is the embedded image."""

    layer: int
    path: Literal["plain", "beside"] = "plain"
    """`beside` is the second path that attention modifiers such as `vv` write."""
    stage: Literal["raw", "normed", "projected"] = "projected"
    """As they are, after the final norm, or after norm and projection; alike without text."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Ask for the class token of every `size` x `size` window of patches (WinCLIP)."""

    size: int
    normed: bool = True
    encoding: Literal["exact", "shared"] = "exact"
    """`exact` encodes each window by itself, as WinCLIP does; `shared` gives each a class
    token of its own beside one pass over the whole image, which is vlmad's own."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """Ask for the class tokens of overlapping image crops, `grid` of them side by side."""

    grid: int
    overlap: float = 0.5
    """The share (0 to below 1) of a crop that its neighbour covers too."""
    normed: bool = True


@dataclass(frozen=True, slots=True)
class Level:
    """Ask for the features of a level of the backbone's own, as a grid of cells.

    They are as the level leaves them, outside of the text's space.
    """

    name: str
    """One of `BackboneSpec.levels`."""
    standardised: bool = False
    """Whether each channel is brought to mean 0 and deviation 1 of everyday photographs."""


Request: TypeAlias = ClassToken | Patches | Windows | Tiles | Level
"""What an extractor can ask of a backbone; hashable, so that answers can be shared."""


@dataclass(frozen=True, slots=True)
class LevelSpec:
    """A level: a block of a transformer, or a stage of a convolutional pyramid."""

    grid: tuple[int, int]
    """Rows and columns of its cells."""
    width: int
    size: tuple[int, int] | None = None
    """Height and width of the pixels that it wants; None takes the backbone's own.

    A size of its own is a pass of its own beside that for text.
    """
    statistics: bool = False
    """Whether it can be asked for standardised: the statistics ship with the backbone."""
    identity: str = ""
    """What its numbers depend on in the place of `weights_hash`, such as a digest of a file.

    Empty where they follow from the backbone's weights like all others.
    """


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """What is known of a backbone before its weights are loaded."""

    name: str
    preprocessing: Preprocessing
    grid: tuple[int, int]
    """Rows and columns of patches."""
    depth: int
    """Blocks of the vision transformer, or stages of a pyramid: the last layer's number."""
    vision_width: int
    """Of patches, raw or normed."""
    embedding_dim: int
    """Width of the image's embedding, in the space that it shares with text if there is text."""
    provides: frozenset[str]
    """Words of `vlmad.parts` that name what the backbone can do."""
    text_width: int | None = None
    text_depth: int | None = None
    licence: str = "unknown"
    learned_prompts: Mapping[str, Path] = field(default_factory=dict)
    """Files of learned prompts that the backbone ships for itself, by name, the usual one first."""
    levels: Mapping[str, LevelSpec] = field(default_factory=dict)
    """What `Level` can ask for, in the order of the network."""
    middle: tuple[str, ...] = ()
    """The levels that comparisons with references read unless told otherwise."""

    def preprocessing_of(self, request: Request) -> Preprocessing:
        """Return how the pixels are wanted that a request is answered from."""
        level = self.levels.get(request.name) if isinstance(request, Level) else None
        if level is None or level.size is None:
            return self.preprocessing
        return replace(self.preprocessing, size=level.size)

    def layer(self, number: int | None) -> int:
        """Return a layer's number, the last for None.

        Raises:
            OptionError: the backbone has no such layer.
        """
        if number is None:
            return self.depth
        if not 0 <= number <= self.depth:
            raise OptionError(
                f"{self.name} has layers 1 to {self.depth} (0 is the embedded image), not {number}"
            )
        return number


@dataclass(frozen=True, slots=True)
class VisualFeatures:
    """A backbone's answers, one tensor for each request.

    `ClassToken` gives (b, d), `Patches` (b, p, w) or, projected, (b, p, d), `Windows` and
    `Tiles` (b, r, d) in the order of `vlmad.regions`, and `Level` (b, gh, gw, w). Nothing is
    normalised to unit length.
    """

    tensors: Mapping[Request, Tensor]
    """In float32, unless the backbone computes less exactly."""
    grid: tuple[int, int]
    image_size: tuple[int, int]

    def __getitem__(self, request: Request) -> Tensor:
        return self.tensors[request]


@dataclass(frozen=True, slots=True)
class Regions:
    """Embeddings of places in the image: of windows of one size, patches of a layer, tiles."""

    name: str
    embeddings: Float[Tensor, "b r d"]
    cells: Int[Tensor, "r 4"]
    """Top, left, bottom, right of each region, in cells of the grid."""
    aligned: bool = True
    """Whether they live in the space of the text; if not, only references can judge them."""
    grid: tuple[int, int] | None = None
    """Rows and columns of these cells, where they are not those of `Features.grid`."""


@dataclass(frozen=True, slots=True)
class Features:
    """What an extractor makes of the visual features, and all that a scorer sees of an image."""

    image: Float[Tensor, "b d"]
    regions: tuple[Regions, ...]
    grid: tuple[int, int]
    image_size: tuple[int, int]
    inside: Bool[Tensor, "b h w"] | None = None
    """Which pixels of each image count, at the model's size; None is all of them."""
    views: tuple[View, ...] = ()
    """How each image is turned or mirrored, where that is known."""

    def __len__(self) -> int:
        return len(self.image)

    @property
    def aligned(self) -> tuple[Regions, ...]:
        """The regions that can be compared with text."""
        return tuple(regions for regions in self.regions if regions.aligned)

    @property
    def tensors(self) -> list[Tensor]:
        """All that has a row for each image."""
        inside = [] if self.inside is None else [self.inside]
        return [self.image, *(regions.embeddings for regions in self.regions), *inside]

    def with_tensors(self, tensors: Iterable[Tensor]) -> Features:
        """Return features like these with other `tensors`."""
        image, *others = tensors
        inside = None if self.inside is None else others.pop()
        pairs = zip(self.regions, others, strict=True)
        regions = tuple(replace(each, embeddings=embeddings) for each, embeddings in pairs)
        return replace(self, image=image, regions=regions, inside=inside)

    def __getitem__(self, rows: slice | Sequence[int]) -> Features:
        numbers = range(len(self))[rows] if isinstance(rows, slice) else rows
        views = tuple(self.views[n] for n in numbers) if len(self.views) == len(self) else ()
        return replace(self.with_tensors(t[rows] for t in self.tensors), views=views)

    def take(self, rows: Sequence[int]) -> Features:
        """Return the features of some of the images."""
        return self[list(rows)]

    @staticmethod
    def concatenate(parts: Sequence[Features]) -> Features:
        """Join the features of several batches that one extractor made."""
        import torch

        first = parts[0]
        if len(parts) == 1:
            return first
        joined = zip(*(part.tensors for part in parts), strict=True)
        whole = first.with_tensors(torch.cat(tensors) for tensors in joined)
        return replace(whole, views=tuple(view for part in parts for view in part.views))


@dataclass(frozen=True, slots=True)
class View:
    """A way to look at a reference: mirrored left to right, then turned counter-clockwise."""

    degrees: float = 0.0
    mirrored: bool = False

    def __str__(self) -> str:
        turned = f"turned {self.degrees:g} degrees" if self.degrees else ""
        return ", ".join(filter(None, ["mirrored" if self.mirrored else "", turned]))


@dataclass(frozen=True, slots=True)
class ContextPrompts:
    """Sentences some of whose words are learned vectors, as a text encoder takes them."""

    context: Float[Tensor, "n c w"]
    """The learned vectors of each sentence."""
    sentences: tuple[str, ...]
    """The n sentences, with a word X of its own, a capital, for each of their c vectors."""
    deep: Mapping[int, Float[Tensor, "t w"]] = field(default_factory=dict)
    """Before text block i, positions 1 to t are overwritten with ``deep[i]``."""


@dataclass(frozen=True, slots=True)
class TextEmbeddings:
    """Every sentence's embedding, unpooled, with its side; or one set of them per image."""

    embeddings: Float[Tensor, "*b n d"]
    """Of unit length."""
    norms: Float[Tensor, "*b n"]
    """The lengths before normalisation, for poolings that average the raw embeddings."""
    anomalous: Bool[Tensor, " n"]
    sentences: tuple[str, ...]

    @classmethod
    def of(
        cls,
        embeddings: Float[Tensor, "*b n d"],
        anomalous: Iterable[bool],
        sentences: Iterable[str],
    ) -> TextEmbeddings:
        """Make them from a text encoder's raw output."""
        import torch

        norms = embeddings.norm(dim=-1)
        sides = torch.tensor(list(anomalous), device=embeddings.device)
        return cls(embeddings / norms[..., None], norms, sides, tuple(sentences))


@dataclass(frozen=True, slots=True)
class Prediction:
    """Scores and maps of a batch at the model's size; higher is more anomalous."""

    score: Float[Tensor, " b"]
    map: Float[Tensor, "b h w"]

    def __getitem__(self, rows: slice | Sequence[int]) -> Prediction:
        return Prediction(self.score[rows], self.map[rows])


class FileStatus(NamedTuple):
    """What tells a file that was changed from one that was not."""

    bytes: int
    modified: int
    """In nanoseconds."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a detector makes of one image; higher is more anomalous.

    `map` has the size and orientation of the original. If the image could not be read or
    scored, `error` says why, `score` is NaN and `map` is None.
    """

    name: str
    score: float
    map: Float[np.ndarray, "H W"] | None
    error: str | None = None
    seconds: float = 0.0
    """Its share of the time that the model took for its batch."""
    sha256: str | None = None
    """Of the file's bytes, if it is a file that could be read."""
    status: FileStatus | None = None
    """Of the file before it was read, if it was one."""
    ends_batch: bool = True
    """Whether it is the last of those that were scored together."""
    notes: tuple[str, ...] = ()
    """What a user should know of how its file was read."""
