"""The words that people use for good and for bad: names of folders, labels, verdicts."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmad.datasets import Label

NORMAL = (
    "normal, normals, good, goods, ok, okay, pass, passed, passes, fine, accept, accepted, "
    "acceptable, nominal, healthy, undamaged, conforming, non-defective, not defective, "
    "defect-free, no defect, no defects, no anomaly, without defect, false alarm, i.O., gut"
)
ANOMALOUS = (
    "anomalous, anomaly, anomalies, abnormal, abnormals, bad, not good, no good, ng, nok, ko, "
    "not ok, fail, fails, failed, failure, failures, fault, faults, faulty, reject, rejects, "
    "rejected, defect, defects, defected, defective, damaged, scrap, not acceptable, "
    "unacceptable, nonconforming, miss, missed, n.i.O., schlecht, Ausschuss"
)
NORMAL_WORDS, ANOMALOUS_WORDS = tuple(NORMAL.split(", ")), tuple(ANOMALOUS.split(", "))


def key_of(name: str) -> str:
    """Return what is compared of a name: neither case nor the spelling of a file system counts.

    >>> key_of("Größe") == key_of(unicodedata.normalize("NFD", "GRÖSSE"))
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def side_of(word: str) -> Label | None:
    """Return which side a word names, or None; marks and spaces between letters do not count.

    >>> side_of("Good"), side_of("n.i.O."), side_of("NOT_OK"), side_of("scratch")
    ('normal', 'anomalous', 'anomalous', None)
    """
    return _SIDES.get(_letters(word))


def _letters(word: str) -> str:
    return re.sub(r"[\W_]+", "", key_of(word))


_SIDES: dict[str, Label] = {
    **dict.fromkeys(map(_letters, NORMAL_WORDS), "normal"),
    **dict.fromkeys(map(_letters, ANOMALOUS_WORDS), "anomalous"),
}
