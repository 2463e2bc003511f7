"""What lies on a hub: found on this machine, or fetched where that is allowed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable

SITE = "huggingface.co"
NAMED = "--set backbone.weights=FILE"


def not_fetched(what: str, where: str) -> str:
    """Return why something is not fetched, and what fetches it."""
    return (
        f"{what} is not on this machine, and the file that names it has no say in what is "
        f"fetched; if you trust {where}, add --set backbone.fetch=true"
    )


def cached(repository: str, *names: str) -> Path | None:
    """Return the first of a repository's files that the hub's client has on this machine."""
    from huggingface_hub import try_to_load_from_cache

    with suppress(ValueError):  # no name that a repository could have
        for name in names:
            found = try_to_load_from_cache(repository, name)
            if isinstance(found, str):
                return Path(found)
    return None


def fetched(fetch: Callable[[], Any], model: str, file: str) -> Path:
    """Return the weights that `fetch` gets.

    Raises:
        WeightsError: it gets none; the message says which file to provide, and how.
    """
    try:
        return Path(fetch())
    except Exception as error:  # whatever the hub's client or the network raises
        raise WeightsError(
            f"the weights of {model} are not on this machine and cannot be "
            f"downloaded ({type(error).__name__}); fetch {file} (Hugging Face or as named) "
            f"where there is a network, and add {NAMED}"
        ) from error
