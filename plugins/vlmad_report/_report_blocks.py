"""What a report consists of; the template renders it and knows nothing of anomaly detection.

    ReportPage → ReportSection → ResultTable, BarChart, PanelFigure or CardGallery

Texts are plain: the template escapes them and makes them printable. An `alternative` is what a
picture shows, in words, for who cannot see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from vlmad_evaluation.result_tables import ResultTable

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class ChartValue:
    """A value of one series, with what its whisker spans."""

    series: int
    value: float | None
    low: float | None = None
    high: float | None = None
    trail: Sequence[float | None] = ()
    """What the value was before it became this, and this; drawn as dots in place of a bar."""


@dataclass(frozen=True, slots=True)
class BarPlot:
    """Named rows of bars on one axis from 0 to 1."""

    title: str
    rows: Sequence[tuple[str, Sequence[ChartValue]]]

    @property
    def values(self) -> list[float]:
        """All values that are defined."""
        return [each.value for _, row in self.rows for each in row if each.value is not None]


@dataclass(frozen=True, slots=True)
class BarChart:
    """Plots beside each other, with one colour for each series."""

    kind: ClassVar[str] = "chart"
    caption: str
    series: Sequence[str]
    plots: Sequence[BarPlot]

    @property
    def sample(self) -> str:
        """The class of the style sheet for a sample: bars have hatches, dots have none."""
        values = (each for plot in self.plots for _, row in plot.rows for each in row)
        return "filled" if any(each.trail for each in values) else "bar"


@dataclass(frozen=True, slots=True)
class SvgPanel:
    """A drawing of `vlmad_report._curve_section`, which holds no names, with a title above it."""

    title: str
    svg: str
    alternative: str


@dataclass(frozen=True, slots=True)
class PanelFigure:
    """Panels beside each other, with one legend."""

    kind: ClassVar[str] = "panels"
    caption: str
    panels: Sequence[SvgPanel]
    legend: Sequence[tuple[str, str]]
    """Classes of the style sheet for a sample, and what it stands for."""


@dataclass(frozen=True, slots=True)
class CardPicture:
    """One picture of a card."""

    caption: str
    alternative: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ImageCard:
    """An image that is looked at: pictures of it, and sentences about it."""

    title: str
    pictures: Sequence[CardPicture]
    sentences: Sequence[str]


@dataclass(frozen=True, slots=True)
class CardGallery:
    """Cards beside each other."""

    kind: ClassVar[str] = "gallery"
    caption: str
    cards: Sequence[ImageCard]
    remarks: Sequence[str] = ()
    """What else all cards would repeat."""


Block: TypeAlias = ResultTable | BarChart | PanelFigure | CardGallery


@dataclass(frozen=True, slots=True)
class ReportSection:
    """One analysis: what is shown, how it is defined, what is missing and why."""

    title: str
    paragraphs: Sequence[str]
    blocks: Sequence[Block] = ()

    @property
    def anchor(self) -> str:
        """What links to it are called."""
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class ReportPage:
    """A whole report."""

    title: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[ReportSection]
    notices: Sequence[str]
    """What must be known before anything else is read."""
