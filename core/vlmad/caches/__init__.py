"""What is kept on disk between runs: text embeddings, visual features, digests, an index.

    place    which folder, and whether it may be used
    store    entries of one kind: whole or absent, checked, the least recently used go first
    keys     what an entry depends on, as one digest
    tensors  tensors as entries
    digests  what large weight files hash to, without reading them again
    text     a backbone that encodes no text twice
    visual   a backbone that encodes no image twice

A cache never changes a result and never stops anything: an entry that is missing, damaged or
of something else is made anew, and a folder that cannot be written costs speed alone.
"""

from vlmad.caches.place import KINDS, LIMIT_VARIABLE, PLACE_VARIABLE, Kind, Place, find_place
from vlmad.caches.store import Entry, Store, open_store

__all__ = [
    "KINDS",
    "LIMIT_VARIABLE",
    "PLACE_VARIABLE",
    "Entry",
    "Kind",
    "Place",
    "Store",
    "find_place",
    "open_store",
]
