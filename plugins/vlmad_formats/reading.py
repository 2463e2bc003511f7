"""What a user decides of how image files are read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vlmad.errors import InputError, OptionError

MOST_PIXELS = 89_478_485
"""What Pillow takes for the limit, too: 256 MiB of RGB."""
_NUMBER = r"-?\d+(\.\d+)?"
_RANGES = rf"auto(:{_NUMBER}(/{_NUMBER})?)?|full|[1-9]\d?|{_NUMBER}:{_NUMBER}"


class TooLarge(InputError):
    """An image has more pixels than may be decoded."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a user decides of reading images where files leave it open; `str` gives it back."""

    range: str = "auto"
    """Which values of more than 8 bits are black and white: what the file states (``auto``), all
    that the numbers can hold (``full``), so many bits (``12``) or ``LOW:HIGH``. ``auto:4095/1``
    says in addition what is white in files that state nothing, for integers and for floats."""
    page: int = 1
    """Of a file with several; the first is 1."""
    most_pixels: int = MOST_PIXELS
    """A larger image is refused before it is decoded."""

    def __post_init__(self) -> None:
        fits = re.fullmatch(_RANGES, self.range)
        low, _, high = self.range.partition(":")
        if not fits or (low != "auto" and high and float(low) >= float(high)):
            raise OptionError(
                f"range takes auto, full, a number of bits or LOW:HIGH, not '{self.range}'"
            )
        if self.page < 1 or self.most_pixels < 1:
            raise OptionError("page and most_pixels are 1 or more")

    def __str__(self) -> str:
        words = [self.range]
        words += [f"page {self.page}"] if self.page > 1 else []
        words += [f"{self.most_pixels} pixels"] if self.most_pixels != MOST_PIXELS else []
        return ", ".join(words)

    def refuse_large(self, size: tuple[int, int]) -> None:
        """Do nothing if an image of this width and height may be decoded.

        Raises:
            TooLarge: it has too many pixels.
        """
        if size[0] * size[1] > self.most_pixels:
            raise TooLarge(
                f"refused, {size[0]} x {size[1]} pixels are more than {self.most_pixels} and may "
                "be a decompression bomb; --set image.most_pixels=N allows more"
            )

    def choose_page(self, pages: int) -> tuple[str, ...]:
        """Return what there is to say of a file with so many pages.

        Raises:
            InputError: it lacks the page.
        """
        if self.page > pages:
            raise InputError(f"there is no page {self.page}, only {pages}")
        return (f"page {self.page} of {pages}",) if pages > 1 else ()

    @classmethod
    def parse(cls, text: str) -> Reading:
        """Read what `str` wrote.

        Raises:
            OptionError: it is something else.

        >>> Reading.parse("auto:4095/1, page 2").page
        2
        """
        found = re.fullmatch(r"([^, ]+)(?:, page (\d{1,9}))?(?:, (\d{1,18}) pixels)?", text)
        if found is None:
            raise OptionError(f"'{text}' does not say how images are read")
        return cls(found[1], int(found[2] or 1), int(found[3] or MOST_PIXELS))
