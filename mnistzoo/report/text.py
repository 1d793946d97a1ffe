"""Results as people read them in a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from mnistzoo.errors import one_line
from mnistzoo.output import say, say_note, terminal_width
from mnistzoo.report import reliability
from mnistzoo.report.figures import (
    NOTHING,
    as_changed,
    counted,
    grouped,
    percent,
    test_images,
    whose,
)
from mnistzoo.report.table import Column, Table
from mnistzoo.statistics import SIGNIFICANT

if TYPE_CHECKING:
    from mnistzoo.benchmarks import Benchmarks
    from mnistzoo.comparison import Comparison, Difference, Measurement, Row
    from mnistzoo.evaluation import ConfidenceBand, Evaluation, RepeatedEvaluation
    from mnistzoo.export import Export, OnnxFigures
    from mnistzoo.training import TrainingResult

_LEAST_PATH = 32  # columns of a picture's path
_BESIDE_PATH = 70  # columns beside it
_WIDEST_MATRIX = 10  # classes whose confusion matrix fits 80 columns


def show_comparison(comparison: "Comparison", *, wide: bool) -> None:
    """Print a comparison's tables and notes."""
    comparison_table(comparison).show(wide=wide)
    if (table := benchmarks_table(comparison)) is not None:
        table.show(wide=wide)
    for note in comparison_notes(comparison):
        say_note(note)


def comparison_table(comparison: "Comparison") -> "Table[Row]":
    """Return a row a model."""
    columns: list[Column[Row]] = [
        Column("model", lambda row: row.name),
        Column("parameters", lambda row: grouped(row.params), "right", 5),
        Column("buffers", _measured(lambda found: grouped(found.buffers or None)), "right", -1),
        Column("multiply-adds", _measured(lambda found: grouped(found.multiply_adds)), "right"),
        Column("accuracy %", _accuracy, "right", 6),
        Column("95 % interval", _measured(_interval), "right", 3),
        Column("worst class", _measured(_worst_class), "right", 1),
        Column("file KB", _measured(_file_kilobytes), "right", 2),
        Column("train s", _measured(_train_seconds), "right", 4),
        Column("1 image us", _measured(lambda found: grouped(found.latency_us)), "right", 4),
        Column("256 images us", _measured(lambda found: grouped(found.latency_256_us)), "right"),
    ]
    if comparison.training is None:
        columns = [column for column in columns if column.heading != "train s"]
    if not any(row.measurement and row.measurement.buffers for row in comparison.rows):
        columns = [column for column in columns if column.heading != "buffers"]
    return Table(columns + _reliability_columns(comparison), comparison.rows)


def _reliability_columns(comparison: "Comparison") -> "list[Column[Row]]":
    facts = {row.name: row.to_dict() for row in comparison.rows} if comparison.columns else {}

    def column(heading: str) -> "Column[Row]":
        def value(row: "Row") -> str:
            return percent(reliability.figures(facts[row.name], comparison.columns).get(heading))

        return Column(heading, value, "right", 5)

    return [column(each) for each in reliability.headings(facts.values(), comparison.columns)]


def _measured(figure: "Callable[[Measurement], str]") -> "Callable[[Row], str]":
    return lambda row: NOTHING if row.measurement is None else figure(row.measurement)


def _accuracy(row: "Row") -> str:
    if row.measurement is None or row.accuracy is None:
        return "failed"
    spread = row.measurement.accuracy_sd
    return f"{percent(row.accuracy)}{'' if spread is None else f' sd {percent(spread)}'}"


def _interval(found: "Measurement") -> str:
    if found.accuracy_interval is None:
        return NOTHING
    low, high = found.accuracy_interval
    return f"{percent(low)} to {percent(high)}"


def _worst_class(found: "Measurement") -> str:
    if found.per_class_accuracy is None:
        return NOTHING
    classes = found.evaluations[0].classes
    by_class = zip(found.per_class_accuracy, classes, strict=True)
    share, name = min(((share, name) for share, name in by_class if share is not None))
    return f"{name}: {percent(share)}"


def _file_kilobytes(found: "Measurement") -> str:
    return NOTHING if found.file_bytes is None else grouped(found.file_bytes / 1000)


def _train_seconds(found: "Measurement") -> str:
    return NOTHING if found.train_seconds is None else f"{found.train_seconds:,.1f}"


