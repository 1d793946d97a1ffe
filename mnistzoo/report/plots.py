"""The plots of a report, each from what :meth:`Comparison.to_dict` says, as a Figure of its own."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from mnistzoo.report.labels import place_labels
from mnistzoo.report.style import ACCENT, ERROR, INK, MUTED, PAPER, STYLE
from mnistzoo.statistics import SIGNIFICANT, wilson_interval

_WIDE, _SQUARE = (3.9, 3.2), (3.9, 3.9)  # inches
_ACROSS = 36  # letters that have room below a square plot
_ACCURACIES = [0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.93, 0.94]
_ACCURACIES += [
    0.95,
    0.96,
    0.97,
    0.98,
    0.985,
    0.99,
    0.9925,
    0.995,
    0.996,
    0.997,
    0.998,
    0.9985,
    0.999,
    0.9995,
    0.9999,
]


@dataclass(frozen=True)
class Dot:
    """A model in a plot of its accuracy against what it costs.

    Attributes:
        name: of the model.
        cost: above 0.
        accuracy: 0 to 1.
        interval: of the accuracy.
        runs: the accuracy of each training run.
    """

    name: str
    cost: float
    accuracy: float
    interval: tuple[float, float] | None = None
    runs: Sequence[float] = ()


def pareto_front(dots: Sequence[Dot]) -> list[Dot]:
    """Return the dots that no other beats in accuracy at the same cost or less, cheapest first."""
    front: list[Dot] = []
    for dot in sorted(dots, key=lambda dot: (dot.cost, -dot.accuracy)):
        if not front or dot.accuracy > front[-1].accuracy:
            front.append(dot)
    return front


def accuracy_against(
    dots: Sequence[Dot],
    cost: str,
    images: int,
    *,
    size: tuple[float, float] = _WIDE,
    title: str = "",
) -> tuple[Figure, list[Annotation]]:
    """Draw accuracy against a cost, both logarithmic, with the Pareto front and the models' names.

    Args:
        dots: at least one.
        cost: what is on the axis of the costs, with its unit.
        images: of the test set; half an error is the least that the scale shows.
        size: inches.
        title: above the plot.

    Returns:
        The figure, and the names that there is room for.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _figure(size)
        least = 0.5 / images

        def error(accuracy: float) -> float:
            return max(1 - accuracy, least)

        spreads = []
        for dot in dots:
            if dot.interval is not None:
                low, high = map(error, dot.interval)
                axes.plot([dot.cost] * 2, [low, high], color=MUTED, linewidth=0.8, alpha=0.5)
            measured = [error(each) for each in (dot.accuracy, *(dot.interval or ()), *dot.runs)]
            spreads.append(((dot.cost, max(measured)), (dot.cost, min(measured))))
            runs = [error(run) for run in dot.runs]
            axes.plot([dot.cost] * len(runs), runs, "_", color=MUTED, markersize=7, alpha=0.7)
        front = pareto_front(dots)
        axes.plot(
            [dot.cost for dot in front],
            [error(dot.accuracy) for dot in front],
            drawstyle="steps-post",
            color=ACCENT,
            linewidth=1,
            alpha=0.5,
            label="Pareto front",
        )
        for dot in dots:
            filled = ACCENT if dot in front else "none"
            edge = ACCENT if dot in front else MUTED
            axes.plot(dot.cost, error(dot.accuracy), "o", color=edge, mfc=filled, markersize=5)
        _scale_costs(axes, [dot.cost for dot in dots])
        axes.set_xlabel(cost)
        _scale_errors(axes, [end for (_, worst), (_, best) in spreads for end in (worst, best)])
        axes.set_ylabel("accuracy, %")
        axes.set_title(title)
        figure.draw_without_rendering()
        ordered = [*front, *(dot for dot in dots if dot not in front)]
        names = place_labels(
            axes,
            [_short(dot.name) for dot in ordered],
            [(dot.cost, error(dot.accuracy)) for dot in ordered],
            [*_steps([(dot.cost, error(dot.accuracy)) for dot in front]), *spreads],
            fontsize=7.5,
        )
        return figure, names


