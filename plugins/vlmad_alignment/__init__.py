"""Bringing images of a part to where it lies in the first reference: a fixture."""

from vlmad_alignment._sampling import SIDE
from vlmad_alignment.reference_frame import Alignment, Found, ReferenceFrame
from vlmad_alignment.similarity import Similarity

__all__ = ["SIDE", "Alignment", "Found", "ReferenceFrame", "Similarity"]
