"""Figures as SVG that takes its colours from the page that it stands in."""

import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure

from mnistzoo.report.style import COLOURS, STYLE

_NUMBERS = re.compile(r' (?:d|x|y|points|transform)="[^"]*"')
_DIGITS = re.compile(r"(\.\d\d)\d+")


def as_svg(figure: Figure, *, transparent: bool = False) -> str:
    """Return a figure as an SVG document; the same figure gives the same text."""
    stream = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(
            stream, format="svg", transparent=transparent, metadata={"Date": None, "Creator": None}
        )
    return stream.getvalue()


def as_inline_svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure as an element for an HTML page, without ``<`` of any text in it unescaped.

    Args:
        figure: drawn in the colours of :mod:`mnistzoo.report.style`; each becomes a CSS variable
            such as ``--ink``, which the page may set.
        name: unlike that of any other figure on the page; ASCII letters, digits and hyphens.
        description: what a screen reader says; escaped for an attribute.
    """
    document = as_svg(figure, transparent=True)
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = _NUMBERS.sub(lambda found: _DIGITS.sub(r"\1", found[0]), svg)
    for variable, colour in COLOURS.items():
        svg = svg.replace(f": {colour}", f": var(--{variable}, {colour})")
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    opening = f'<svg {box[0]} role="img" aria-label="{description}">'
    return re.sub(r"\s*\n\s*", " ", opening + svg[svg.index(">") + 1 :])