def benchmarks_table(comparison: "Comparison") -> Table[str] | None:
    """Return what pytest-benchmark measured of the models, a row a figure, if that was joined."""
    if comparison.benchmarks is None:
        return None

    def column(row: "Row") -> Column[str]:
        figures = row.benchmarks or {}
        return Column(row.name, lambda name: _benchmark(figures.get(name)), "right")

    return Table(
        [Column("benchmark", str), *map(column, comparison.rows)], comparison.benchmarks.names
    )


def _benchmark(value: float | None) -> str:
    return f"{value:.3g}" if value is not None and value < 100 else grouped(value)


def comparison_notes(comparison: "Comparison") -> list[str]:
    """Return the lines that stand below a comparison's table."""
    machine, data = comparison.environment, comparison.dataset
    images = test_images(data)
    measured = [row.measurement for row in comparison.rows if row.measurement]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    plan = comparison.training
    notes = [f"{row.name}: {row.error}" for row in comparison.rows if row.error]
    if not measured:  # nothing is above that these would explain
        return notes
    if plan is None:
        shipped = [bool(row.provider) for row in comparison.rows if row.accuracy is not None]
        other = data["weights_from"] and any(shipped)
        trained = f", trained on it or on {data['weights_from']}," if other else ""
        notes.append(f"accuracy of {whose(shipped)}{trained} on the {images} of {data['name']}")
    else:
        notes.append(
            f"trained now on {data['name']}"
            f"{', validation split included' if plan.final else ''}, "
            f"recipe {plan.recipe}{as_changed(plan.overrides)}, {counted(plan.seeds, 'seed')}; "
            f"{'mean ' if plan.seeds > 1 else ''}accuracy at the end of training on the {images}, "
            "with the interval of one run"
        )
    timed_by = {each.runtime for each in measured if each.latency_us is not None}
    eager = "" if timed_by and "PyTorch" not in timed_by else "PyTorch eager, "
    notes.append(
        f"latency: {eager}median, {machine['device']} ({machine['processor']}), "
        f"1 thread; {versions}"
    )
    several_seeds = plan is not None and plan.seeds > 1
    for row in comparison.rows:
        if row.measurement is None:
            continue
        if row.measurement.predictive_entropy is not None:
            notes.append(
                f"{row.name}: draws random numbers; mean "
                f"{'of' if several_seeds else 'and sd of'} {row.measurement.repeats} evaluations"
                f"{' of each seed' if several_seeds else ''}, predictive entropy "
                f"{row.measurement.predictive_entropy:.3f} nats"
            )
        if row.measurement.runtime != "PyTorch":
            of_graph = "; parameters are those of its graph"
            notes.append(
                f"{row.name}: computed and timed by {row.measurement.runtime}"
                f"{of_graph if row.measurement.runtime == 'ONNX Runtime' else ''}"
            )
    if comparison.columns:
        notes += reliability.notes([row.to_dict() for row in comparison.rows], comparison.columns)
    if comparison.benchmarks is not None:
        notes += _benchmark_notes(comparison, comparison.benchmarks)
    if plan is not None and plan.seeds > 1 and plan.cores > 1:
        notes.append(
            f"train s: of one run; runs whose recipe leaves cores free shared {plan.cores} cores"
        )
    return notes + _difference_notes(comparison)


def _benchmark_notes(comparison: "Comparison", benchmarks: "Benchmarks") -> Iterator[str]:
    yield f"benchmarks: {benchmarks.file}, {benchmarks.machine}"
    for row in comparison.rows:
        then, now = benchmarks.providers.get(row.name), f"{row.provider} {row.version}".rstrip()
        if then is None:
            yield f"{row.name}: not in {benchmarks.file}"
        elif then != now:
            yield f"{row.name}: benchmarked as {then}, now {now}"


def _difference_notes(comparison: "Comparison") -> list[str]:
    """Return which neighbours in accuracy differ, and which are not shown to."""
    if not comparison.differences:
        return []
    plan = comparison.training
    of_seeds = "; of the first seeds" if plan is not None and plan.seeds > 1 else ""
    differ = [each for each in comparison.differences if each.p_value < SIGNIFICANT]
    alike = [each for each in comparison.differences if each.p_value >= SIGNIFICANT]
    notes = []
    if differ:
        notes.append(
            f"significantly better than the next (images that only one of the two recognises"
            f"{of_seeds}): {'; '.join(map(_better, differ))}"
        )
    if alike:
        pairs = "; ".join(f"{each.first} and {each.second}" for each in alike)
        notes.append(f"not shown to differ{of_seeds}: {pairs}")
    tests = len(comparison.differences)
    adjusted = f" Holm-adjusted for {tests} tests," if tests > 1 else ""
    notes.append(
        "tested: each model against the next in accuracy, McNemar's exact test,"
        f"{adjusted} p < {SIGNIFICANT}"
    )
    return notes