def _steps(
    corners: Sequence[tuple[float, float]],
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    for (x, y), (next_x, next_y) in itertools.pairwise(corners):
        yield (x, y), (next_x, y)
        yield (next_x, y), (next_x, next_y)


def confusion(evaluation: Mapping[str, Any], classes: Sequence[str]) -> Figure:
    """Draw how often each class is taken for each other."""
    counts = np.array(evaluation["confusion"])
    errors = counts - np.diag(counts.diagonal())
    most = max(2, errors.max())
    with mpl.rc_context(STYLE):
        figure, axes = _figure(_SQUARE)
        axes.grid(visible=False)
        numbers = len(counts) <= 12
        for true, seen in zip(*np.nonzero(counts), strict=True):
            right = true == seen
            shade = 0.12 if right else 0.12 + 0.88 * np.log(counts[true, seen]) / np.log(most)
            colour = ACCENT if right else ERROR
            axes.add_patch(
                Rectangle((seen - 0.47, true - 0.47), 0.94, 0.94, color=colour, alpha=shade, lw=0)
            )
            if numbers:
                axes.text(
                    seen,
                    true,
                    str(counts[true, seen]),
                    ha="center",
                    va="center",
                    fontsize=6.5 if right else 7.5,
                    color=INK if shade < 0.6 else PAPER,
                )
        _name_classes(axes, classes)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        return figure


def calibration(evaluation: Mapping[str, Any]) -> Figure:
    """Draw how often predictions are right against their confidence, and how many there are."""
    bins = evaluation["calibration_bins"]
    edges = np.linspace(0, 1, len(bins) + 1)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=_SQUARE, layout="constrained")
        reliability, histogram = figure.subplots(2, sharex=True, height_ratios=(2, 1))
        reliability.plot([0, 1], [0, 1], linestyle=(0, (4, 3)), color=MUTED, linewidth=0.8)
        for each in bins:
            if not each["count"]:
                continue
            confidence, share = each["confidence"], each["right"] / each["count"]
            reliability.plot(
                [confidence] * 2,
                wilson_interval(each["right"], each["count"]),
                color=MUTED,
                linewidth=0.8,
                alpha=0.7,
            )
            reliability.plot(confidence, share, "o", color=ACCENT, markersize=4)
        reliability.set_ylim(-0.03, 1.03)
        reliability.set_ylabel("share that is right")
        reliability.text(
            0.98,
            0.05,
            f"expected calibration error {evaluation['expected_calibration_error']:.4f}",
            transform=reliability.transAxes,
            ha="right",
        )
        width = (edges[1] - edges[0]) * 0.4
        for side, colour, what, heights in (
            (-1, ACCENT, "right", [each["right"] for each in bins]),
            (1, ERROR, "wrong", [each["count"] - each["right"] for each in bins]),
        ):
            middles = (edges[:-1] + edges[1:]) / 2 + side * width / 2
            histogram.bar(middles, heights, width, color=colour, label=what)
        histogram.set_yscale("symlog", linthresh=1)
        histogram.set_ylim(0, evaluation["images"] * 1.5)
        histogram.yaxis.set_major_locator(FixedLocator([1, 10, 100, 1000, 10_000, 100_000]))
        histogram.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        histogram.yaxis.set_minor_locator(NullLocator())
        histogram.set_xlim(0, 1)
        histogram.set_xlabel("confidence")
        histogram.set_ylabel("images")
        histogram.legend(loc="best", ncols=2)
        return figure


def per_class(evaluation: Mapping[str, Any], classes: Sequence[str]) -> Figure:
    """Draw the share of each class that is recognised, with its 95 % interval."""
    counts = np.array(evaluation["confusion"])
    with mpl.rc_context(STYLE):
        figure, axes = _figure(_SQUARE)
        for true, row in enumerate(counts):
            if not row.sum():
                continue
            low, high = wilson_interval(int(row[true]), int(row.sum()))
            axes.plot([100 * low, 100 * high], [true] * 2, color=MUTED, linewidth=1.2, alpha=0.6)
            axes.plot(100 * row[true] / row.sum(), true, "o", color=ACCENT, markersize=4.5)
        axes.axvline(100 * evaluation["accuracy"], color=ACCENT, linewidth=0.8, alpha=0.5)
        axes.grid(visible=False, axis="y")
        axes.set_ylim(len(counts) - 0.4, -0.6)
        axes.yaxis.set_major_locator(FixedLocator(_ticks(len(counts))))
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda index, _: _short(classes[round(index)]))
        )
        axes.set_xlabel("recognised, % (the line: of all)")
        axes.set_ylabel("true")
        return figure


