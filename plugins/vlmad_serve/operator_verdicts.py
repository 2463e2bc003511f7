"""What a person says of images: kept with the images, for `vlmad review` to learn from.

Each detector has a folder of its own, so that a product whose file is exchanged begins anew;
another threshold changes nothing. In it are `images/`, `run/` of them, and `verdicts.csv`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

from vlmad.errors import OutputError
from vlmad.files import write_atomically
from vlmad_run.csv_cells import as_meant, csv_table
from vlmad_run.rows import file_stem, read_rows
from vlmad_run.run_folder import RunFolder
from vlmad_serve.refusals import Refusal

if TYPE_CHECKING:
    from vlmad_line.line_products import LineProduct
    from vlmad_line.station import Station
    from vlmad_run.rows import ScoreRow

Truth: TypeAlias = Literal["normal", "anomalous"]
IMAGES, RUN, VERDICTS = "images", "run", "verdicts.csv"
COLUMNS = ("image", "verdict")
MOST_IMAGES = 2000
"""Of one detector; more are not kept."""


class KnownScores(NamedTuple):
    """Scores of images by what a person said of them."""

    good: list[float]
    bad: list[float]


class OperatorVerdicts:
    """Keeps what a person says of images; several threads may use it.

    Args:
        folder: where; it is made with the first.
        station: whose detectors score the images.
    """

    def __init__(self, folder: Path, station: Station) -> None:
        self.folder, self._station = folder, station
        self._saying = threading.Lock()

    def folder_of(self, product: LineProduct) -> Path:
        """Return the folder of a product's detector."""
        return self.folder / file_stem(f"{product.name}/{product.scoring}")

    def say(self, product: LineProduct, image: Path, name: str, truth: Truth) -> None:
        """Keep an image with what it shows; who says it again, has the last word.

        Args:
            product: as which it was judged.
            image: the file.
            name: what it was called, for the end of its name.
            truth: what it shows.

        Raises:
            OutputError: it cannot be kept.
            Refusal: so many are kept already.
        """
        folder = self.folder_of(product)
        content, ending = image.read_bytes(), Path(name).suffix.lower()
        usual = re.fullmatch(r"\.[a-z0-9]{1,5}", ending)
        own = _digest(content) + (ending if usual else "")
        with self._saying:
            said = self._read(folder)
            if len(said) >= MOST_IMAGES and f"{IMAGES}/{own}" not in said:
                remedy = f"learn from them; then move {folder} elsewhere to begin anew"
                raise Refusal(507, f"{len(said)} images are kept of this detector", remedy)
            path = folder / IMAGES / own
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
            write_atomically(path, content)
            self._score(product, folder / RUN, path)
            said[f"{IMAGES}/{own}"] = truth
            write_atomically(folder / VERDICTS, csv_table([COLUMNS, *said.items()]))

    def said(self, product: LineProduct) -> dict[str, Truth]:
        """Return what was said of each image, by its name within the folder."""
        return self._read(self.folder_of(product))

    def scores(self, product: LineProduct) -> KnownScores:
        """Return the scores of the images that something was said of."""
        said, known = self.said(product), KnownScores([], [])
        for row in self.rows(product):
            truth = said.get(row.image)
            if truth is not None and row.score is not None:
                (known.good if truth == "normal" else known.bad).append(row.score)
        return known

    def rows(self, product: LineProduct) -> list[ScoreRow]:
        """Return what the run of these images has of each, by its name within the folder."""
        rows = read_rows(self.folder_of(product) / RUN)
        own = (f"{IMAGES}/{Path(row.image).name}" for row in rows)
        return [row.model_copy(update={"image": name}) for row, name in zip(rows, own, strict=True)]

    def _score(self, product: LineProduct, folder: Path, image: Path) -> None:
        """Score an image as `vlmad run` would, if that was not done before."""
        identity = product.identity.model_copy(update={"threshold": None})
        manifest = product.manifest.model_copy(update={"identity": identity})
        with RunFolder(folder, manifest) as run, self._station.working():
            missing = run.missing([image])
            deque(run.write_all(product.detector.stream(missing, 1)), maxlen=0)

    def _read(self, folder: Path) -> dict[str, Truth]:
        try:
            text = (folder / VERDICTS).read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise OutputError(f"{folder / VERDICTS} cannot be read: {error}") from error
        rows = [[as_meant(cell) for cell in row] for row in csv.reader(io.StringIO(text))]
        pairs = [row for row in rows if len(row) == len(COLUMNS)]
        return {image: truth for truth in get_args(Truth) for image, said in pairs if said == truth}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