def _better(difference: "Difference") -> str:
    pair = [
        (difference.only_first, difference.first),
        (difference.only_second, difference.second),
    ]
    (fewer, worse), (more, better) = sorted(pair)
    p_value = difference.p_value
    shown = "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.4f}"
    return f"{better} than {worse} ({more} to {fewer}, {shown})"


def show_repeated(repeated: "RepeatedEvaluation", title: str) -> None:
    """Print what is of all evaluations of a model that draws random numbers."""
    say(
        f"{title}: {percent(repeated.accuracy)} % sd {percent(repeated.accuracy_sd)}, mean of "
        f"{len(repeated.evaluations)} evaluations"
    )
    entropy = repeated.predictive_entropy
    right = repeated.evaluations[0].correct
    shown = [f"{entropy.mean():.3f} nats"]
    for part, images in (("right", entropy[right]), ("wrong", entropy[~right])):
        if len(images):
            shown.append(f"{images.mean():.3f} where the first is {part}")
    say(f"  predictive entropy {', '.join(shown)}")


def show_evaluation(evaluation: "Evaluation", title: str) -> None:
    """Print an evaluation."""
    low, high = evaluation.accuracy_interval
    right = int(evaluation.correct.sum())
    say(f"{title}: {percent(evaluation.accuracy)} % of {len(evaluation.labels):,} images")
    say(f"  95 % interval {percent(low)} to {percent(high)} %; {right:,} right")
    say(f"  expected calibration error {evaluation.expected_calibration_error:.4f}")
    _classes_table(evaluation).show()
    names = evaluation.classes
    confusions = [
        f"{names[true]} as {names[seen]} ({n})" for true, seen, n in evaluation.top_confusions
    ]
    say_note(f"most frequent confusions: {', '.join(confusions) or 'none'}")
    columns: list[Column[ConfidenceBand]] = [
        Column("confidence", lambda band: band.label),
        Column("images", lambda band: grouped(band.count), "right"),
        Column("right %", lambda band: percent(band.accuracy), "right"),
    ]
    Table(columns, evaluation.confidence_bands).show()


def _classes_table(evaluation: "Evaluation") -> Table[int]:
    """Return a row a class, with the confusion matrix where it is no wider than ten classes."""
    confusion, accuracies = evaluation.confusion, evaluation.per_class_accuracy
    names = evaluation.classes

    def labelled(label: int) -> str:
        return names[label] if names[label] == str(label) else f"{label} {names[label]}"

    def predicted_as(seen: int) -> Column[int]:
        heading = f"as {seen}" if names[seen] == str(seen) else str(seen)
        return Column(heading, lambda true: str(confusion[true, seen] or "."), "right")

    def mistaken(true: int) -> str:
        errors = confusion[true].copy()
        errors[true] = 0
        return f"{names[errors.argmax()]} ({errors.max()})" if errors.any() else NOTHING

    labels = range(len(confusion))
    columns: list[Column[int]] = [
        Column("class", labelled),
        Column("accuracy %", lambda true: percent(accuracies[true]), "right"),
    ]
    if len(labels) <= _WIDEST_MATRIX:
        columns += map(predicted_as, labels)
    else:
        columns.append(Column("mostly mistaken for", mistaken))
    return Table(columns, labels)


