"""Connected pieces of ink, and how much each looks like a digit; needs numpy and OpenCV."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from mnistzoo.pictures.paper import Bytes, Gray

Labels = NDArray[np.int32]
Boxes = NDArray[np.int32]
Mask = NDArray[np.bool_]

# Where no source is named, a number parts digits from what else the scenes of tests/pictures show.
_SMALLEST = 0.018  # of the picture's longer side; the smallest digits on A4 have 0.02
_MOST = 25  # pieces of a picture
_LOOKED_AT = 8  # pieces, whose outlines are followed
_SAMPLE = 4_000  # pixels of a piece, by which its contrast is measured
_SAME_BOX = 0.03  # of the size, by which a side may move at another level of contrast
_SAME_AREA = 0.75  # of the ink, which is left of a piece that did not come apart

# The score: contrast by size, times how much like a digit each property is.
_LARGE = 0.6  # of the picture's longer side; a larger piece is no better
_BY_SIZE = 0.75  # power of the size: less than in proportion, or the larger frame would win
_UNLIKE, _SELDOM = 0.15, 0.3  # what a digit never is, and what it seldom is
_TOUCHES, _TWO_SIDES, _WHOLE_SIDE = 0.6, 0.5, 0.4  # the border at all; twice; along half a side
_HALF_SIDE, _FULL_SIDE = 0.5, 0.8  # of a side of the box, which is ink
_WIDE, _WIDEST = 1.8, 2.6  # times the height: 1 of 1,000 of MNIST's is wider than 1.8
_NARROWEST = 14  # times as high as wide: more often a line than a 1
_LINE = 0.02  # of the size, the mean stroke: a line rather than a pen
_BLOT = 0.3  # of the size, the mean stroke: the thickest pens have 0.26
_BLOB = 0.62  # of the shorter side of the box, the widest place
_FULL = 0.72  # of the box, which is ink: thick pens have up to 0.7
_ONE = 2.2  # times as high as wide: a 1 fills its box, as no other digit does
_OUTLINED = 0.55  # of the outline of the box, which is ink; ``prediction.doubt`` has the same
_EDGED = 0.85  # of the outline; with less of an edge, pieces lose by the third power

# What a frame has inside: of its height, its area and its contrast; and how much larger it is.
_INNER_HEIGHT, _INNER_AREA, _INNER_CONTRAST, _ROOM = 0.12, 0.03, 0.6, 2


@dataclass(eq=False)
class Piece:
    """A connected piece of ink: its number among the labels, its box, how it looks.

    Attributes:
        contrast: of its ink, all but the darkest tenth.
        peak: the highest contrast of its pixels.
        dense: pixels of at least half its contrast.
        score: how much it looks like a digit, 0 to 1.
        touches: how many sides of the picture.
        hangs: on a side of the picture, and is no digit that a tight crop cut out.
        stroke: how thick its ink is, in pixels; ``widest`` where it is thickest.
        edged: how much of its outline is an edge from ink to paper, 0 to 1.
        parts: the labels of all pieces of a digit that came apart, this one's first.
    """

    label: int
    left: int
    top: int
    width: int
    height: int
    area: int
    contrast: float = 0
    peak: float = 0
    dense: int = 0
    score: float = 0
    touches: int = 0
    hangs: bool = False
    stroke: float = 0
    widest: float = 0
    edged: float = 1
    parts: list[int] = field(default_factory=list)

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def size(self) -> int:
        return max(self.width, self.height)

    def around(self, margin: int = 0) -> tuple[slice, slice]:
        """Return the rows and columns of the box and a margin."""
        return (
            slice(max(0, self.top - margin), self.bottom + margin),
            slice(max(0, self.left - margin), self.right + margin),
        )

    def contains(self, other: "Piece") -> bool:
        some = max(2, self.size // 50)
        return (
            self.left - some <= other.left
            and other.right <= self.right + some
            and self.top - some <= other.top
            and other.bottom <= self.bottom + some
        )

    def overlap(self, other: "Piece") -> float:
        """Return how much of its box lies in the other's, 0 to 1."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0, width) * max(0, height) / (self.width * self.height)

    def fills(self, shape: tuple[int, ...]) -> bool:
        """Return whether it goes from side to side of a picture of this height and width, nearly.

        A tight crop's digit does so in both directions; if it is a wide one, in its width alone.
        """
        height, width = shape
        return (self.height > 0.9 * height and self.width > 0.8 * width) or (
            self.width > 0.97 * width and self.height > 0.5 * height
        )

    def most_score(self, longest: int) -> float:
        """Return what no part of it can score more than, in a picture of this longer side."""
        return self.peak * _weight_of_size(self.size / longest)


