"""The colours and settings that all plots share."""

from typing import Any

INK, MUTED, GRID = "#1b1f24", "#667080", "#e2e6ea"
ACCENT, ERROR = "#2360b5", "#bf4510"
PAPER = "#ffffff"
# What stands for a colour may be another one on a dark page; see mnistzoo.report.svg.
COLOURS = {
    "ink": INK,
    "muted": MUTED,
    "grid": GRID,
    "accent": ACCENT,
    "error": ERROR,
    "paper": PAPER,
}
STYLE: Any = {
    "font.size": 8,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "text.parse_math": False,  # a name may hold dollar signs
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "mnistzoo",
}
