"""The digits of a picture of any size, among whatever else is on it; needs numpy and OpenCV.

Ink is what differs from the paper around it. Connected pieces of ink are weighed by how much they
look like a digit; the best is one, and so is what resembles it.
"""

import numpy as np

from mnistzoo.pictures.digits import digits_among, in_reading_order
from mnistzoo.pictures.found import Digit, Found, none_on
from mnistzoo.pictures.ink import ink_of, thickened
from mnistzoo.pictures.paper import COLOURS, GRAY, Bytes, gray_of, is_colourful
from mnistzoo.pictures.pieces import Piece
from mnistzoo.pictures.plain import is_plain
from mnistzoo.pictures.views import View, best_view
from mnistzoo.pictures.whole import all_of

_LEAST_SCORE = 0.004
# Of 839 digits, 0.97 of the outline or more was an edge; of pale shadows read as one, 0.71 to 0.91.
_LEAST_EDGED, _LEAST_EDGED_PALE = 0.7, 0.95
_PALE = 0.5  # contrast; those shadows had up to 0.39


def search(pixels: Bytes, *, drawing: bool = False) -> Found:
    """Return the digits on a picture, uint8 ``(height, width, 3)``; a drawing is one digit."""
    if drawing or is_plain(gray_of(pixels, GRAY)):
        return all_of(pixels, thickened)
    view = best_view(pixels, GRAY)
    if (not view.pieces or view.pieces[0].contrast < 0.25) and is_colourful(pixels):
        # Ink as light as the paper, of another colour.
        others = [best_view(pixels, each) for each in COLOURS]
        view = max([view, *others], key=lambda each: each.score)
    if view.score < _LEAST_SCORE:
        return none_on(view.contrast, view.grain)
    pieces = digits_among(view.pieces)
    main = pieces[0]
    taken = [label for piece in pieces for label in piece.parts]
    rivals = [piece.score for piece in view.pieces if piece.label not in taken]
    pieces = in_reading_order(pieces)
    return Found(
        digits=[_digit(piece, view, pixels) for piece in pieces],
        main=pieces.index(main),
        contrast=view.contrast,
        mask=np.isin(view.labels, taken),
        rival=max(rivals, default=0.0) / main.score,
        grain=view.grain,
    )


def _digit(piece: Piece, view: View, pixels: Bytes) -> Digit:
    box, ink = ink_of(piece, view, pixels)
    return Digit(box, ink, piece.contrast, _doubt(piece))


def _doubt(piece: Piece) -> str | None:
    if piece.edged < (_LEAST_EDGED_PALE if piece.contrast < _PALE else _LEAST_EDGED):
        return "its outline is not that of a pen's stroke"
    if piece.hangs:
        return "it hangs on a side of the picture"
    return None
