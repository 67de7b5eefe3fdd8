"""Charts as inline SVG: axes, lines and filled histograms, readable in light and dark pages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 28, 40
Point = tuple[float, float]


@dataclass
class Chart:
    """Collects marks in data coordinates. `y` ranges start at the bottom."""

    title: str
    x_label: str
    y_label: str
    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 420
    height: int = 280
    legend_left: bool = False  # top left; else bottom right
    _marks: list[str] = field(default_factory=list)
    _legend: list[tuple[str, str]] = field(default_factory=list)

    def line(self, points: Sequence[Point], label: str = "", *, colour: str, dashed: bool = False) -> None:
        path = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._marks.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        )
        self._note(label, colour)

    def dots(self, points: Sequence[Point], *, colour: str) -> None:
        self._marks += [
            f'<circle cx="{self._x(x):.1f}" cy="{self._y(y):.1f}" r="3.5" fill="{colour}"/>'
            for x, y in points
        ]

    def bars(self, edges: Sequence[float], heights: Sequence[float], label: str, *, colour: str) -> None:
        """One filled outline over bins [edges[i], edges[i + 1])."""
        outline = [(edges[0], 0.0)]
        for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
            outline += [(left, height), (right, height)]
        outline.append((edges[-1], 0.0))
        path = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in outline)
        self._marks.append(
            f'<polygon points="{path}" fill="{colour}" fill-opacity="0.35" stroke="{colour}" stroke-width="1.2"/>'
        )
        self._note(label, colour)

    def mark_x(self, at: float, text: str) -> None:
        """A vertical line with a small caption."""
        x = self._x(at)
        self._marks.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{self._y(self.y[0]):.1f}"/>'
            f'<text class="small" x="{x + 3:.1f}" y="{_TOP + 9}" '
            f'transform="rotate(90 {x + 3:.1f} {_TOP + 9})">{escape(text)}</text>'
        )

    def render(self) -> str:
        base, right = self.height - _BOTTOM, self.width - _RIGHT
        middle = (_LEFT + right) / 2
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" width="{self.width}" role="img" '
            f'aria-label="{escape(self.title, quote=True)}">'
            f'<text class="title" x="{_LEFT}" y="16">{escape(self.title)}</text>'
            + self._grid()
            + "".join(self._marks)
            + f'<text x="{middle:.0f}" y="{self.height - 6}" text-anchor="middle">{escape(self.x_label)}</text>'
            f'<text transform="rotate(-90 12 {base / 2 + 14:.0f})" x="12" y="{base / 2 + 14:.0f}" '
            f'text-anchor="middle">{escape(self.y_label)}</text>' + self._legend_box() + "</svg>"
        )

    def _grid(self) -> str:
        base, right = self.height - _BOTTOM, self.width - _RIGHT
        parts = [
            f'<rect class="frame" x="{_LEFT}" y="{_TOP}" width="{right - _LEFT}" height="{base - _TOP}"/>'
        ]
        for value in ticks(*self.y):
            y = self._y(value)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        for value in ticks(*self.x):
            x = self._x(value)
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{base}"/>')
            parts.append(f'<text x="{x:.1f}" y="{base + 15}" text-anchor="middle">{value:g}</text>')
        return "".join(parts)

    def _legend_box(self) -> str:
        if self.legend_left:
            x, text, anchor, top = _LEFT + 6, _LEFT + 19, "start", _TOP + 8
        else:
            x, text, anchor = self.width - _RIGHT - 14, self.width - _RIGHT - 19, "end"
            top = self.height - _BOTTOM - 8 - 15 * len(self._legend)
        lines = []
        for row, (label, colour) in enumerate(self._legend):
            y = top + 15 * row
            lines.append(
                f'<rect x="{x}" y="{y}" width="9" height="9" fill="{colour}"/>'
                f'<text x="{text}" y="{y + 9}" text-anchor="{anchor}">{escape(label)}</text>'
            )
        return "".join(lines)

    def _note(self, label: str, colour: str) -> None:
        if label:
            self._legend.append((label, colour))

    def _x(self, value: float) -> float:
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return _LEFT + share * (self.width - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values from `low` to `high`, 1, 2 or 5 times a power of ten apart."""
    raw = (high - low) / about
    power = 10.0 ** _floor_log10(raw)
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = -int(-low // step) if low < 0 else int(-(-low // step))
    return [round(n * step, 10) for n in range(first, int(high / step + 1e-9) + 1)]


def _floor_log10(value: float) -> int:
    return int(f"{value:e}".split("e")[1])
