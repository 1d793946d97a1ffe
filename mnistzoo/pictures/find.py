"""Where the digits of a picture are, and the ink of each; needs numpy and OpenCV.

The paper is looked for locally: a closing fills whatever is narrower than a pen's stroke and leaves
what is wider, so that the edge of a shadow, of a sheet or of a table is paper on both sides. Ink is
what differs from it. Connected pieces of ink are weighed by how much they look like a digit, at
several levels of contrast, for dark ink and for light, for thin pens and for thick; the view with
the best piece wins.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from mnistzoo.pictures.plain import as_ink, contrast_with_border, is_plain

Gray = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Weights = tuple[float, float, float]

_WORKING_SIZE = 480  # pixels of the longer side
_SMALLEST = 224
_LITTLE = 40  # pixels of the longer side, below which a picture has room for a digit only
_THIN, _THICK = 0.09, 0.36  # pens that are filled, as parts of the longer side
_LOOKED_AT = 8  # pieces, whose outlines are followed
_MOST_GRAIN = 0.2
_LEAST_SCORE = 0.004
_LEAST_EDGED = 0.7
_THINNEST = 0.06  # pen, as a part of the digit: MNIST has hardly a thinner one
_LEVELS = (0.1, 0.17, 0.28, 0.42, 0.6)  # of contrast, at which pieces are looked for
_DARKEST_PAPER = 48  # of 255: contrast is measured against this much light at least
_GRAY: Weights = (0.299, 0.587, 0.114)  # ITU-R BT.601
_COLOURS: tuple[Weights, ...] = ((1, 0, 0), (0, 0, 1), (0.5, -0.5, 0), (0, -0.5, 0.5))


@dataclass(frozen=True)
class Digit:
    """A piece of ink that looks like a digit.

    Attributes:
        box: left, top, right, bottom in pixels of the picture.
        ink: float32 ``(height, width)`` of the box, 0 (paper) to 1 (ink).
        contrast: of the ink against the paper, 0 to 1.
        doubt: what speaks against it, such as a neighbour that it touches.
    """

    box: tuple[int, int, int, int]
    ink: Gray
    contrast: float
    doubt: str | None = None


@dataclass(frozen=True)
class Found:
    """What was found on a picture.

    Attributes:
        digits: left to right, lines top to bottom.
        main: the place of the digit that stands out.
        contrast: float32, of the working picture against the paper, 0 to 1.
        mask: what of it was taken for ink of digits.
        rival: how much the best of the other pieces looks like a digit, relative to the main one.
        grain: how far the contrast of mere paper goes.
    """

    digits: list[Digit]
    main: int
    contrast: Gray
    mask: Mask
    rival: float
    grain: float

    @property
    def why_none(self) -> str:
        """Why there are no digits, as the end of a sentence about the picture."""
        if float(self.contrast.max(initial=0)) < _LEVELS[0]:
            return "is blank; nothing on it differs from the paper"
        return "shows nothing that looks like a digit; crop the picture to the digit"


@dataclass(eq=False)
class _Piece:
    """A connected piece of ink: its number among the labels, its box, how it looks."""

    label: int
    left: int
    top: int
    width: int
    height: int
    area: int
    contrast: float = 0
    score: float = 0
    touches: int = 0
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

    def contains(self, other: "_Piece") -> bool:
        some = max(2, self.size // 50)
        return (
            self.left - some <= other.left
            and other.right <= self.right + some
            and self.top - some <= other.top
            and other.bottom <= self.bottom + some
        )


@dataclass
class _View:
    """The picture under one guess: ink darker or lighter than paper, pen thin or thick."""

    weights: Weights
    light: bool
    pen: float
    gray: Bytes
    paper: Bytes
    contrast: Gray
    grain: float
    labels: NDArray[np.int32]
    pieces: list[_Piece] = field(default_factory=list)

    @property
    def score(self) -> float:
        return self.pieces[0].score if self.pieces else 0


def find(pixels: Bytes, *, drawing: bool = False) -> Found:
    """Return the digits on a picture.

    Args:
        pixels: uint8 ``(height, width, 3)``.
        drawing: all that differs from the paper is one digit, whatever it looks like; so
            ``mnistzoo/web/static/drawing.js`` does it too.
    """
    gray = _gray(pixels, _GRAY)
    if drawing or max(gray.shape) <= _LITTLE or is_plain(gray):
        return _all_of(gray)
    view = _best_view(pixels, _GRAY)
    if (not view.pieces or view.pieces[0].contrast < 0.25) and _colourful(pixels):
        # Ink as light as the paper, of another colour.
        others = [_best_view(pixels, each) for each in _COLOURS]
        view = max([view, *others], key=lambda each: each.score)
    if view.score < _LEAST_SCORE:
        return Found([], 0, view.contrast, np.zeros(view.contrast.shape, bool), 0, view.grain)
    digits = _digits(view)
    main = digits[0]
    taken = [label for piece in digits for label in piece.parts]
    rivals = [piece.score for piece in view.pieces if piece.label not in taken]
    digits = _in_reading_order(digits)
    return Found(
        digits=[_extract(pixels, view, piece) for piece in digits],
        main=digits.index(main),
        contrast=view.contrast,
        mask=np.isin(view.labels, taken),
        rival=max(rivals, default=0.0) / main.score,
        grain=view.grain,
    )


def _all_of(gray: Bytes) -> Found:
    """Return all that differs from the paper as one digit."""
    contrast = contrast_with_border(gray)
    share = contrast / np.float32(255)
    if float(share.max()) <= _LEVELS[0]:
        return Found([], 0, share, np.zeros(gray.shape, bool), 0, 0)
    ink = as_ink(contrast)
    left, top, width, height = cv2.boundingRect((ink > 0).view(np.uint8))
    right, bottom = left + width, top + height
    digit = Digit(
        box=(left, top, right, bottom),
        ink=_thickened(ink[top:bottom, left:right]),
        contrast=float(share.max()),
    )
    return Found([digit], 0, share, ink > 0.5, 0, 0)


def _colourful(pixels: Bytes) -> bool:
    sample = pixels[:: -(-pixels.shape[0] // 60), :: -(-pixels.shape[1] // 60)].astype(int)
    hues = sample.reshape(-1, 3) @ np.array([[1, 0], [-1, -1], [0, 1]])
    low, high = np.percentile(hues, [0.5, 99.5], axis=0)
    return bool((high - low).max() > 40)


# From pixels to views


def _gray(pixels: Bytes, weights: Weights) -> Bytes:
    if weights == _GRAY:
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    offset = 128 if sum(weights) < 0.5 else 0
    return (pixels @ np.array(weights, np.float32) + offset).clip(0, 255).astype(np.uint8)


def _working(pixels: Bytes, weights: Weights) -> Bytes:
    """Return the picture in gray, of the size at which digits are looked for."""
    gray = _gray(pixels, weights)
    longest = max(gray.shape)
    if longest > _WORKING_SIZE or longest < _SMALLEST:
        factor = min(_WORKING_SIZE, max(longest, _SMALLEST)) / longest
        size = max(1, round(gray.shape[1] * factor)), max(1, round(gray.shape[0] * factor))
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        gray = cv2.resize(gray, size, interpolation=how)
    return cv2.GaussianBlur(gray, (0, 0), 0.8)


def _closed(gray: Bytes, pen: float) -> Bytes:
    """Return the picture with everything dark filled that is narrower than a pen."""
    size = max(3, round(pen)) | 1
    return cv2.morphologyEx(gray, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))


def _opened(gray: Bytes, pen: float) -> Bytes:
    """Return the picture without everything light that is narrower than a pen."""
    size = max(3, round(pen)) | 1
    return cv2.morphologyEx(gray, cv2.MORPH_OPEN, np.ones((size, size), np.uint8))


def _best_view(pixels: Bytes, weights: Weights) -> _View:
    """Return the view that shows the best digit, its pieces best first."""
    gray = _working(pixels, weights)
    thin, thick = (part * max(gray.shape) for part in (_THIN, _THICK))
    closed, opened = _closed(gray, thin), _opened(gray, thin)
    views = [
        _look(weights, False, thin, gray, closed),
        _look(weights, True, thin, gray, opened),
    ]
    view = max(views, key=lambda each: each.score)
    if not view.pieces or not _beyond_question(view.pieces[0], thin):
        # What is thin and of the other kind, a digit on a sheet, must not cut what is wide.
        wider = [
            _look(weights, False, thick, gray, np.maximum(_closed(opened, thick), closed)),
            _look(weights, True, thick, gray, np.minimum(_opened(closed, thick), opened)),
        ]
        # A tight crop has nothing around the digit, and its thin corners are paper.
        plain = [
            _look(weights, False, thick, gray, _closed(gray, thick)),
            _look(weights, True, thick, gray, _opened(gray, thick)),
        ]
        wider += [each for each in plain if each.pieces and _fills(each.pieces[0], gray)]
        for other in wider:
            if other.pieces and _is_better(other, view):
                view = other
        views += wider
    for other in views:
        # The hole of a nought is a fine digit too, if paper is taken for ink.
        if (
            other.light != view.light
            and other.score > 0.4 * view.score
            and other.pieces[0].widest < 0.3 * other.pieces[0].size
            and abs(other.pieces[0].contrast - view.pieces[0].contrast) < 0.1
            and other.pieces[0].contains(view.pieces[0])
        ):
            return other
    return view


def _beyond_question(piece: _Piece, pen: float) -> bool:
    return piece.edged > 0.9 and not piece.touches and piece.widest < 0.5 * pen


def _fills(piece: _Piece, gray: Bytes) -> bool:
    height, width = gray.shape
    return (piece.height > 0.9 * height and piece.width > 0.8 * width) or (
        piece.width > 0.97 * width and piece.height > 0.5 * height
    )


def _is_better(wider: _View, view: _View) -> bool:
    """Return whether a view for a thicker pen shows the better digit."""
    if not view.pieces or wider.score > 1.25 * view.score:
        return True
    whole, bit = wider.pieces[0], view.pieces[0]
    # Under a thin pen a thick stroke is seen in bits.
    return (
        wider.score > 0.6 * view.score
        and whole.contrast > 0.8 * bit.contrast
        and whole.contains(bit)
        and whole.area > 1.04 * bit.area
    )


def _look(weights: Weights, light: bool, pen: float, gray: Bytes, paper: Bytes) -> _View:
    if light:
        contrast = cv2.subtract(gray, paper, dtype=cv2.CV_32F)
        contrast /= max(float(np.percentile(gray[::3, ::3], 99.5)), _DARKEST_PAPER)
    else:
        contrast = cv2.subtract(paper, gray, dtype=cv2.CV_32F)
        contrast /= np.maximum(paper, _DARKEST_PAPER)
    low, middle = np.percentile(contrast[::4, ::4], [8, 38])
    if middle > _MOST_GRAIN:  # a crop so tight that most of it is ink
        middle = low
    contrast -= np.float32(middle)
    grain = float(middle - low)
    view = _View(weights, light, pen, gray, paper, contrast, grain, np.zeros(gray.shape, np.int32))
    for level in _LEVELS:
        if level < 2.2 * grain:
            continue
        labels, pieces = _pieces(view, level)
        if not pieces:
            break
        if pieces[0].score > 1.08 * view.score:
            view.labels, view.pieces = labels, pieces
    return view


# From a view to pieces


def _pieces(view: _View, level: float) -> tuple[NDArray[np.int32], list[_Piece]]:
    """Return the connected pieces of ink of more contrast than a level, best first."""
    mask = view.contrast > level
    labels, pieces = _labelled(view, mask)
    if any(piece.touches > 1 and piece.size > 0.6 * max(mask.shape) for piece in pieces):
        cleared = without_lines(without_lines(mask).T).T
        if cleared is not mask:
            others = _labelled(view, cleared)
            if others[1] and others[1][0].score > 0.4 * pieces[0].score:
                return others
    return labels, pieces


def _labelled(view: _View, mask: Mask) -> tuple[NDArray[np.int32], list[_Piece]]:
    # On one thread the algorithm of Grana and others takes half the time of the default.
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        np.ascontiguousarray(mask).view(np.uint8), 8, cv2.CV_32S, cv2.CCL_BBDT
    )
    sizes = stats[1:, 2:4].max(axis=1, initial=0)
    least = max(7, 0.018 * max(mask.shape))
    largest = np.argsort(-sizes, kind="stable")[:25]
    pieces = [_Piece(int(i) + 1, *stats[i + 1].tolist()) for i in largest if sizes[i] >= least]
    for piece in pieces:
        _weigh(piece, view, labels)
    for outer in pieces:
        if any(_is_frame(outer, inner) for inner in pieces):
            outer.score *= 0.2
    looked_at: list[_Piece] = []
    for _ in range(min(len(pieces), _LOOKED_AT)):
        best = max((each for each in pieces if each not in looked_at), key=lambda each: each.score)
        if looked_at and best.score < 0.1 * max(each.score for each in looked_at):
            break
        best.edged = _edged(best, view, labels)
        best.score *= min(1, (best.edged / 0.85) ** 3)
        looked_at.append(best)
    pieces.sort(key=lambda each: (each not in looked_at, -each.score))
    return labels, pieces


def _weigh(piece: _Piece, view: _View, labels: NDArray[np.int32]) -> None:
    """Set how much a piece looks like a digit, by its contrast, size, place and shape."""
    height, width = labels.shape
    longest = max(height, width)
    h, w, size = piece.height, piece.width, piece.size
    mask = labels[piece.around()] == piece.label
    values = view.contrast[piece.around()][mask]
    place = int(0.9 * (len(values) - 1))
    piece.contrast = float(np.partition(values, place)[place])
    outline = [mask[0], mask[-1], mask[:, 0], mask[:, -1]]
    at_border = (piece.top == 0, piece.bottom == height, piece.left == 0, piece.right == width)
    sides = sorted(float(s.mean()) for s, at in zip(outline, at_border, strict=True) if at)
    piece.touches = len(sides)
    outlined = float(np.concatenate(outline).mean())
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(padded, cv2.DIST_C, 3)
    piece.stroke = 2 * float(depth.sum()) / piece.area
    piece.widest = 2 * float(depth.max())
    blob = piece.widest / min(h, w)
    score = piece.contrast * min(size / longest, 0.6) ** 0.75
    cut_out = (
        _fills(piece, view.gray)
        and outlined < 0.55
        and piece.stroke > 0.02 * size
        and (len(sides) < 2 or sides[-2] < 0.8)
    )
    if sides and not cut_out:
        # A digit may run into the border; what hangs on it along a whole side comes from outside.
        hangs = sides[-1] > 0.5
        score *= (0.25 if hangs else 0.6) if len(sides) == 1 else (0.12 if hangs else 0.3)
    if w > 1.8 * h:
        score *= 0.35 if w < 2.6 * h else 0.1
    if h > 14 * w:
        score *= 0.3
    if piece.stroke > 0.3 * size:
        score *= 0.15
    if outlined > 0.6 and min(h, w) > 10 and blob < 0.6:
        score *= 0.1
    if blob > 0.62 and h < 2.2 * w:
        score *= 0.15
    piece.score = score


def _is_frame(outer: _Piece, inner: _Piece) -> bool:
    """Return whether a piece has another of its kind inside, as no digit has."""
    return (
        inner is not outer
        and outer.contains(inner)
        and inner.height > 0.12 * outer.height
        and inner.contrast > 0.6 * outer.contrast
        and inner.area > 0.03 * outer.area
        and outer.height * outer.width > 2 * inner.height * inner.width
    )


def _edged(piece: _Piece, view: _View, labels: NDArray[np.int32]) -> float:
    """Return how much of the outline of a piece is an edge from ink to paper, 0 to 1.

    All of it is, around a stroke; the end of a sheet or of a shadow has paper of two kinds beside
    it, of which one is like itself.
    """
    box = piece.around(4)
    mask = (labels[box] == piece.label).view(np.uint8)
    near, far = (cv2.dilate(mask, np.ones((size, size), np.uint8)) for size in (5, 7))
    ring = far > near
    core = (mask > 0) & (view.contrast[box] >= 0.8 * piece.contrast)
    if not ring.any() or not core.any():
        return 1
    values = view.gray[box]
    ink, paper = float(np.median(values[core])), float(np.median(view.paper[box][core]))
    if ink == paper:
        return 0
    return float(np.mean((values[ring].astype(np.float32) - ink) / (paper - ink) > 0.5))


def without_lines(mask: Mask) -> Mask:
    """Return the ink without the lines that cross the picture from side to side, nearly level.

    Where a stroke crosses a line, it is thicker there than the line, and stays.
    """
    height, width = mask.shape
    y, x = np.nonzero(mask)
    if len(y) < width // 2:
        return mask
    some = slice(None, None, max(1, len(y) // 4_000))
    y, x = y[some], x[some] - width // 2
    slopes = np.linspace(-0.16, 0.16, 33)
    rows = np.rint(y - slopes[:, None] * x).astype(int) + height
    rows += 3 * height * np.arange(len(slopes))[:, None]
    counts = np.bincount(rows.ravel(), minlength=3 * height * len(slopes)).reshape(len(slopes), -1)
    slope = slopes[int(np.square(counts).sum(axis=1).argmax())]
    shift = np.rint(slope * (np.arange(width) - width // 2)).astype(int)
    y = np.arange(height)[:, None] + shift
    level = mask[y.clip(0, height - 1), np.arange(width)] & (y >= 0) & (y < height)
    level = level.view(np.uint8)
    near = cv2.dilate(level, np.ones((3, 1), np.uint8)).astype(np.float32)
    length = max(9, width // 7) | 1
    core = cv2.blur(near, (length, 1), borderType=cv2.BORDER_REPLICATE) > 0.85
    line = cv2.dilate(core.view(np.uint8), np.ones((1, length), np.uint8)) > 0
    line &= line.mean(axis=1, keepdims=True) > 0.5
    on_line = (level > 0) & line
    runs = np.count_nonzero(on_line[1:] & ~on_line[:-1]) + np.count_nonzero(on_line[0])
    if runs == 0 or np.count_nonzero(on_line) / runs > 0.015 * max(height, width) + 1:
        return mask
    thickness = int(1.5 * np.count_nonzero(on_line) / runs + 2)
    strokes = cv2.morphologyEx(level, cv2.MORPH_OPEN, np.ones((thickness, 1), np.uint8)) > 0
    gone_y, gone_x = np.nonzero(on_line & ~strokes)
    result = mask.copy()
    result[gone_y + shift[gone_x], gone_x] = False
    return result


# From pieces to digits


def _digits(view: _View) -> list[_Piece]:
    """Return the pieces that are digits, the one that stands out first."""
    main = view.pieces[0]
    _attach(main, view)
    digits = [main]
    for piece in view.pieces[1:]:
        if (
            not any(piece.label in each.parts for each in digits)
            and piece.score > 0.3 * main.score
            and 0.45 * main.height < piece.height < 2 * main.height
            and piece.contrast > 0.6 * main.contrast
        ):
            _attach(piece, view)
            digits.append(piece)
    return digits


def _attach(main: _Piece, view: _View) -> None:
    """Add the pieces that belong to a digit that came apart, such as the bar of a five."""
    main.parts = [main.label]
    for piece in view.pieces:
        if piece is main or piece.contrast < 0.5 * main.contrast or piece.touches:
            continue
        shared = min(main.right, piece.right) - max(main.left, piece.left)
        below = max(main.top, piece.top) - min(main.bottom, piece.bottom)
        if (
            0.02 * main.area < piece.area < 0.6 * main.area
            and piece.width < 1.3 * max(main.width, 0.6 * main.height)
            and (
                (shared > 0.5 * piece.width and below < 0.12 * main.size)
                or (
                    piece.height < 0.4 * main.height
                    and piece.width > piece.height
                    and main.left < piece.left < main.right + 0.2 * main.size
                    and piece.bottom < main.top + 0.3 * main.height
                    and below < 0.08 * main.size
                )
            )
        ):
            main.parts.append(piece.label)
            right, bottom = max(main.right, piece.right), max(main.bottom, piece.bottom)
            main.left, main.top = min(main.left, piece.left), min(main.top, piece.top)
            main.width, main.height = right - main.left, bottom - main.top


def _in_reading_order(pieces: list[_Piece]) -> list[_Piece]:
    """Return pieces line by line, each line left to right."""
    lines: list[list[_Piece]] = []
    for piece in sorted(pieces, key=lambda each: each.top + each.bottom):
        middle = (piece.top + piece.bottom) / 2
        if lines and any(each.top <= middle <= each.bottom for each in lines[-1]):
            lines[-1].append(piece)
        else:
            lines.append([piece])
    return [piece for line in lines for piece in sorted(line, key=lambda each: each.left)]


def _extract(pixels: Bytes, view: _View, piece: _Piece) -> Digit:
    """Return the ink of a piece, in the picture's own pixels."""
    height, width = view.labels.shape
    full_height, full_width = pixels.shape[:2]
    margin = 3
    rows, columns = piece.around(margin)
    top, bottom = rows.start * full_height // height, -(-rows.stop * full_height // height)
    left, right = columns.start * full_width // width, -(-columns.stop * full_width // width)
    gray = _gray(pixels[top:bottom, left:right], view.weights).astype(np.float32)
    core = np.isin(view.labels[rows, columns], piece.parts)
    core &= view.contrast[rows, columns] > 0.4 * piece.contrast
    near = cv2.dilate(core.view(np.uint8), np.ones((5, 5), np.uint8))
    size = (gray.shape[1], gray.shape[0])
    paper = cv2.resize(view.paper[rows, columns], size, interpolation=cv2.INTER_LINEAR)
    allowed = cv2.resize(near.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.3
    contrast = gray - paper if view.light else (paper - gray) / np.maximum(paper, 1)
    values = contrast[allowed]
    peak = max(float(np.percentile(values[values > 0.5 * values.max()], 70)), 1e-6)
    low = max(0.12, min(2 * view.grain / piece.contrast, 0.4)) * peak
    ink = np.where((contrast > low) & allowed, contrast / peak, 0).clip(0, 1).astype(np.float32)
    ink = _thickened(ink)
    inked_rows, inked_columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    y0, y1 = int(inked_rows[0]), int(inked_rows[-1]) + 1
    x0, x1 = int(inked_columns[0]), int(inked_columns[-1]) + 1
    box = (left + x0, top + y0, left + x1, top + y1)
    doubt = "its outline is not that of a pen's stroke" if piece.edged < _LEAST_EDGED else None
    return Digit(box, ink[y0:y1, x0:x1], piece.contrast, doubt)


def _thickened(ink: Gray) -> Gray:
    """Return the ink of a thin pen as if the pen were as thin as MNIST's thinnest."""
    mask = np.pad(ink > 0.4, 1)
    depth = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 3)
    stroke = 4 * float(depth.sum()) / max(1, int(mask.sum())) - 1
    missing = round(_THINNEST * max(ink.shape) - stroke)
    if missing <= 0:
        return ink
    round_pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (missing + 1, missing + 1))
    return cv2.dilate(ink, round_pen)
