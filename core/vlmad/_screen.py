"""What stands between any text and a terminal or log: nothing in it obeys, forges or floods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console

from vlmad.errors import printable, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from rich.console import ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text


class Screen(Console):
    """A console on which a string is one line as it stands, without markup, and never wrapped.

    What has several lines, or styles within, is a `rich.text.Text`, which is wrapped.
    """

    def __init__(self, file: TextIO, quiet: bool = False) -> None:
        super().__init__(file=file, quiet=quiet, highlight=False, markup=False, emoji=False)

    def print(self, *objects: Any, **settings: Any) -> None:
        """Print strings as lines, and anything else as rich does."""
        is_line = all(isinstance(each, str) for each in objects)
        super().print(*objects, **{"soft_wrap": is_line, **settings})

    def render_str(self, text: str, **settings: Any) -> Text:
        """Make a line, or a cell of a table, of a string."""
        return super().render_str(shown(text), **settings)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield what is printed; whatever else a text brought shows, too."""
        for segment in super().render(renderable, options):
            lines = () if segment.control else map(printable, segment.text.split("\n"))
            yield segment._replace(text="\n".join(lines)) if lines else segment

    def on_broken_pipe(self) -> None:
        """Leave it to the command line what happens where nobody reads on."""
        raise  # rich calls this while it handles the error
