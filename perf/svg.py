"""A line plot as SVG text: enough for cost against size, both axes logarithmic. Pure; knows nothing of the project."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 40, 50
_COLOURS: Final = ("#0b6e99", "#d9730d", "#0f7b6c", "#ad1a72", "#787774")


def plot(title: str, x_label: str, y_label: str, lines: Mapping[str, Points]) -> str:
    """One line a name. All values must be above 0; lines without points are left out."""
    lines = {name: sorted(points) for name, points in lines.items() if points}
    xs = sorted({x for points in lines.values() for x, _ in points})
    ys = [y for points in lines.values() for _, y in points]
    low, high = _decade(min(ys), -1), _decade(max(ys), 1)

    def at(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / xs[0]) / math.log(xs[-1] / xs[0]) if xs[-1] > xs[0] else 0.5
        up = math.log(y / low) / math.log(high / low)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 22, title, size=15),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, x_label, anchor="middle"),
        f'<g transform="rotate(-90 16 {_HEIGHT / 2})">{_text(16, _HEIGHT / 2, y_label, anchor="middle")}</g>',
    ]
    tick = low
    while tick <= high * 1.001:
        x, y = at(xs[0], tick)
        out.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#dddddd"/>')
        out.append(_text(x - 6, y + 4, f"{tick:g}", anchor="end"))
        tick *= 10
    out += [_text(at(x, low)[0], _HEIGHT - _BOTTOM + 18, f"{x:,.0f}", anchor="middle") for x in xs]
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [at(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (_, value) in zip(places, points, strict=True):
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
            out.append(_text(x, y - 8, f"{value:.3g}", anchor="middle", colour=colour))
        out.append(_text(_WIDTH - _RIGHT + 14, _TOP + 18 * (number + 1), name, colour=colour))
    return "\n".join([*out, "</svg>", ""])


def _decade(value: float, direction: int) -> float:
    exponent = math.log10(value)
    return float(10.0 ** (math.floor(exponent) if direction < 0 else math.ceil(exponent + 1e-9)))


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#333333", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(text)}</text>'