def components_of(mask: Mask) -> tuple[Labels, Boxes]:
    """Return the label of each pixel, and the connected components that are large enough.

    Of each, largest first, there are left, top, width, height, area and label.
    """
    # On one thread the algorithm of Grana and others takes half the time of the default.
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        np.ascontiguousarray(mask).view(np.uint8), 8, cv2.CV_32S, cv2.CCL_BBDT
    )
    sizes = stats[:, 2:4].max(axis=1)
    sizes[0] = 0  # the paper
    largest = np.argsort(-sizes, kind="stable")[:_MOST]
    largest = largest[sizes[largest] >= max(7, _SMALLEST * max(mask.shape))]
    return labels, np.column_stack([stats[largest], largest])


def all_among(boxes: Boxes, before: Boxes) -> bool:
    """Return whether components are nearly those, or some of those, that there were before."""
    then, now = before[:, None], boxes[None]
    moved = [np.abs(now[..., :2] - then[..., :2]), np.abs(_ends(now) - _ends(then))]
    same = np.maximum(*moved).max(axis=-1) <= np.maximum(2, _SAME_BOX * now[..., 2:4].max(axis=-1))
    return bool((same & (now[..., 4] > _SAME_AREA * then[..., 4])).any(axis=0).all())


def any_fills(boxes: Boxes, shape: tuple[int, ...]) -> bool:
    """Return whether a component goes from side to side of a picture of this height and width."""
    return any(Piece(label, *box).fills(shape) for *box, label in boxes.tolist())


def _ends(boxes: Boxes) -> Boxes:
    return boxes[..., :2] + boxes[..., 2:4]


def pieces_of(
    labels: Labels, boxes: Boxes, contrast: Gray, gray: Bytes, paper: Bytes
) -> list[Piece]:
    """Return components as pieces, best first."""
    pieces = [Piece(label, *box) for *box, label in boxes.tolist()]
    for piece in pieces:
        _weigh(piece, contrast, labels)
    for outer in pieces:
        if any(_is_frame(outer, inner) for inner in pieces):
            outer.score *= _UNLIKE
    looked_at: list[Piece] = []
    for _ in range(min(len(pieces), _LOOKED_AT)):
        best = max((each for each in pieces if each not in looked_at), key=lambda each: each.score)
        if looked_at and best.score < 0.25 * max(each.score for each in looked_at):
            break  # less than ``digits_among`` takes for a second digit
        best.edged = _edged(best, labels, contrast, gray, paper)
        best.score *= min(1, (best.edged / _EDGED) ** 3)
        looked_at.append(best)
    pieces.sort(key=lambda each: (each not in looked_at, -each.score))
    return pieces


def _weight_of_size(share: float) -> float:
    return min(share, _LARGE) ** _BY_SIZE


