"""Runs on the machines of a Ray cluster.

- one actor for each place loads the detector once, and scores files of images in turn
- ``rows/``: a Parquet file for each of these, beside ``maps/`` in the folder of the run

What such a file holds is not scored again, whoever was stopped meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_clusters(register: Register) -> None:
    """Register `ray`, for ``vlmad run --engine ray``."""
    register("ray", "vlmad_ray.ray_cluster:RayCluster", "The machines of a Ray cluster, or this.")
