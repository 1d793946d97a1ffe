"""Where the digits of a picture are, and the ink of each; needs numpy and scipy.

The paper is looked for locally: a closing fills whatever is narrower than a pen's stroke and leaves
what is wider, so that the edge of a shadow, of a sheet or of a table is paper on both sides. Ink is
what differs from it. Connected pieces of ink are weighed by how much they look like a digit.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Gray = NDArray[np.float32]
Mask = NDArray[np.bool_]

_WORKING_SIZE = 480  # pixels of the longer side
_SMALLEST = 224
_LITTLE = 40
_PENS = (0.09, 0.36)  # what is filled as ink, as parts of the longer side
_LEVELS = (0.1, 0.17, 0.28, 0.42, 0.6)  # of contrast, at which pieces are looked for
_DARKEST_PAPER = 48  # of 255: contrast is measured against this much light at least
Weights = tuple[float, float, float]
_GRAY: Weights = (0.299, 0.587, 0.114)
_COLOURS: tuple[Weights, ...] = ((1, 0, 0), (0, 0, 1), (0.5, -0.5, 0), (0, -0.5, 0.5))
_ALL_NEIGHBOURS = np.ones((3, 3), bool)


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
class Piece:
    """A connected piece of ink at one level."""

    label: int
    box: tuple[slice, slice]
    area: int
    contrast: float = 0
    score: float = 0
    parts: list[int] = field(default_factory=list)
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def height(self) -> int:
        return self.box[0].stop - self.box[0].start

    @property
    def width(self) -> int:
        return self.box[1].stop - self.box[1].start


@dataclass
class View:
    """The picture under one guess: ink darker or lighter, pen thin or thick."""

    weights: Weights
    light: bool
    pen: float
    gray: Gray
    paper: Gray
    contrast: Gray
    grain: float
    level: float = 0
    labels: NDArray[np.int32] | None = None
    pieces: list[Piece] = field(default_factory=list)

    @property
    def score(self) -> float:
        return self.pieces[0].score if self.pieces else 0


def _gray(pixels: NDArray[np.uint8], weights: Weights) -> Gray:
    gray = pixels @ np.array(weights, np.float32)
    return gray + 128 if sum(weights) < 0.5 else gray


def _closed(gray: Gray, pen: float) -> Gray:
    """Return the picture with everything dark filled that is narrower than a pen."""
    size = max(3, round(pen)) | 1
    dilated = ndimage.maximum_filter(gray, size, mode="constant", cval=-np.inf)
    return ndimage.minimum_filter(dilated, size, mode="constant", cval=np.inf)


def _views(gray: Gray, weights: Weights) -> list[View]:
    longest = max(gray.shape)
    thin, thick = (part * longest for part in _PENS)
    dark = _closed(gray, thin)
    light = -_closed(-gray, thin)
    # What is thin and of the other kind, a digit on a sheet, must not cut what is wide into parts.
    wide_dark = np.maximum(_closed(light, thick), dark)
    wide_light = np.minimum(-_closed(-dark, thick), light)
    brightest = max(float(np.percentile(gray[::3, ::3], 99.5)), _DARKEST_PAPER)
    views = []
    for pen, paper, sign in (
        (thin, dark, 1),
        (thin, light, -1),
        (thick, wide_dark, 1),
        (thick, wide_light, -1),
    ):
        scale = np.maximum(paper, _DARKEST_PAPER) if sign > 0 else np.float32(brightest)
        contrast = sign * (paper - gray) / scale
        low, middle = np.percentile(contrast[::3, ::3], [8, 38])
        views.append(View(weights, sign < 0, pen, gray, paper, contrast - middle, float(middle - low)))
    return views


def _pieces(view: View, level: float) -> tuple[NDArray[np.int32], list[Piece]]:
    contrast = view.contrast
    mask = contrast > level
    longest = max(contrast.shape)
    labels, found = _labelled(view, mask)
    if any(piece.notes["touches"] > 1 and piece.area > 2 * longest // 3 for piece in found):
        cleared = without_lines(without_lines(mask).T).T
        if cleared is not mask:
            others = _labelled(view, cleared)
            if max((p.score for p in others[1]), default=0) > 0.4 * max(p.score for p in found):
                return others
    return labels, found


def _labelled(view: View, mask: Mask) -> tuple[NDArray[np.int32], list[Piece]]:
    labels, _ = ndimage.label(mask, _ALL_NEIGHBOURS)
    longest = max(mask.shape)
    least = max(7, 0.018 * longest)
    boxes = ndimage.find_objects(labels)
    found = []
    for number, box in enumerate(boxes, 1):
        if max(box[0].stop - box[0].start, box[1].stop - box[1].start) >= least:
            found.append(Piece(number, box, 0))
    found.sort(key=lambda each: -max(each.height, each.width))
    found = found[:40]
    for piece in found:
        _weigh(piece, view, labels)
    _judge_together(found)
    found.sort(key=lambda each: -each.score)
    for piece in found[:4]:
        edged = _edged(piece, view, labels)
        piece.notes["edged"] = edged
        piece.score *= min(1, (edged / 0.85) ** 3)
    return labels, found


def _weigh(piece: Piece, view: View, labels: NDArray[np.int32]) -> None:
    height, width = labels.shape
    longest = max(height, width)
    mask = labels[piece.box] == piece.label
    values = view.contrast[piece.box][mask]
    piece.area = len(values)
    k = max(0, int(0.9 * len(values)) - 1)
    piece.contrast = float(np.partition(values, k)[k])
    h, w = mask.shape
    size = max(h, w)
    sides = (
        mask[0].mean() if piece.box[0].start == 0 else 0,
        mask[-1].mean() if piece.box[0].stop == height else 0,
        mask[:, 0].mean() if piece.box[1].start == 0 else 0,
        mask[:, -1].mean() if piece.box[1].stop == width else 0,
    )
    touches = sum(side > 0 for side in sides)
    outline = float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean())
    depth = ndimage.distance_transform_cdt(np.pad(mask, 1), "chessboard")
    inner = float(depth.max())
    stroke = 2.0 * float(depth.sum()) / piece.area  # mean over a stroke of width s: s / 2
    blob = 2 * inner / min(h, w)
    score = piece.contrast * min(size / longest, 0.6) ** 0.75
    tight = h > 0.9 * height and w > 0.8 * width or w > 0.97 * width and h > 0.5 * height
    if touches and not (
        tight and outline < 0.55 and sorted(sides)[-2] < 0.8 and stroke > 0.02 * size
    ):
        score *= 0.12 if touches > 1 else 0.25
    if w > 1.8 * h:
        score *= 0.1
    if stroke > 0.3 * size:
        score *= 0.15
    if h > 14 * w:
        score *= 0.3
    if outline > 0.6 and min(h, w) > 10 and blob < 0.6:
        score *= 0.1
    if blob > 0.62 and h < 2.2 * w:
        score *= 0.15
    piece.score = score
    piece.notes = {"outline": outline, "stroke": stroke, "blob": blob, "touches": touches}


def _edged(piece: Piece, view: View, labels: NDArray[np.int32]) -> float:
    """Return how much of the outline of a piece is an edge from paper to ink, 0 to 1.

    All of it is, around a stroke; the end of a sheet or of a shadow has paper of two kinds beside
    it, of which one is like itself.
    """
    margin = 4
    box = tuple(
        slice(max(0, side.start - margin), side.stop + margin) for side in piece.box
    )
    mask = labels[box] == piece.label
    wide = ndimage.maximum_filter(mask, 7)
    ring = wide & ~ndimage.maximum_filter(mask, 5)
    if not ring.any():
        return 1
    values = view.gray[box]
    core = mask & (view.contrast[box] >= 0.8 * piece.contrast)
    ink = float(np.median(values[core]))
    paper = float(np.median(view.paper[box][core]))
    return float(np.mean((values[ring] - ink) / (paper - ink) > 0.5)) if paper != ink else 0


def _contains(outer: Piece, inner: Piece) -> bool:
    (oy, ox), (iy, ix) = outer.box, inner.box
    return (
        oy.start <= iy.start and iy.stop <= oy.stop and ox.start <= ix.start and ix.stop <= ox.stop
    )


def _judge_together(pieces: list[Piece]) -> None:
    """Lower the scores of frames: a digit has no other piece of its kind inside."""
    for outer in pieces:
        for inner in pieces:
            if (
                inner is not outer
                and _contains(outer, inner)
                and inner.height > 0.12 * outer.height
                and inner.contrast > 0.6 * outer.contrast
                and inner.area > 0.03 * outer.area
                and outer.height * outer.width > 2 * inner.height * inner.width
            ):
                outer.score *= 0.2
                break


def _look(view: View) -> View:
    best: tuple[float, float, NDArray[np.int32], list[Piece]] | None = None
    for level in _LEVELS:
        if level < 2.2 * view.grain:
            continue
        labels, pieces = _pieces(view, level)
        if not pieces:
            break
        pieces.sort(key=lambda each: -each.score)
        if best is None or pieces[0].score > 1.08 * best[0]:
            best = pieces[0].score, level, labels, pieces
    if best is not None:
        _, view.level, view.labels, view.pieces = best
    return view


def working(pixels: NDArray[np.uint8], weights: Weights) -> Gray:
    """Return the picture in gray, of the size at which digits are looked for."""
    gray = _gray(pixels, weights)
    longest = max(gray.shape)
    factor = 1.0
    if longest > _WORKING_SIZE:
        factor = _WORKING_SIZE / longest
    elif longest < _SMALLEST:
        factor = _SMALLEST / longest
    if factor != 1:
        from PIL import Image

        size = max(1, round(gray.shape[1] * factor)), max(1, round(gray.shape[0] * factor))
        resample = Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC
        gray = np.asarray(Image.fromarray(gray).resize(size, resample))
    return ndimage.gaussian_filter(gray, 0.8)


def find(pixels: NDArray[np.uint8]) -> Found:
    """Return the digits on a picture, uint8 ``(height, width, 3)``."""
    if max(pixels.shape) <= _LITTLE:
        return _little(pixels)
    view = _best_view(working(pixels, _GRAY), _GRAY)
    sample = pixels[:: max(1, pixels.shape[0] // 60), :: max(1, pixels.shape[1] // 60)].astype(int)
    colour = sample.reshape(-1, 3) @ np.array([[1, 0], [-1, -1], [0, 1]])
    colourful = np.ptp(np.percentile(colour, [0.5, 99.5], axis=0), axis=0).max() > 40
    if colourful and (not view.pieces or view.pieces[0].contrast < 0.25):
        # Ink as light as the paper, of another colour.
        others = [_best_view(working(pixels, each), each) for each in _COLOURS]
        view = max([view, *others], key=lambda each: each.score)
    if view.labels is None:
        none = np.zeros(view.contrast.shape, bool)
        return Found([], 0, view.contrast, none, 0, view.grain)
    main = view.pieces[0]
    _attach(main, view)
    digits = [main]
    for piece in view.pieces[1:]:
        if (
            piece.label not in main.parts
            and piece.score > 0.3 * main.score
            and 0.45 * main.height < piece.height < 2 * main.height
            and piece.contrast > 0.6 * main.contrast
        ):
            _attach(piece, view)
            digits.append(piece)
    taken = [label for piece in digits for label in piece.parts]
    rivals = [piece.score for piece in view.pieces if piece.label not in taken]
    digits = _in_reading_order(digits)
    return Found(
        digits=[_extract(pixels, view, piece) for piece in digits],
        main=digits.index(main),
        contrast=view.contrast,
        mask=np.isin(view.labels, taken),
        rival=max(rivals, default=0) / main.score,
        grain=view.grain,
    )


def _in_reading_order(pieces: list[Piece]) -> list[Piece]:
    """Return pieces line by line, each line left to right."""
    lines: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda each: each.box[0].start + each.box[0].stop):
        middle = (piece.box[0].start + piece.box[0].stop) / 2
        if lines and any(each.box[0].start <= middle <= each.box[0].stop for each in lines[-1]):
            lines[-1].append(piece)
        else:
            lines.append([piece])
    return [piece for line in lines for piece in sorted(line, key=lambda each: each.box[1].start)]


def _little(pixels: NDArray[np.uint8]) -> Found:
    """Return all of a picture of a few pixels as one digit; nothing else has room there."""
    gray = _gray(pixels, _GRAY)
    edges = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    contrast = np.abs(gray - np.median(edges))
    peak = max(float(contrast.max()), 1)
    ink = np.where(contrast > 0.06 * peak, contrast / peak, 0).astype(np.float32)
    digit = Digit((0, 0, gray.shape[1], gray.shape[0]), ink, peak / 255)
    return Found([digit] if peak > 255 * _LEVELS[0] else [], 0, ink * (peak / 255), ink > 0.5, 0, 0)


def _best_view(gray: Gray, weights: Weights) -> View:
    views = [_look(view) for view in _views(gray, weights)]
    view = max(views[:2], key=lambda each: each.score)
    for other in views[2:]:
        if not other.pieces:
            continue
        if not view.pieces or other.score > 1.25 * view.score:
            view = other
            continue
        # Under a thin pen a thick stroke is seen in bits.
        whole, bit = other.pieces[0], view.pieces[0]
        if (
            other.score > 0.6 * view.score
            and whole.contrast > 0.8 * bit.contrast
            and _contains(whole, bit)
            and whole.area > 1.2 * bit.area
        ):
            view = other
    for other in views:
        if other.light != view.light and other.score > 0.4 * view.score and _around(other, view):
            return other
    return view


def _around(outer: View, inner: View) -> bool:
    """Return whether the best piece of one view is around that of another, as ink is around a hole."""
    return _contains(outer.pieces[0], inner.pieces[0])


def _attach(main: Piece, view: View) -> None:
    """Add the pieces that belong to a digit that came apart, such as the bar of a five."""
    main.parts = [main.label]
    for piece in view.pieces:
        if piece is main or piece.contrast < 0.5 * main.contrast or piece.notes["touches"]:
            continue
        (my, mx), (py, px) = main.box, piece.box
        inside = min(mx.stop, px.stop) - max(mx.start, px.start)
        gap_y = max(my.start, py.start) - min(my.stop, py.stop)
        gap_x = max(mx.start, px.start) - min(mx.stop, px.stop)
        size = max(main.height, main.width)
        smaller = piece.area < 0.6 * main.area and piece.area > 0.02 * main.area
        if (
            smaller
            and inside > 0.5 * piece.width
            and piece.width < 1.3 * max(main.width, 0.4 * main.height)
            and max(gap_y, gap_x) < 0.12 * size
        ):
            main.parts.append(piece.label)
            main.box = (
                slice(min(my.start, py.start), max(my.stop, py.stop)),
                slice(min(mx.start, px.start), max(mx.stop, px.stop)),
            )


def without_lines(mask: Mask) -> Mask:
    """Return the ink without the lines that cross the picture from side to side, nearly level.

    Where a stroke crosses a line, it is thicker there than the line, and stays.
    """
    height, width = mask.shape
    y, x = np.nonzero(mask)
    if len(y) < width // 2:
        return mask
    thin = slice(None, None, max(1, len(y) // 5000))
    y, x = y[thin], x[thin] - width // 2
    slopes = np.linspace(-0.16, 0.16, 33)
    sharpness = [
        np.square(np.bincount((y - np.rint(slope * x) + height).astype(int)).astype(float)).sum()
        for slope in slopes
    ]
    shift = np.rint(slopes[int(np.argmax(sharpness))] * (np.arange(width) - width // 2)).astype(int)
    rows = np.arange(height)[:, None] + shift
    columns = np.arange(width)[None]
    level = mask[rows.clip(0, height - 1), columns] & (rows >= 0) & (rows < height)
    near = ndimage.maximum_filter1d(level, 3, axis=0)
    length = max(9, width // 7)
    core = ndimage.uniform_filter1d(near.astype(np.float32), length, axis=1) > 0.85
    line = ndimage.maximum_filter1d(core, length, axis=1)
    line &= line.mean(axis=1, keepdims=True) > 0.5
    on_line = level & line
    runs = np.count_nonzero(on_line[1:] & ~on_line[:-1]) + np.count_nonzero(on_line[0])
    if runs == 0 or np.count_nonzero(on_line) / runs > 0.015 * max(height, width) + 1:
        return mask
    thickness = int(1.5 * np.count_nonzero(on_line) / runs + 2)
    shrunk = ndimage.minimum_filter1d(level, thickness, axis=0)
    strokes = ndimage.maximum_filter1d(shrunk, thickness, axis=0, origin=-1 if thickness % 2 == 0 else 0)
    gone = on_line & ~strokes
    result = mask.copy()
    gone_y, gone_x = np.nonzero(gone)
    result[gone_y + shift[gone_x], gone_x] = False
    return result


def _extract(pixels: NDArray[np.uint8], view: View, piece: Piece) -> Digit:
    """Return the ink of a piece, in the picture's own pixels."""
    from PIL import Image

    assert view.labels is not None
    height, width = view.labels.shape
    scale_y, scale_x = pixels.shape[0] / height, pixels.shape[1] / width
    margin = 3
    y0, y1 = max(0, piece.box[0].start - margin), min(height, piece.box[0].stop + margin)
    x0, x1 = max(0, piece.box[1].start - margin), min(width, piece.box[1].stop + margin)
    t, b = int(y0 * scale_y), min(pixels.shape[0], int(np.ceil(y1 * scale_y)))
    lft, r = int(x0 * scale_x), min(pixels.shape[1], int(np.ceil(x1 * scale_x)))
    gray = _gray(pixels[t:b, lft:r], view.weights)
    core = np.isin(view.labels[y0:y1, x0:x1], piece.parts)
    core &= view.contrast[y0:y1, x0:x1] > 0.4 * piece.contrast
    near = ndimage.maximum_filter(core, 5)
    size = (r - lft, b - t)
    box = (lft / scale_x - x0, t / scale_y - y0, r / scale_x - x0, b / scale_y - y0)
    box = (max(0, box[0]), max(0, box[1]), min(x1 - x0, box[2]), min(y1 - y0, box[3]))
    paper = np.asarray(
        Image.fromarray(view.paper[y0:y1, x0:x1]).resize(size, Image.Resampling.BILINEAR, box)
    )
    allowed = np.asarray(
        Image.fromarray(near.astype(np.float32)).resize(size, Image.Resampling.BILINEAR, box)
    )
    contrast = (gray - paper) if view.light else (paper - gray) / np.maximum(paper, 1)
    values = contrast[allowed > 0.3]
    peak = max(float(np.percentile(values[values > 0.5 * values.max()], 70)), 1e-6)
    low = max(0.12 * peak, min(2 * view.grain / piece.contrast, 0.4) * peak)
    ink = np.where((contrast > low) & (allowed > 0.3), contrast / peak, 0).clip(0, 1)
    return Digit((lft, t, r, b), ink.astype(np.float32), piece.contrast)
