"""Names beside dots: they cover neither each other nor a dot, and one sees whose each is."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

_DISTANCES = (7, 11, 18, 27, 38, 52, 70)  # of a name from its dot, points
_LED = 11  # beyond this distance a line leads from the name to the dot
_DIRECTIONS = (0, 180, 90, 270, 45, 315, 135, 225)  # degrees, the best first
_DOT = 5  # points from its middle that nothing may come near to
_CLEAR = 1.3  # times as far as its own dot, another dot does not look like a name's
_CONFUSING = 4  # crossed lines are as bad as a name that seems to be another dot's


@dataclass(frozen=True)
class _Place:
    """Where a name may stand.

    Attributes:
        offset: of its lower left corner from the dot, points.
        box: pixels.
        leader: from the middle of the name to its dot, pixels; None where none is needed.
        flaws: the fewer the better.
    """

    offset: tuple[float, float]
    box: Bbox
    leader: Path | None
    flaws: int


def place_labels(
    axes: Axes,
    names: Sequence[str],
    dots: Sequence[tuple[float, float]],
    lines: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
    **style: Any,
) -> list[Annotation]:
    """Name dots; the same dots always get the same places.

    A line leads from a name to its dot if that is far away, or not clearly the nearest.

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
    middles = axes.transData.transform(dots)
    kept_free = [
        Bbox.from_bounds(x - _DOT * pixels, y - _DOT * pixels, *[2 * _DOT * pixels] * 2)
        for x, y in middles
    ]
    crossed = [Bbox(axes.transData.transform(line)).padded(pixels) for line in lines]
    inside = axes.get_window_extent()
    boxes: list[Bbox] = []
    leaders: list[Path] = []

    def places(own: int, width: float, height: float) -> Iterator[_Place]:
        """Yield where the name of a dot covers nothing."""
        x, y = middles[own]
        others = np.delete(middles, own, axis=0)
        obstacles = [*kept_free[:own], *kept_free[own + 1 :], *boxes]
        for distance, right, up in _offsets(width, height):
            box = Bbox.from_bounds(
                x + right * pixels, y + up * pixels, width * pixels, height * pixels
            )
            if not _holds(inside, box) or box.count_overlaps([*kept_free, *boxes]):
                continue
            confusing = _nearest(box, others) < _CLEAR * distance * pixels
            flaws = box.count_overlaps(crossed) + _CONFUSING * confusing
            flaws += _CONFUSING * sum(line.intersects_bbox(box, filled=False) for line in leaders)
            leader = None
            if confusing or distance > _LED:
                leader = Path([((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2), (x, y)])
                flaws += _CONFUSING * sum(
                    leader.intersects_bbox(each, filled=False) for each in obstacles
                )
                flaws += sum(leader.intersects_path(line, filled=False) for line in leaders)
            yield _Place((right, up), box, leader, flaws)

    labels = []
    for own, (name, dot) in enumerate(zip(names, dots, strict=True)):
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
        # The first of the best.
        found = min(
            places(own, size.width / pixels, size.height / pixels),
            key=lambda place: place.flaws,
            default=None,
        )
        if found is None:
            label.remove()
            continue
        label.set_position(found.offset)
        assert label.arrow_patch is not None
        label.arrow_patch.set_visible(found.leader is not None)
        labels.append(label)
        boxes.append(found.box)
        if found.leader is not None:
            leaders.append(found.leader)
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


def _nearest(box: Bbox, dots: Any) -> float:
    """Return how near the nearest of some dots comes to a box."""
    if not len(dots):
        return math.inf
    beyond = np.maximum(np.maximum(box.min - dots, dots - box.max), 0)
    return float(np.hypot(*beyond.T).min())
