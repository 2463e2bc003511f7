"""Reading images, bringing them to a model's size, and bringing maps back.

Everything that is read is hostile until decoded: whatever a file holds, the outcome is an
RGB image or an `InputError` with the reason.
"""

from __future__ import annotations

import glob
import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import Float, UInt8
    from torch import Tensor

    from vlmad.types import ImageBatch, Preprocessing, Resize

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
MASK_FOLDER = "ground_truth"
"""Folders of this name hold masks in the MVTec AD layout and are not searched for images."""


class Box(NamedTuple):
    """A rectangle in pixels of an original; it may reach beyond the image."""

    left: float
    top: float
    right: float
    bottom: float


class Source:
    """One image: a file, an array, a PIL image, or pixels that are already prepared."""

    def __init__(self, name: str, content: Path | Image.Image | Tensor) -> None:
        self.name = name
        self.content = content
        self._size: tuple[int, int] | None = None

    @property
    def path(self) -> Path | None:
        """The file it is read from, if it is one."""
        return self.content if isinstance(self.content, Path) else None

    @property
    def prepared(self) -> Tensor | None:
        """Normalised pixels (3, h, w) that need no preprocessing, if it was given such."""
        if isinstance(self.content, Path | Image.Image):
            return None
        return self.content

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the original, upright."""
        if self.prepared is not None:
            return self.prepared.shape[-1], self.prepared.shape[-2]
        if self._size is None:
            self.open()
        assert self._size is not None
        return self._size

    def open(self) -> Image.Image:
        """Return the decoded image, upright, as RGB.

        Raises:
            InputError: it is no image, damaged, unreadable or absurdly large.
        """
        if isinstance(self.content, Path):
            image = decode(self.content)
        elif isinstance(self.content, Image.Image):
            image = to_rgb(self.content)
        else:
            raise InputError(f"{self.name}: prepared pixels have no original image")
        self._size = image.size
        return image


def as_source(item: Any, index: int = 0) -> Source:
    """Wrap a path, PIL image, uint8 array or prepared pixel tensor.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(item, Source):
        return item
    if isinstance(item, str | Path):
        return Source(str(item), Path(item))
    name = f"image {index}"
    if isinstance(item, Image.Image):
        return Source(getattr(item, "filename", "") or name, item)
    if isinstance(item, np.ndarray):
        return Source(name, _from_array(item, name))
    if type(item).__module__.split(".")[0] == "torch" and getattr(item, "ndim", 0) == 3:
        return Source(name, item)
    raise InputError(
        f"{name} is a {type(item).__name__}; give paths, PIL images, uint8 arrays (h, w, 3), "
        "or float tensors (3, h, w) of normalised pixels"
    )


def _from_array(array: UInt8[np.ndarray, "h w *c"], name: str) -> Image.Image:
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not fits or array.size == 0:
        raise InputError(
            f"{name} is an array of {array.dtype} and shape {array.shape}; "
            "give uint8 and (h, w), (h, w, 3) or (h, w, 4)"
        )
    return Image.fromarray(array)


def decode(path: Path) -> Image.Image:
    """Read a file as an upright RGB image.

    Raises:
        InputError: the file cannot be read or is no usable image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                image.load()
                return to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # decoders raise whatever a damaged file makes them raise
        raise InputError(f"{path}: {_why(error, path)}") from error


def _why(error: Exception, path: Path) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "refused: so many pixels in so small a file may be a decompression bomb"
    if isinstance(error, UnidentifiedImageError):
        empty = path.is_file() and path.stat().st_size == 0
        return "the file is empty" if empty else "not an image of a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"damaged image: {' '.join(str(error).split()) or type(error).__name__}"


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an 8-bit RGB image of any mode; what is transparent becomes white."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _to_8_bits(values: np.ndarray[Any, Any]) -> UInt8[np.ndarray, "h w"]:
    """Scale 16-bit integers by their full range, and floats of 0 to 1 likewise."""
    if values.dtype.kind == "f":
        finite = np.nan_to_num(values.astype(np.float64))
        scaled = finite * 255 if finite.max(initial=0) <= 1 else finite
    else:
        scaled = values.astype(np.float64) / 257
    rounded: UInt8[np.ndarray, "h w"] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return rounded


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """Return the image files that paths, folders (searched to the bottom) and patterns name.

    Files named directly are taken whatever their ending; in folders the ending decides.
    Each file is returned once, in the order given, those of a folder sorted by name.

    Raises:
        InputError: a path does not exist, or there is no image at all.
    """
    found: dict[Path, None] = {}
    paths = list(paths)
    for path in paths:
        found.update(dict.fromkeys(_expand(Path(path))))
    if not found:
        raise InputError(f"no images in {', '.join(map(str, paths)) or 'nothing'}")
    return list(found)


def _expand(path: Path) -> list[Path]:
    if path.is_dir():
        return _in_folder(path)
    if path.exists() or path.is_symlink():
        return [path]
    matches = sorted(glob.glob(str(path), recursive=True))
    if not matches:
        raise InputError(f"{path}: no such file or folder")
    return [file for match in matches for file in _expand(Path(match))]


def _in_folder(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(_is_passed_over(part) for part in path.relative_to(folder).parts)
        and not path.is_dir()
    )


def _is_passed_over(name: str) -> bool:
    """Tell whether a file or folder holds masks, or is hidden (as the forks that macOS leaves)."""
    return name == MASK_FOLDER or name.startswith(".")


def batch_pixels(batch: ImageBatch, preprocessing: Preprocessing) -> Float[Tensor, "b 3 h w"]:
    """Return the normalised pixels of the whole images of a batch.

    Raises:
        InputError: an image cannot be read, or prepared pixels have another size.
    """
    import torch

    rendered = []
    for source in batch.sources:
        if source.prepared is not None:
            rendered.append(_check_prepared(source, preprocessing))
        else:
            image = source.open()
            box = view(image.size, preprocessing.size, batch.resize)
            rendered.append(_render(image, box, preprocessing))
    return torch.stack(rendered)


def batch_crops(
    batch: ImageBatch, boxes: Float[Tensor, "t 4"], preprocessing: Preprocessing
) -> Float[Tensor, "b t 3 h w"]:
    """Return crops of the originals at the model's size; see `ImageBatch.crops`."""
    import torch

    shares = boxes.tolist()
    crops = []
    for source in batch.sources:
        if source.prepared is not None:
            crops += [_crop_prepared(source.prepared, share, preprocessing) for share in shares]
            continue
        image = source.open()
        whole = view(image.size, preprocessing.size, batch.resize)
        crops += [_render(image, _part(whole, share), preprocessing) for share in shares]
    return torch.stack(crops).reshape(len(batch), len(shares), 3, *preprocessing.size)


