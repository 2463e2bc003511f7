"""Finding what images keep coming from: a folder, a film, or a source that a plugin brings."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad_line.camera import Film
from vlmad_line.endpoints import KeepsComing, NewestCounts
from vlmad_line.feed import Feed
from vlmad_line.watched_folder import WatchedFolder
from vlmad_run.kinds import finder_for
from vlmad_video import ENDINGS

if TYPE_CHECKING:
    from threading import Event

    from vlmad_line.ledger import Ledger


def feed_of(
    argument: str, ledger: Ledger, came: Event, *, existing: bool, poll: bool, once: bool
) -> Feed:
    """Return a feed of what an argument names, not yet started.

    A folder that the ledger knows goes on where it was, whatever is `existing`; that it is away is
    an alarm of the feed.

    Args:
        argument: a folder or film, or what a source of a plugin takes.
        ledger: knows which images were judged.
        came: is set whenever an image has come.
        existing: whether what is there already is judged.
        poll: whether to look at a folder instead of waiting for notifications.
        once: whether to end when all that is there is judged.

    Raises:
        InputError: it names nothing that images keep coming from.
    """
    source = finder_for(argument)
    if isinstance(source, KeepsComing):
        newest = isinstance(source, NewestCounts) and source.newest_counts
        return Feed(source, argument, newest, came)
    place = os.path.abspath(argument)
    if source is None and Path(argument).suffix.lower()[1:] in ENDINGS and Path(argument).is_file():
        return Feed(Film(ledger.seen(place)), place, False, came)
    is_known = not once and not ledger.is_new(place)
    is_folder = Path(argument).is_dir() or (is_known and not os.path.exists(argument))
    if source is not None or "://" in argument or not is_folder:
        missing = "" if source or os.path.exists(argument) else "no such folder; "
        raise InputError(f"{argument}: {missing}images keep coming from folders, cameras and films")
    try:
        there = WatchedFolder().keys(place)
    except InputError:
        if not is_known:
            raise
        there = set()  # it is away: the feed says so
    known = _judged(place, there, ledger, existing or once)
    folder = WatchedFolder(known, poll or None, once, partial(ledger.forget, place))
    return Feed(folder, place, False, came)


def _judged(place: str, there: set[str], ledger: Ledger, existing: bool) -> set[str]:
    """Return which images of a folder were judged; forget those that are gone."""
    if ledger.is_new(place):
        known = set() if existing else there
        ledger.mark(place, known)
        return known
    seen = ledger.seen(place)
    if there:
        ledger.forget(place, seen - there)
    return seen
