"""Readers of the field's data sets and of one's own, and the command `vlmad data`.

- `vlmad_run.opening`, which `open_dataset` is of: a folder finds its reader
- `vlmad_datasets.survey`: what is wrong with its files, before anything runs on them
- `vlmad_datasets.masks`: which pixels are defective
- `vlmad_datasets.tabular`, `.object_groups`: tables, and groups of objects, read from files
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.hookspecs import hookimpl

if TYPE_CHECKING:
    from typing import Any

    from vlmad.hookspecs import Register
    from vlmad_run.opening import OpenDataset, open_dataset

__all__ = ["OpenDataset", "open_dataset"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # imported at its first use: every command imports this package
        from vlmad_run import opening

        return getattr(opening, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


@hookimpl
def register_datasets(register: Register) -> None:
    """Register the readers, by data set or layout."""
    register("mvtec", "vlmad_datasets._mvtec:Mvtec", "the layout of MVTec AD and LOCO")
    register("ad2", "vlmad_datasets._mvtec:MvtecAd2", "MVTec AD 2, in one lighting or all")
    register("mpdd", "vlmad_datasets._mvtec:Mpdd", "painted metal parts, MVTec AD's layout")
    register("btad", "vlmad_datasets._mvtec:Btad", "beanTech's products, ok and ko")
    register("dtd", "vlmad_datasets._mvtec:DtdSynthetic", "DTD-Synthetic, textures")
    register("visa", "vlmad_datasets._visa:Visa", "VisA, by its split file")
    register("real_iad", "vlmad_datasets._real_iad:RealIad", "Real-IAD, by its JSON files")
    register("ksdd", "vlmad_datasets._pairs:KolektorSdd", "KolektorSDD's commutators")
    register("ksdd2", "vlmad_datasets._pairs:KolektorSdd2", "KolektorSDD2's surfaces")
    register("dagm", "vlmad_datasets._pairs:Dagm", "DAGM 2007's textures")
    register("mtd", "vlmad_datasets._pairs:MagneticTile", "magnetic tiles")
    register("meta", "vlmad_datasets._meta_json:MetaJson", "a meta.json as of AnomalyCLIP")
    register("folder", "vlmad_datasets._two_folders:TwoFolders", "a good and a bad folder")
    register("annotated", "vlmad_datasets._annotated:Annotated", "images told by label files")
    register("table", "vlmad_datasets._image_table:ImageTable", "CSV or JSON lines of images")


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad data`."""
    register("data", "vlmad_datasets.cli:data", "Describe a data set and check its files.")
