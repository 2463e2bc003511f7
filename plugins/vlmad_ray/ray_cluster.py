"""Scoring images on the machines of a Ray cluster."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt

from vlmad.errors import InputError, OutputError, first_line
from vlmad.loading import chunks
from vlmad_run.rows import read_row

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from vlmad_run.rows import ScoreRow

REMEDY = "--engine ray needs Ray: pip install 'vlmad[ray]'"
AGAIN = "give the same command again to go on"
MOST_FILES = 10_000
"""Of rows; more images make longer ones."""


class RayCluster:
    """Scores the images of a run by actors on the machines of a Ray cluster, or on this one.

    Args:
        workers: how many actors; 0 is one for each place that `cpus` and `gpus` leave.
        cpus: processors of each.
        gpus: graphics processors of each, such as .5.
        address: of the cluster; by default that of `RAY_ADDRESS`, or one that runs here.
    """

    def __init__(
        self,
        workers: Annotated[int, Ge(0)] = 0,
        cpus: Annotated[float, Gt(0)] = 1.0,
        gpus: Annotated[float, Ge(0)] = 0.0,
        address: str = "",
    ) -> None:
        if None in (find_spec("ray"), find_spec("pyarrow")):
            raise InputError(REMEDY)
        self.workers, self.cpus, self.gpus, self.address = workers, cpus, gpus, address

    def kept(self, folder: Path) -> Iterable[ScoreRow]:
        """Return rows that actors wrote before they, or the command, were stopped."""
        from vlmad_ray._row_files import read_row_files

        return read_row_files(folder)

    def score(
        self, folder: Path, images: Sequence[Path], batch_size: int, astray: Collection[Path]
    ) -> Iterator[Sequence[ScoreRow]]:
        """Score images into a run folder; see `vlmad_run.kinds.Cluster`."""
        if not images:
            return
        whole_batches = -(-len(images) // (batch_size * MOST_FILES))
        files = [
            {"names": [os.fsencode(image) for image in each]}
            for each in chunks(images, batch_size * whole_batches)
        ]
        given = (str(folder.absolute()), batch_size, "cuda" if self.gpus else "cpu",
                 sorted(map(str, astray)))  # fmt: skip
        lacking = set(map(str, images))
        with _connected(self.address):
            for told in self._called(files, "_scoring_actor:ScoringActor", given):
                rows = list(filter(None, map(read_row, told["lines"])))
                if len(rows) < len(told["lines"]):
                    raise OutputError("a machine of another version wrote rows of another form")
                lacking.difference_update(row.image for row in rows)
                yield rows
        if lacking:
            raise OutputError(f"the cluster lost {len(lacking)} images; {AGAIN}")

    def spread(self, work: Callable[[str], None], items: Sequence[str]) -> Iterator[str]:
        """Call a function for each item; see `vlmad_run.kinds.SpreadsWork`."""
        if not items:
            return
        given = [{"item": item} for item in items]
        with _connected(self.address):
            for told in self._called(given, "_working_actor:WorkingActor", (work,)):
                yield told["item"]

    def _called(
        self, rows: list[dict[str, Any]], actor: str, given: tuple[object, ...]
    ) -> Iterator[dict[str, Any]]:
        """Yield what actors of a kind return for each row, in any order.

        Raises:
            InputError: one of them told of a fault.
            OutputError: the cluster failed.
        """
        from ray.data import ActorPoolStrategy, from_items
        from ray.exceptions import RayError

        module, _, name = actor.partition(":")
        kind: Any = getattr(import_module(f"vlmad_ray.{module}"), name)
        most = min(self.workers or self._places(), len(rows))
        called = from_items(rows, override_num_blocks=len(rows)).map(
            kind,  # Ray makes one of each place, and calls it
            fn_constructor_args=given,
            compute=ActorPoolStrategy(
                min_size=1, max_size=most, initial_size=most, max_tasks_in_flight_per_actor=2
            ),
            num_cpus=self.cpus,
            num_gpus=self.gpus or None,
        )
        try:
            blocks: Any = called.iter_batches(batch_size=None, batch_format="pyarrow")
            for told in (row for block in blocks for row in block.to_pylist()):
                if told["fault"]:
                    raise InputError(told["fault"])
                yield told
        except RayError as error:
            why = first_line(getattr(error, "cause", None) or error)
            raise OutputError(f"the cluster failed: {why}; {AGAIN}") from error

    def _places(self) -> int:
        """Return how many actors the machines have room for, each on one of them.

        Raises:
            InputError: no machine has room for one.
        """
        import ray

        of_each = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        wanted = {name: n for name, n in (("CPU", self.cpus), ("GPU", self.gpus)) if n}
        places = sum(
            min(int(node.get(name, 0) // n) for name, n in wanted.items()) for node in of_each
        )
        if not places:
            needs = f"{self.cpus:g} processors and {self.gpus:g} graphics processors"
            raise InputError(f"no machine of the cluster has {needs} for an actor")
        return places


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """Join a cluster, or make one of this machine, for as long as it is needed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.data import DataContext
    from ray.exceptions import RayError

    if ray.is_initialized():  # by whoever uses vlmad as a library
        yield
        return
    own = {name: value for name, value in os.environ.items() if name.startswith("VLMAD_")}
    try:
        ray.init(
            address=address or None,
            runtime_env={"env_vars": own},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        raise InputError(f"no Ray cluster at '{address}': {first_line(error)}") from error
    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
