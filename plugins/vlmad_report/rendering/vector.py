"""Drawings as SVG that lies in a page: words are words, and colours are the page's own.

matplotlib draws on a `Vector` as it would on pixels. What comes out is a tenth of what its own
SVG takes, and can be searched: letters are left to the page's fonts, and places are kept to a
tenth of a point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import escape
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import to_hex
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from matplotlib.backend_bases import GraphicsContextBase
    from matplotlib.transforms import Transform

TENTHS = 10
LETTER = 10.0
"""Points of a letter's size that is not written down."""
TILE = 72
"""Points of a side of a hatch's tile: matplotlib's own."""
ANCHORS = {"center": ("middle", 0.5), "right": ("end", 1.0)}
LETTERS = {Path.LINETO: "l", Path.CURVE3: "q", Path.CURVE4: "c"}


class Vector(RendererBase):
    """Collects what is drawn as elements of SVG.

    Args:
        width: of the drawing, in points.
        height: of it.
        name: begins the names of what is used several times; unique in the page.
        names: from hexadecimal colours to the names that the page's style sheet has for them.
    """

    def __init__(self, width: float, height: float, name: str, names: Mapping[str, str]) -> None:
        super().__init__()
        self.width, self.height, self.name, self.names = width, height, name, names
        self._elements: list[str] = []
        self._shared: dict[str, str] = {}
        """From what is used several times to its name."""
        self._alignment = "left"

    def svg(self, kind: str) -> str:
        """Return the drawing as an element of a class."""
        size = f"{self.width:g} {self.height:g}"
        pixels = f'width="{self.width * 96 / 72:.0f}" height="{self.height * 96 / 72:.0f}"'
        shared = "".join(text.replace("ID", name, 1) for text, name in self._shared.items())
        return (
            f'<svg class="{kind}" viewBox="0 0 {size}" {pixels} fill="none" font-size="{LETTER:g}" '
            f'stroke-linejoin="round" aria-hidden="true"><defs>{shared}</defs>'
            f"{''.join(self._elements)}</svg>"
        )

    def get_canvas_width_height(self) -> tuple[float, float]:
        """Return the size in points."""
        return self.width, self.height

    def open_group(self, s: str, gid: str | None = None) -> None:
        """Note how the lines of a text are aligned, which `draw_text` is not told."""
        if s == "text":
            self._alignment = gid or "left"

    def draw_path(
        self, gc: GraphicsContextBase, path: Path, transform: Transform, rgbFace: Any = None
    ) -> None:
        """Draw lines and areas."""
        down = transform + Affine2D().scale(1, -1).translate(0, self.height)
        window = self._window(gc)
        hatch = gc.get_hatch_path()
        area = rgbFace is not None or hatch is not None
        clip = None if area or window is None else window.extents
        data = _data(path.iter_segments(down, clip=clip, simplify=False if area else None))
        if not data or not (area or gc.get_linewidth()):
            return
        if window is not None and area and not _holds(window, path.get_extents(down)):
            data = f'{data}" clip-path="url(#{self._clip(window)})'
        style = self._style(gc, rgbFace, self._hatch(gc, hatch, rgbFace) if hatch else "")
        self._elements.append(f'<path{style} d="{data}"/>')

    def draw_markers(
        self,
        gc: GraphicsContextBase,
        marker_path: Path,
        marker_trans: Transform,
        path: Path,
        trans: Transform,
        rgbFace: Any = None,
    ) -> None:
        """Draw one shape at many places."""
        down = trans + Affine2D().scale(1, -1).translate(0, self.height)
        shape = _data(marker_path.iter_segments(marker_trans + Affine2D().scale(1, -1)))
        window = self._window(gc)
        places = [
            (round(x, 1), round(y, 1))
            for (*_, x, y), _ in path.iter_segments(down, simplify=False)
            if window is None or window.padded(0.5).contains(x, y)
        ]
        if not places or not shape:
            return
        if len(places) == 1:  # such as the mark of a tick: shorter without a name
            there = marker_trans + Affine2D().translate(places[0][0], self.height - places[0][1])
            self.draw_path(gc, marker_path, there, rgbFace)
            return
        name = self._share(f'<path id="ID" d="{shape}"/>')
        uses = (f'<use href="#{name}" x="{x:g}" y="{y:g}"/>' for x, y in places)
        self._elements.append(f"<g{self._style(gc, rgbFace)}>{''.join(uses)}</g>")

    def draw_text(
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: Any,
        angle: float,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        """Draw a line of text, where it would be in matplotlib's font whatever the page's is."""
        anchor, share = ANCHORS.get("center" if angle else self._alignment, ("", 0.0))
        width = share * self.get_text_width_height_descent(s, prop, False)[0]
        turn = Affine2D().rotate_deg(-angle).transform((width, 0))
        x, y = round(x + turn[0], 1), round(y + turn[1], 1)
        marks = [f'x="{x:g}" y="{y:g}"', self._colour("fill", gc.get_rgb())]
        size = prop.get_size_in_points()
        marks += [f'font-size="{size:.3g}"'] if size != LETTER else []
        marks += ['font-weight="bold"'] if str(prop.get_weight()) in ("bold", "700") else []
        marks += [f'text-anchor="{anchor}"'] if anchor else []
        marks += [f'transform="rotate({-angle:g} {x:g} {y:g})"'] if angle else []
        self._elements.append(f"<text {' '.join(marks)}>{escape(s)}</text>")

    def _window(self, gc: GraphicsContextBase) -> Bbox | None:
        """Return the rectangle outside of which nothing is drawn, downwards from the top."""
        bounds = gc.get_clip_rectangle()
        if bounds is None:
            return None
        top, bottom = self.height - bounds.ymax, self.height - bounds.ymin
        return Bbox.from_extents(bounds.xmin, top, bounds.xmax, bottom)

    def _share(self, text: str) -> str:
        """Return the name of something that is written once."""
        return self._shared.setdefault(text, f"{self.name}.{len(self._shared)}")

    def _clip(self, window: Bbox) -> str:
        left, right = f"{window.xmin:.1f}", f"{window.xmax:.1f}"
        shape = f"M{left} {window.ymin:.1f}H{right}V{window.ymax:.1f}H{left}Z"
        return self._share(f'<clipPath id="ID"><path d="{shape}"/></clipPath>')

    def _hatch(self, gc: GraphicsContextBase, lines: Path, face: Any) -> str:
        whole = f"M0 0h{TILE}v{TILE}h-{TILE}z"
        ground = "" if face is None else f'<path{self._face(face)} d="{whole}"/>'
        ink = self._colour("line", gc.get_hatch_color())
        data = _data(lines.iter_segments(Affine2D().scale(TILE, -TILE).translate(0, TILE)))
        width = f'stroke-width="{gc.get_hatch_linewidth():.3g}"'
        return self._share(
            f'<pattern id="ID" width="{TILE}" height="{TILE}" patternUnits="userSpaceOnUse">'
            f'{ground}<path {ink} {width} d="{data}"/></pattern>'
        )

    def _style(self, gc: GraphicsContextBase, face: Any, hatch: str = "") -> str:
        marks = self._face(face)
        if hatch:
            marks = f' fill="url(#{hatch})"'
        width = gc.get_linewidth()
        if not width:
            return marks
        stroke = self._colour("line", gc.get_rgb())
        if 'class="' in marks and 'class="' in stroke:
            marks = marks.replace('class="', stroke[:-1] + " ", 1)
        else:
            marks += f" {stroke}"
        marks += f' stroke-width="{width:.3g}"' if width != 1 else ""
        dashes: Any = gc.get_dashes()[1]
        if dashes is not None:
            marks += f' stroke-dasharray="{" ".join(map(_short, dashes))}"'
        opacity = gc.get_alpha() if gc.get_forced_alpha() else gc.get_rgb()[3]
        return marks + (f' stroke-opacity="{opacity:.2g}"' if opacity < 1 else "")

    def _face(self, face: Any) -> str:
        if face is None:
            return ""
        opacity = f' fill-opacity="{face[3]:.2g}"' if len(face) > 3 and face[3] < 1 else ""
        return f" {self._colour('fill', face)}{opacity}"

    def _colour(self, kind: str, colour: Any) -> str:
        """Return the class of a colour that the page knows, or else the colour itself."""
        code = to_hex(colour[:3])
        if code in self.names:
            return f'class="{kind}-{self.names[code]}"'
        return f'{"fill" if kind == "fill" else "stroke"}="{code}"'


def _holds(window: Bbox, inner: Bbox) -> bool:
    wide = window.padded(0.1)
    return bool(
        wide.xmin <= inner.xmin
        and inner.xmax <= wide.xmax
        and wide.ymin <= inner.ymin
        and inner.ymax <= wide.ymax
    )


def _short(number: Any) -> str:
    return f"{number:.3g}"


def _data(segments: Iterable[tuple[Any, Any]]) -> str:
    """Write a path: from place to place in tenths, so that steps add up to where they should."""
    return "".join(_steps(segments))


def _steps(segments: Iterable[tuple[Any, Any]]) -> Iterator[str]:
    pen = start = (0, 0)
    for values, code in segments:
        if code == Path.CLOSEPOLY:
            yield "z"
            pen = start
            continue
        ends = [round(float(each) * TENTHS) for each in values]
        points = list(zip(ends[::2], ends[1::2], strict=True))
        steps = [(x - pen[0], y - pen[1]) for x, y in points]
        if code == Path.MOVETO:
            start = points[0]
            yield f"M{_numbers(points)}"
        elif code != Path.LINETO:
            yield f"{LETTERS[code]}{_numbers(steps)}"
        elif steps[0] != (0, 0):
            yield _line(*steps[0])
        pen = points[-1]


def _line(right: int, down: int) -> str:
    if not down:
        return f"h{_number(right)}"
    return f"l{_numbers([(right, down)])}" if right else f"v{_number(down)}"


def _numbers(points: Iterable[tuple[int, int]]) -> str:
    text = " ".join(_number(each) for point in points for each in point)
    return text.replace(" -", "-")


def _number(tenths: int) -> str:
    """Write a number without what is not needed.

    >>> _number(-5), _number(120), _number(31)
    ('-.5', '12', '3.1')
    """
    text = f"{tenths / TENTHS:g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