def _weigh(piece: Piece, contrast: Gray, labels: Labels) -> None:
    """Set how much a piece looks like a digit, by its contrast, size, place and shape."""
    height, width = labels.shape
    size = piece.size
    mask = labels[piece.around()] == piece.label
    values = contrast[piece.around()][mask]
    some = values[:: 1 + len(values) // _SAMPLE]
    place = int(0.9 * (len(some) - 1))  # all but the darkest tenth, which may be grain
    piece.contrast = float(np.partition(some, place)[place])
    piece.peak = float(values.max())
    piece.dense = int(np.count_nonzero(values >= 0.5 * piece.contrast))
    outline = [mask[0], mask[-1], mask[:, 0], mask[:, -1]]
    at_border = (piece.top == 0, piece.bottom == height, piece.left == 0, piece.right == width)
    sides = sorted(float(s.mean()) for s, at in zip(outline, at_border, strict=True) if at)
    piece.touches = len(sides)
    outlined = float(np.concatenate(outline).mean())
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(padded, cv2.DIST_C, 3)
    piece.stroke = 2 * float(depth.sum()) / piece.area
    piece.widest = 2 * float(depth.max())
    piece.score = piece.contrast * _weight_of_size(size / max(height, width))
    cut_out = (
        piece.fills(labels.shape)
        and outlined < _OUTLINED
        and piece.stroke > _LINE * size
        and (len(sides) < 2 or sides[-2] < _FULL_SIDE)
    )
    if sides and not cut_out:
        # A digit may run into the border; what hangs on it along a whole side comes from outside.
        outside = sides[-1] > _HALF_SIDE
        piece.score *= _TOUCHES * (_TWO_SIDES if len(sides) > 1 else 1)
        piece.score *= _WHOLE_SIDE if outside else 1
        # So does a line from side to side.
        piece.hangs = outside or (len(sides) > 1 and piece.stroke < _LINE * size)
    piece.score *= _likeness(piece, outlined)


def _likeness(piece: Piece, outlined: float) -> float:
    """Return how much a piece looks like a digit by its shape, 0 to 1.

    Args:
        outlined: how much of the outline of its box is ink.
    """
    h, w = piece.height, piece.width
    blob = piece.widest / min(h, w)
    result = 1.0
    if w > _WIDE * h:
        result *= _SELDOM if w < _WIDEST * h else _UNLIKE
    if h > _NARROWEST * w:
        result *= _SELDOM
    if piece.stroke > _BLOT * piece.size:
        result *= _UNLIKE
    if outlined > _OUTLINED and min(h, w) > 10 and blob < _BLOB:  # a frame of some size
        result *= _UNLIKE
    if (blob > _BLOB or piece.area > _FULL * h * w) and h < _ONE * w:
        result *= _UNLIKE
    return result


def _is_frame(outer: Piece, inner: Piece) -> bool:
    """Return whether a piece has another of its kind inside, as no digit has."""
    return (
        inner is not outer
        and inner.height > _INNER_HEIGHT * outer.height
        and inner.area > _INNER_AREA * outer.area
        and inner.contrast > _INNER_CONTRAST * outer.contrast
        and outer.height * outer.width > _ROOM * inner.height * inner.width
        and outer.contains(inner)
    )


def _edged(piece: Piece, labels: Labels, contrast: Gray, gray: Bytes, paper: Bytes) -> float:
    """Return how much of the outline of a piece is an edge from ink to paper, 0 to 1.

    All of it is, around a stroke; the end of a sheet or of a shadow has paper of two kinds beside
    it, of which one is like itself.
    """
    box = piece.around(4)
    mask = (labels[box] == piece.label).view(np.uint8)
    near, far = (cv2.dilate(mask, np.ones((size, size), np.uint8)) for size in (5, 7))
    ring = far > near
    core = (mask > 0) & (contrast[box] >= 0.8 * piece.contrast)  # the stroke, without its soft rim
    if not ring.any() or not core.any():
        return 1
    ink_is, paper_is = _middle(gray[box][core]), _middle(paper[box][core])
    if ink_is == paper_is:
        return 0
    # Across the edge of a shadow the paper is another, but still far from the ink. Halfway from ink
    # to paper is paper; paper nearly as dark as the ink, less than 0.3 of the way, is not believed.
    beside, paper_beside = (
        (values[box][ring].astype(np.float32) - ink_is) / (paper_is - ink_is)
        for values in (gray, paper)
    )
    return float(np.mean(beside > 0.5 * paper_beside.clip(0.3, 1)))


def _middle(values: Bytes) -> float:
    """Return the median, by counting, which takes a fraction of the time of sorting."""
    counts = np.bincount(values, minlength=256).cumsum()
    return float(np.searchsorted(counts, (len(values) + 1) // 2))


def largest_of(pieces: Sequence[Piece], longest: int) -> float:
    """Return the most that any part of any of these pieces can score."""
    return max((piece.most_score(longest) for piece in pieces), default=0.0)
