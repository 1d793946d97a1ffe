"""The picture as it looks under one guess of its pen and paper; needs numpy and OpenCV.

Pieces of ink are looked for at several levels of contrast, for dark ink and for light, for thin
pens and for thick; the view with the best piece wins.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from mnistzoo.pictures.lines import without_lines
from mnistzoo.pictures.paper import (
    Bytes,
    Gray,
    Weights,
    closed,
    contrast_with,
    opened,
    two_tones,
    working,
)
from mnistzoo.pictures.pieces import (
    Boxes,
    Labels,
    Mask,
    Piece,
    all_among,
    any_fills,
    components_of,
    largest_of,
    pieces_of,
)

LEVELS = (0.1, 0.17, 0.28, 0.42, 0.6)  # of contrast, at which pieces are looked for
# Where no source is named, a number parts digits from what else the scenes of tests/pictures show.
_THIN, _THICK = 0.09, 0.36  # pens that are filled, as parts of the longer side
_GRAIN = 2.2  # times the grain, the least level: above it is hardly any paper
_BETTER = 1.08  # times the score, for which a higher level is taken
_MATTERS = 0.4  # of the best view's score; what cannot reach it need not be looked for
_WIDER_BETTER = 1.25  # times the score of a thin pen, with which a thick one is taken
_WIDER_ENOUGH = 0.6  # the same, if its piece is the whole of which the thin pen's is a bit
_AS_DARK = 0.8  # of the contrast of a bit, the least of the whole
_MORE_INK = 1.04  # times a bit's, the least of the whole
_ALIKE = 0.1  # contrast, by which ink and the paper beside it may differ
_STROKE = 0.9  # of the outline edged: ink by a pen; paper ends where nothing does
_CROSSES = 0.6  # of the longer side: a piece that large may be lines


@dataclass
class View:
    """The picture under one guess: ink darker or lighter than paper, pen thin or thick."""

    weights: Weights
    light: bool
    gray: Bytes
    paper: Bytes
    contrast: Gray
    grain: float
    labels: Labels
    pieces: list[Piece] = field(default_factory=list)

    @property
    def score(self) -> float:
        return self.pieces[0].score if self.pieces else 0


def best_view(pixels: Bytes, weights: Weights) -> View:
    """Return the view that shows the best digit, its pieces best first."""
    gray = working(pixels, weights)
    thin, thick = (part * max(gray.shape) for part in (_THIN, _THICK))
    dark_paper, light_paper = closed(gray, thin), opened(gray, thin)
    view = _look(weights, False, gray, dark_paper)
    other = _look(weights, True, gray, light_paper, view.score)
    views = [view, other]
    view = max(views, key=lambda each: each.score)
    if not view.pieces or not _beyond_question(view.pieces[0], thin, max(gray.shape)):
        # What is thin and of the other kind, a digit on a sheet, must not cut what is wide.
        dark_wide = np.maximum(closed(light_paper, thick), dark_paper)
        light_wide = np.minimum(opened(dark_paper, thick), light_paper)
        wider = [
            _look(weights, is_light, gray, wide, view.score)
            for is_light, paper, wide in (
                (False, dark_paper, dark_wide),
                (True, light_paper, light_wide),
            )
            if (cv2.absdiff(paper, wide) > LEVELS[0] * paper).any()  # else all ink is thin
        ]
        # A tight crop has too little paper around the digit to be looked for locally.
        light, dark = two_tones(gray)
        plain = [
            _look(weights, False, gray, np.full_like(gray, light), view.score, filling=True),
            _look(weights, True, gray, np.full_like(gray, dark), view.score, filling=True),
        ]
        wider += [each for each in plain if each.pieces and each.pieces[0].fills(gray.shape)]
        for other in wider:
            if other.pieces and _is_better(other, view):
                view = other
        views += wider
    for other in views:
        if (
            other.light != view.light
            and other.score > _MATTERS * view.score
            and _is_the_ink(other.pieces[0], view.pieces[0])
        ):
            return other
    return view


def _is_the_ink(piece: Piece, other: Piece) -> bool:
    """Return whether a piece is ink, and another, of the opposite kind, the paper beside it."""
    if piece.contrast > other.contrast + _ALIKE:
        # A sheet on a table may look like a digit, but it differs less from the table than the ink
        # on it does from the sheet.
        return other.contains(piece) and piece.stroke < 0.5 * other.stroke and piece.edged > _STROKE
    if piece.contrast < other.contrast - _ALIKE:
        return False
    # The hole of a nought is a fine digit too; the stroke around it is thin for its size.
    surrounds = piece.contains(other) and piece.widest < 0.3 * piece.size
    # So is what a digit leaves of its paper before a frame or the end of the sheet; but it ends
    # where nothing does. It lies in the box of the digit, is larger than a part of it, and thicker.
    beside = (
        piece.overlap(other) > 0.5
        and piece.size > 0.4 * other.size
        and piece.stroke < 0.7 * other.stroke
        and piece.edged > _STROKE > other.edged
    )
    return surrounds or beside


def _beyond_question(piece: Piece, pen: float, longest: int) -> bool:
    # What is small may be the end or corner of a stroke that is wider than the pen; what is half
    # as thick as the pen that is filled may be pale where it is thicker.
    large = piece.size > 0.2 * longest
    return large and piece.edged > _STROKE and not piece.touches and piece.widest < 0.5 * pen


def _is_better(wider: View, view: View) -> bool:
    """Return whether a view for a thicker pen shows the better digit."""
    if not view.pieces or wider.score > _WIDER_BETTER * view.score:
        return True
    whole, bit = wider.pieces[0], view.pieces[0]
    # Under a thin pen a thick stroke is seen in bits, or pale in its middle.
    return (
        wider.score > _WIDER_ENOUGH * view.score
        and whole.contrast > _AS_DARK * bit.contrast
        and whole.contains(bit)
        and whole.dense > _MORE_INK * bit.dense
    )


def _look(
    weights: Weights,
    light: bool,
    gray: Bytes,
    paper: Bytes,
    rival: float = 0,
    *,
    filling: bool = False,
) -> View:
    """Return the view at the level that shows the best piece.

    Args:
        rival: the score of the best view so far; a view that cannot come near it may have none.
        filling: only pieces that fill the picture matter.
    """
    contrast, grain = contrast_with(paper, gray, light)
    view = View(weights, light, gray, paper, contrast, grain, np.zeros(gray.shape, np.int32))
    before = None
    for level in LEVELS:
        if level < _GRAIN * grain:
            continue
        mask = contrast > level
        labels, boxes = components_of(mask)
        if not len(boxes) or (filling and not any_fills(boxes, gray.shape)):
            break
        if before is not None and all_among(boxes, before):
            continue  # nothing came apart
        before = boxes
        labels, pieces = _pieces_of(mask, labels, boxes, view)
        if pieces[0].score > _BETTER * view.score:
            view.labels, view.pieces = labels, pieces
        most = largest_of(pieces, max(gray.shape))
        if most < max(_BETTER * view.score, _MATTERS * rival):
            break  # at higher levels there are parts of these pieces, and no others
    return view


def _pieces_of(mask: Mask, labels: Labels, boxes: Boxes, view: View) -> tuple[Labels, list[Piece]]:
    """Return the components of a mask as pieces, best first, without lines across the picture."""
    seen = view.contrast, view.gray, view.paper
    pieces = pieces_of(labels, boxes, *seen)
    if any(piece.touches > 1 and piece.size > _CROSSES * max(mask.shape) for piece in pieces):
        cleared = without_lines(mask)
        if cleared is not mask:
            other_labels, other_boxes = components_of(cleared)
            others = pieces_of(other_labels, other_boxes, *seen)
            # Of a digit as tall as the picture, what is left may be a bit.
            if others and others[0].score > 0.4 * pieces[0].score:
                return other_labels, others
    return labels, pieces
