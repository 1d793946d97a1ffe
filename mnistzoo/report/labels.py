"""Names beside dots, where they cover neither each other nor a dot nor, if possible, a line."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

_DISTANCES = (7, 11, 18, 27, 38, 52, 70)  # of a name from its dot, points
_LED = 11  # beyond this distance a line leads from the name to the dot
_DIRECTIONS = (0, 180, 90, 270, 45, 315, 135, 225)  # degrees, the best first
_DOT = 5  # points from its middle that nothing may come near to


def place_labels(
    axes: Axes,
    names: Sequence[str],
    dots: Sequence[tuple[float, float]],
    lines: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
    **style: Any,
) -> list[Annotation]:
    """Name dots; the same dots always get the same places.

    Args:
        axes: in their final place in the figure.
        names: one a dot; the first get the better places.
        dots: in the coordinates of the data.
        lines: horizontal or vertical, from one end to the other, that names should keep clear of.
        style: of the texts, as :meth:`matplotlib.axes.Axes.annotate` takes it.

    Returns:
        The names that there is room for; the others are left out.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    pixels = figure.dpi / 72  # in a point
    taken = [
        Bbox.from_bounds(x - _DOT * pixels, y - _DOT * pixels, *[2 * _DOT * pixels] * 2)
        for x, y in axes.transData.transform(dots)
    ]
    crossed = [Bbox(axes.transData.transform(line)).padded(pixels) for line in lines]
    inside = axes.get_window_extent()
    labels = []
    for name, dot in zip(names, dots, strict=True):
        label = axes.annotate(
            name,
            dot,
            (0, 0),
            textcoords="offset points",
            verticalalignment="bottom",
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "0.6", "shrinkB": 3},
            **style,
        )
        label.set_in_layout(False)
        size = Text.get_window_extent(label)  # without the line
        x, y = axes.transData.transform(dot)
        places = [
            (Bbox.from_bounds(x + right * pixels, y + up * pixels, *size.size), distance, right, up)
            for distance, right, up in _offsets(size.width / pixels, size.height / pixels)
        ]
        free = [
            place
            for place in places
            if _holds(inside, place[0]) and not place[0].count_overlaps(taken)
        ]
        if not free:
            label.remove()
            continue
        # The first that no line crosses; if there is none, the first that the fewest cross.
        box, distance, right, up = min(free, key=lambda place: place[0].count_overlaps(crossed))
        label.set_position((right, up))
        assert label.arrow_patch is not None
        label.arrow_patch.set_visible(distance > _LED)
        labels.append(label)
        taken.append(box)
    return labels


def _offsets(width: float, height: float) -> Iterator[tuple[float, float, float]]:
    """Yield how far a name may be from its dot, and where its lower left corner is then."""
    for distance in _DISTANCES:
        for direction in _DIRECTIONS:
            right, up = math.cos(math.radians(direction)), math.sin(math.radians(direction))
            # Its near side or corner is at the distance.
            yield (
                distance,
                distance * right + width / 2 * (_sign(right) - 1),
                distance * up + height / 2 * (_sign(up) - 1),
            )


def _sign(number: float) -> int:
    return (number > 1e-9) - (number < -1e-9)


def _holds(outer: Bbox, inner: Bbox) -> bool:
    return bool(outer.fully_contains(*inner.min) and outer.fully_contains(*inner.max))