def learning_curves(histories: Sequence[Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw loss and validation accuracy over the epochs, each run's and their mean."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=_SQUARE, layout="constrained")
        validated = all(
            epoch["validation_accuracy"] is not None for run in histories for epoch in run
        )
        axes = figure.subplots(1 + validated, sharex=True, squeeze=False)[:, 0]
        curves: list[tuple[Axes, str, Callable[[Mapping[str, Any]], float]]] = [
            (axes[0], "training loss", lambda epoch: epoch["loss"])
        ]
        if validated:
            curves.append(
                (axes[1], "validation, %", lambda epoch: 100 * epoch["validation_accuracy"])
            )
        for each, label, value in curves:
            runs = [[value(epoch) for epoch in run] for run in histories if run]
            for run in runs:
                # One epoch is no line; it is a stroke, as runs are in the plots of accuracy.
                marker = "_" if len(run) == 1 else ""
                epochs = range(1, len(run) + 1)
                each.plot(epochs, run, marker=marker, ms=9, color=MUTED, linewidth=0.8, alpha=0.6)
            shared = min(map(len, runs))
            mean = np.mean([run[:shared] for run in runs], 0)
            marker = "o" if shared < 3 else ""
            each.plot(range(1, shared + 1), mean, marker=marker, color=ACCENT, linewidth=1.6, ms=4)
            each.set_ylabel(label)
            each.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes[-1].set_xlabel("epoch")
        return figure


def pairs(names: Sequence[str], differences: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw which models differ, of all pairs.

    Below the diagonal stands the p-value, above it how many images only the model of the row and
    how many only that of the column recognises.
    """
    place = {name: index for index, name in enumerate(names)}
    with mpl.rc_context(STYLE):
        side = max(_SQUARE[0], 1.2 + 0.38 * len(names))  # a cell holds its text
        figure, axes = _figure((side, side))
        axes.grid(visible=False)
        for each in differences:
            first, second = place[each["first"]], place[each["second"]]
            real = each["p_value"] < SIGNIFICANT
            for row, column, text in (
                (second, first, _p_value(each["p_value"])),
                (first, second, f"{each['only_first']}:{each['only_second']}"),
            ):
                axes.add_patch(
                    Rectangle(
                        (column - 0.47, row - 0.47),
                        *(0.94, 0.94),
                        color=ACCENT if real else MUTED,
                        alpha=0.28 if real else 0.06,
                        lw=0,
                    )
                )
                if len(names) <= 16:
                    axes.text(column, row, text, ha="center", va="center", fontsize=6.5)
        _name_classes(axes, names)
        return figure


def _p_value(p_value: float) -> str:
    return "<.001" if p_value < 0.001 else f"{p_value:.3f}".removeprefix("0")


def of_comparison(facts: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    """Yield the plots in which models stand side by side, and their names as files."""
    models = [model for model in facts["models"] if model["accuracy"] is not None]
    for key, cost in (
        ("params", "parameters"),
        ("multiply_adds", "multiply-adds of one image"),
        ("latency_us", "latency of one image, µs"),
    ):
        dots = [
            Dot(
                model["name"],
                model[key],
                model["accuracy"],
                tuple(model["accuracy_interval"]),
                model["accuracies"] if len(model["accuracies"]) > 1 else (),
            )
            for model in models
            if model[key]
        ]
        if len(dots) > 1:
            name = f"accuracy-{key.removesuffix('_us').replace('_', '-')}"
            yield name, accuracy_against(dots, cost, facts["dataset"]["images"])[0]
    if len(facts["pairs"]) > 1:
        yield "pairs", pairs([model["name"] for model in models], facts["pairs"])


def of_model(model: Mapping[str, Any], classes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Yield the plots of one model, and what each shows."""
    if (evaluation := model["evaluation"]) is not None:
        yield "confusion", confusion(evaluation, classes)
        yield "calibration", calibration(evaluation)
        yield "classes", per_class(evaluation, classes)
    if any(model["history"] or ()):
        yield "learning", learning_curves(model["history"])


def _figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def _scale_costs(axes: Axes, costs: Sequence[float]) -> None:
    axes.set_xscale("log")
    low, high = min(costs), max(costs)
    axes.set_xlim(low / 2, high * 2)
    # One mark a decade would be too few for costs that lie close together.
    steps = (1.0,) if high / low > 300 else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _scale_errors(axes: Axes, errors: Sequence[float]) -> None:
    """Show the share of errors, logarithmic and upside down, so that 99.7 and 99.8 % lie apart."""
    worst, best = min(max(errors) * 1.15, 1.02), min(errors) / 1.15
    axes.set_yscale("log")
    axes.set_ylim(worst, best)
    ticks: list[float] = []
    gap = (worst / best) ** (1 / 12)
    for error in (1 - accuracy for accuracy in _ACCURACIES):
        if best <= error <= worst and (not ticks or ticks[-1] > error * gap):
            ticks.append(error)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 - 100 * error:.6g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    """Make the axes a square table with a class a row and a column."""
    count = len(classes)
    names = [_short(name) for name in classes]
    axes.set_aspect("equal")
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(count - 0.5, -0.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(_ticks(count)))
        axis.set_major_formatter(FuncFormatter(lambda index, _: names[round(index)]))
    axes.tick_params(length=0)
    if len(_ticks(count)) * max(map(len, names)) > _ACROSS:
        axes.tick_params(axis="x", rotation=90)
    axes.spines[:].set_visible(False)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _ticks(count: int) -> range:
    return range(0, count, 1 + count // 30)