def view(size: tuple[int, int], target: tuple[int, int], resize: Resize) -> Box:
    """Return the part of an original that fills the model's image.

    Args:
        size: width and height of the original.
        target: height and width of the model's image.
        resize: `squash` fills it with the whole image, `pad` keeps the format and adds
            margins.
    """
    width, height = size
    if resize == "squash":
        return Box(0, 0, width, height)
    scale = max(width / target[1], height / target[0])
    # not below 0, where rounding would put a whole side a hair inside the image
    margin_x = max(0.0, (target[1] * scale - width) / 2)
    margin_y = max(0.0, (target[0] * scale - height) / 2)
    return Box(-margin_x, -margin_y, width + margin_x, height + margin_y)


def _part(whole: Box, share: list[float]) -> Box:
    width, height = whole.right - whole.left, whole.bottom - whole.top
    top, left, bottom, right = share
    return Box(
        whole.left + left * width,
        whole.top + top * height,
        whole.left + right * width,
        whole.top + bottom * height,
    )


def _visible(size: tuple[int, int], box: Box, target: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom, in target pixels, of what the image covers of a box."""
    sides = []
    for low, high, length, pixels in (
        (box.left, box.right, size[0], target[1]),
        (box.top, box.bottom, size[1], target[0]),
    ):
        start = round((max(low, 0) - low) / (high - low) * pixels)
        stop = round((min(high, length) - low) / (high - low) * pixels)
        start = min(start, pixels - 1)
        sides.append((start, max(stop, start + 1)))
    (left, right), (top, bottom) = sides
    return left, top, right, bottom


def _render(image: Image.Image, box: Box, preprocessing: Preprocessing) -> Float[Tensor, "3 h w"]:
    """Resample a box of an image to the model's size; margins get the mean colour."""
    import torch

    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    resample = filters[preprocessing.interpolation]
    height, width = preprocessing.size
    left, top, right, bottom = _visible(image.size, box, preprocessing.size)
    inside = Box(
        max(box.left, 0),
        max(box.top, 0),
        max(min(box.right, image.width), min(1, image.width)),
        max(min(box.bottom, image.height), min(1, image.height)),
    )
    scaled = image.resize((right - left, bottom - top), resample, box=inside)
    if scaled.size != (width, height):
        margin = tuple(round(255 * value) for value in preprocessing.mean)
        canvas = Image.new("RGB", (width, height), margin)
        canvas.paste(scaled, (left, top))
        scaled = canvas
    pixels = torch.from_numpy(np.array(scaled)).permute(2, 0, 1).float() / 255
    mean = torch.tensor(preprocessing.mean)[:, None, None]
    std = torch.tensor(preprocessing.std)[:, None, None]
    return (pixels - mean) / std


def _check_prepared(source: Source, preprocessing: Preprocessing) -> Float[Tensor, "3 h w"]:
    assert source.prepared is not None
    expected = (3, *preprocessing.size)
    if tuple(source.prepared.shape) != expected:
        raise InputError(
            f"{source.name}: prepared pixels have shape {tuple(source.prepared.shape)}, "
            f"the model takes {expected}"
        )
    return source.prepared.float()


def _crop_prepared(
    pixels: Float[Tensor, "3 h w"], share: list[float], preprocessing: Preprocessing
) -> Float[Tensor, "3 h w"]:
    import torch.nn.functional as F

    height, width = pixels.shape[-2:]
    top, left, bottom, right = share
    rows = slice(round(top * height), max(round(bottom * height), round(top * height) + 1))
    columns = slice(round(left * width), max(round(right * width), round(left * width) + 1))
    crop = pixels[None, :, rows, columns].float()
    return F.interpolate(
        crop, preprocessing.size, mode=preprocessing.interpolation, antialias=True
    )[0]


def restore_map(
    batch: ImageBatch, index: int, image: Float[Tensor, "h w"]
) -> Float[np.ndarray, "H W"]:
    """Bring a map at the model's size to the size of original `index`; see `ImageBatch`."""
    import torch.nn.functional as F

    target = (image.shape[0], image.shape[1])
    source = batch.sources[index]
    size = source.size
    box = view(size, target, batch.resize)
    left, top, right, bottom = _visible(size, box, target)
    seen = image[None, None, top:bottom, left:right].float().cpu()
    restored = F.interpolate(seen, (size[1], size[0]), mode="bilinear")[0, 0]
    return restored.numpy()
