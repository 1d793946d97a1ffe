"""Which pieces of ink are digits, and in which order they are read."""

from mnistzoo.pictures.pieces import Piece


def digits_among(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces that are digits, the one that stands out first.

    Each is given the pieces that belong to it.

    Args:
        pieces: best first, at least one.
    """
    main = pieces[0]
    _attach(main, pieces)
    digits = [main]
    for piece in pieces[1:]:
        if (
            not any(piece.label in each.parts for each in digits)
            and piece.score > 0.3 * main.score
            and 0.45 * main.height < piece.height < 2 * main.height
            and piece.contrast > 0.6 * main.contrast
        ):
            _attach(piece, pieces)
            digits.append(piece)
    return digits


def _attach(main: Piece, pieces: list[Piece]) -> None:
    """Add the pieces that belong to a digit that came apart, such as the bar of a five."""
    main.parts = [main.label]
    for piece in pieces:
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


def in_reading_order(pieces: list[Piece]) -> list[Piece]:
    """Return pieces line by line, each line left to right."""
    lines: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda each: each.top + each.bottom):
        middle = (piece.top + piece.bottom) / 2
        if lines and any(each.top <= middle <= each.bottom for each in lines[-1]):
            lines[-1].append(piece)
        else:
            lines.append([piece])
    return [piece for line in lines for piece in sorted(line, key=lambda each: each.left)]
