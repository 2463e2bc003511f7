"""The history that a ledger keeps, in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_line.judgements import Judgement
from vlmad_serve.answers import History

if TYPE_CHECKING:
    from vlmad_line.ledger import Ledger

AT_ONCE, MOST_LOOKED_AT = 200, 2000
"""Messages that are read together, and for one page, however few of them are asked for."""
MOST_DIGITS = 18
"""Of a message's number: more are none that SQLite could hold."""


def written(
    ledger: Ledger, limit: int, before: str, answer: str | None, product: str | None
) -> History:
    """Return the latest judgements of an answer or a product, or those before a page's `more`.

    Where few are such, a page may have less than `limit`, or nothing, and still say `more`.
    """
    number = int(before) if before.isdecimal() and len(before) <= MOST_DIGITS else None
    found: list[Judgement] = []
    for _ in range(MOST_LOOKED_AT // AT_ONCE):
        messages = ledger.latest(AT_ONCE, number)
        for number, said in messages:
            if not isinstance(said, Judgement):
                continue
            if answer in (None, said.answer) and product in (None, said.product):
                found.append(said)
                if len(found) == limit:
                    return History(judgements=found, more=str(number))
        if len(messages) < AT_ONCE:
            return History(judgements=found)
    return History(judgements=found, more=str(number))