def show_training(
    result: "TrainingResult", test: "Evaluation | RepeatedEvaluation", path: object
) -> None:
    """Print what a training run came to, and where its weights are."""
    from mnistzoo.evaluation import RepeatedEvaluation  # needs torch

    told = result.provenance
    low, high = test.accuracy_interval
    say(
        f"{told.model}, recipe {told.recipe_name}{as_changed(told.overrides)}, seed {told.seed}: "
        f"{counted(told.epochs_completed, 'epoch')} of {told.training_images:,} images of "
        f"{told.dataset} in {result.seconds:.1f} s on {told.environment['device']}"
    )
    if result.validation_accuracy is not None:
        say(f"  validation accuracy {percent(result.validation_accuracy)} %")
    repeated = (
        f" sd {percent(test.accuracy_sd)}, mean of {len(test.evaluations)} evaluations"
        if isinstance(test, RepeatedEvaluation)
        else ""
    )
    say(
        f"  test accuracy {percent(test.accuracy)} %{repeated} "
        f"(95 % interval {percent(low)} to {percent(high)} %)"
    )
    if told.initial_weights:
        say(f"  fine-tuned from SHA-256 {told.initial_weights}")
    say(f"  weights in {path}")


def show_export(export: "Export") -> None:
    """Print the figures of an exported model."""
    figures = {"float32": export.fp32} | ({"int8": export.int8} if export.int8 else {})
    columns: list[Column[tuple[str, OnnxFigures]]] = [
        Column("precision", lambda row: row[0]),
        Column("file KB", lambda row: grouped(row[1].file_bytes / 1000), "right"),
        Column("accuracy %", lambda row: percent(row[1].accuracy), "right"),
        Column("difference", lambda row: f"{row[1].max_difference:.1e}", "right"),
        Column("changed", lambda row: grouped(row[1].changed), "right"),
        Column("1 image us", lambda row: grouped(row[1].latency_us), "right"),
        Column("256 images us", lambda row: grouped(row[1].latency_256_us), "right"),
    ]
    Table(columns, list(figures.items())).show()
    for note in export_notes(export):
        say_note(note)


def export_notes(export: "Export") -> list[str]:
    """Return the lines that stand below the figures of an exported model."""
    precision = "float32" if export.int8 is None else "int8"
    versions = ", ".join(f"{name} {version}" for name, version in export.versions.items())
    notes = [
        f"wrote {export.path}: {export.model} in {precision}, opset {export.opset}",
        f"difference: the largest of a logit from PyTorch's over the {export.images:,} test images "
        f"of {export.dataset}; "
        "changed: predictions that differ from PyTorch's there",
        f"latency: ONNX Runtime, median, cpu ({export.processor}), 1 thread; {versions}",
    ]
    if export.int8 is not None:
        for images, ratio in (
            ("1 image", export.int8.latency_us / export.fp32.latency_us),
            ("256 images", export.int8.latency_256_us / export.fp32.latency_256_us),
        ):
            notes.append(f"int8 is {_compared_speed(ratio)} float32 here for {images}")
    return notes


def _compared_speed(ratio: float) -> str:
    """Return the ratio of two times in words, such as ``1.5 times faster than``."""
    times = f"{max(ratio, 1 / ratio):.1f}"
    if times == "1.0":
        return "as fast as"
    return f"{times} times {'slower' if ratio > 1 else 'faster'} than"


def show_predictions(predictions: Sequence[Mapping[str, Any]], by: str, *, wide: bool) -> None:
    """Print what each picture shows, a row a digit, and which model says so.

    Args:
        wide: all columns, and paths whole; otherwise as a terminal has room.
    """
    width = None if wide else terminal_width()
    longest = None if width is None else max(_LEAST_PATH, width - _BESIDE_PATH)
    columns: list[Column[Mapping[str, Any]]] = [
        Column("picture", lambda each: _ending(one_line(each["file"]), longest)),
        Column("digit", lambda each: each["label"], "right", priority=5),
        Column("confidence %", lambda each: percent(each["confidence"]), "right", priority=4),
        Column("runner-up", lambda each: each["runner_up_label"], "right", priority=2),
        Column("its %", lambda each: percent(each["runner_up_confidence"]), "right", priority=1),
        Column("box", lambda each: " ".join(map(str, each["box"]))),
        # Why: on stderr.
        Column("doubt", lambda each: "yes" if each["doubt"] else "", priority=3),
    ]
    digits = [{"file": each["file"], **digit} for each in predictions for digit in each["digits"]]
    Table(columns, digits).show(wide=wide)
    say(f"  by {one_line(by)}")


def _ending(path: str, longest: int | None) -> str:
    """Return the end of a path that is too long: it tells pictures apart sooner than the start."""
    if longest is None or cell_len(path) <= longest:
        return path
    shown = path
    while cell_len(shown) >= longest:
        shown = shown[1:]
    return f"…{shown}"
