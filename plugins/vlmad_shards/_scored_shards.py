"""Reading the folders of all shards of a run, and refusing what does not belong together."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from vlmad.errors import InputError, one_line
from vlmad_run.shards import Shard, digest_of_given
from vlmad_run.stored_run import StoredRun, read_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmad_run.rows import ScoreRow

NAMED = 5
"""As many missing shards are named."""


@dataclass(frozen=True, slots=True)
class ScoredShard:
    """The folder of a shard that was scored."""

    run: StoredRun
    shard: Shard

    def rows(self) -> list[ScoreRow]:
        """Return its rows in their order.

        Raises:
            InputError: they are not all there.
        """
        rows, result = self.run.rows(), self.run.manifest.result
        if result is None or len(rows) != result.images:
            raise InputError(f"{self.run.folder}: rows are lacking or damaged; {self.again}")
        return rows

    @property
    def again(self) -> str:
        """What to do where something of it is lacking."""
        words = one_line(shlex.join(["vlmad", *self.run.manifest.command]))
        return f"give its command again: {words}"


@dataclass(frozen=True, slots=True)
class AllShards:
    """All shards of one run, by their numbers."""

    shards: tuple[ScoredShard, ...]
    remarks: tuple[str, ...] = ()
    """What is to be known of the code that they were scored with."""

    def rows(self) -> list[tuple[ScoredShard, ScoreRow]]:
        """Return the rows of all images, in the order in which these were given, with their shards.

        Raises:
            InputError: they are not those of the list that the shards were made of.
        """
        shard = self.shards[0].shard
        rows: dict[int, tuple[ScoredShard, ScoreRow]] = {}
        found = [[(scored, row) for row in scored.rows()] for scored in self.shards]
        if sum(map(len, found)) == shard.images:
            for scored, own in zip(self.shards, found, strict=True):
                rows |= zip(scored.shard.places(), own, strict=False)
        whole = [rows[place] for place in sorted(rows)]
        if digest_of_given(row.image for _, row in whole) != shard.names_sha256:
            raise InputError(
                "the rows of the shards are not those of the images that they were made of: "
                "someone has changed them; score the shards anew"
            )
        return whole


def read_shards(folders: Sequence[Path]) -> AllShards:
    """Read the folders of all shards of one run, given in any order.

    Raises:
        InputError: one is no shard, is not finished, is missing or there twice, or they differ in
            what scored them or in the images that they are of.
    """
    shards = sorted(map(_read_shard, folders), key=lambda scored: scored.shard.number)
    first, remarks = shards[0], list[str]()
    for before, scored in pairwise(shards):
        other = first.run.manifest.identity.differences(scored.run.manifest.identity)
        between = f"{scored.run.folder} and {first.run.folder} do not belong together"
        if other:
            raise InputError(f"{between}: {'; '.join(other[:4])}; score one of them anew")
        if scored.shard.whole != first.shard.whole:
            raise InputError(
                f"{between}: one is of {scored.shard.whole}, the other of {first.shard.whole}; "
                "split one list of images, with one --batch-size, in as many shards everywhere"
            )
        if scored.shard.number == before.shard.number:
            both = f"{before.run.folder} and {scored.run.folder} are both {scored.shard}"
            raise InputError(f"{both}: leave out one of them")
        remarks += first.run.manifest.identity.remarks(scored.run.manifest.identity)
    _check_complete(shards, first.shard)
    return AllShards(tuple(shards), tuple(dict.fromkeys(remarks)))


def _read_shard(folder: Path) -> ScoredShard:
    run = read_run(folder)
    shard, result = run.manifest.shard, run.manifest.result
    if shard is None:
        raise InputError(f"{folder} is no shard, but a whole run: it needs no merge")
    scored = ScoredShard(run, shard)
    if result is None or not result.finished:
        raise InputError(f"{folder}, {shard}, is not finished; {scored.again}")
    return scored


def _check_complete(shards: Sequence[ScoredShard], shard: Shard) -> None:
    there = {scored.shard.number for scored in shards}
    missing = (number for number in range(1, shard.count + 1) if number not in there)
    named = list(islice(missing, NAMED))
    if named:
        words = ", ".join(f"--shard {number}/{shard.count}" for number in named)
        count = shard.count - len(there)
        more = f" and {count - NAMED} more" if count > NAMED else ""
        raise InputError(
            f"{count} of {shard.count} shards {'is' if count == 1 else 'are'} missing: "
            f"score {words}{more}, or name their folders"
        )
