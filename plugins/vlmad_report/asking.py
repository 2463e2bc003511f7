"""The options of ``vlmad report``: what the page shows, and what its images are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmad.errors import InputError

if TYPE_CHECKING:
    from vlmad_datasets import OpenDataset
    from vlmad_report.page import Wishes


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows."""

    title: Annotated[str, typer.Option(help="The title, instead of one made of names.")] = ""
    groups: Annotated[
        Path | None, typer.Option(help="A file of object groups, instead of the ones of MVTec AD.")
    ] = None
    failures: Annotated[
        int, typer.Option(min=1, max=200, help="False alarms and misses shown, of each.")
    ] = 4
    no_failures: Annotated[
        bool, typer.Option("--no-failures", help="Show no photographs of failures.")
    ] = False

    def wishes(self) -> Wishes:
        """Return what is asked of the sections.

        Raises:
            InputError: the file of groups cannot be read.
        """
        from vlmad_datasets.object_groups import MVTEC_AD, read_groups
        from vlmad_report.page import Wishes

        if self.groups is not None and not self.groups.is_file():
            raise InputError(f"{self.groups}: no such file")
        groups = read_groups(self.groups or MVTEC_AD)
        return Wishes(groups, 0 if self.no_failures else self.failures)


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Data set", **settings)


@dataclass(frozen=True, slots=True)
class Images:
    """The data set that the images are of, if it must be named."""

    data: Annotated[
        Path | None,
        _option(help="The data set of the images: where a bench's lies now, or what labels a run."),
    ] = None
    dataset: Annotated[
        str | None, _option(help="Its reader; by default the one that recognises it.")
    ] = None
    settings: Annotated[
        list[str] | None,
        _option(
            "--set", metavar="dataset.OPTION=VALUE", help="An option of the reader; repeatable."
        ),
    ] = None

    def open(self) -> OpenDataset | None:
        """Open the data set, if there is one.

        Raises:
            VlmadError: it cannot be read.
        """
        if self.data is None:
            if self.dataset is not None or self.settings:
                raise InputError("--dataset and --set say how --data is read: name it too")
            return None
        from vlmad.assembly import parse_settings
        from vlmad_datasets import open_dataset

        options = parse_settings(self.settings or [], kinds=("dataset",)).get("dataset", {})
        return open_dataset(self.data, self.dataset, options)
