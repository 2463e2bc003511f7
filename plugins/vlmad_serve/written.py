"""The history that a ledger keeps, in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_line.judgements import Judgement, PartJudgement
from vlmad_serve.answers import History

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    parts = [] if number is None else _parts_from(ledger, number)  # each is after its views
    whole = {view: part.answer for part in parts for view in part.views}
    for _ in range(MOST_LOOKED_AT // AT_ONCE):
        messages = ledger.latest(AT_ONCE, number)
        for number, said in messages:
            if isinstance(said, PartJudgement):
                parts.append(said)
                whole |= dict.fromkeys(said.views, said.answer)
            elif isinstance(said, Judgement) and fits(said, whole, answer, product):
                found.append(said)
                if len(found) == limit:
                    return _page(found, parts, str(number))
        if len(messages) < AT_ONCE:
            return _page(found, parts)
    return _page(found, parts, str(number))


def _parts_from(ledger: Ledger, number: int) -> list[PartJudgement]:
    """Return the parts that were written from a message on, some of whose views may be before."""
    messages = ledger.latest(AT_ONCE, number + AT_ONCE)
    return [said for at, said in messages if at >= number and isinstance(said, PartJudgement)]


def fits(
    said: Judgement, whole: Mapping[str, str], answer: str | None, product: str | None
) -> bool:
    """Return whether a judgement is of an answer and a product.

    Args:
        said: the judgement.
        whole: the answers that count for views, those of their parts; where none is known, NG.
        answer: which one; None for any.
        product: likewise.
    """
    counts = whole.get(said.id, "NG") if said.part else said.answer
    return answer in (None, counts) and product in (None, said.product)


def _page(found: list[Judgement], parts: Iterable[PartJudgement], more: str = "") -> History:
    return History(judgements=found, parts=parts_among(found, parts), more=more)


def parts_among(
    judgements: Iterable[Judgement], parts: Iterable[PartJudgement]
) -> list[PartJudgement]:
    """Return the parts of which some views are among judgements."""
    ids = {each.id for each in judgements}
    return [part for part in parts if not ids.isdisjoint(part.views)]
