"""Export every first-party model, in float32 and in int8, and print a table of the files.

Usage: python scripts/release_files.py FOLDER [MODEL ...]

What cannot be exported, or loses too much in int8, has a row that says why. Whether a model should
be exportable is not decided here: `mnistzoo check` fails for one that is not and should be.
"""

import argparse
from pathlib import Path

from first_party import first_party

from mnistzoo.export import ExportError, export_onnx
from mnistzoo.report.figures import percent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    words = parser.parse_args()
    words.folder.mkdir(parents=True, exist_ok=True)
    print("| file | KB | test % |\n|---|---:|---:|")
    for model in words.models or first_party():
        for int8 in (False, True):
            print(row(words.folder / f"{model}{'-int8' if int8 else ''}.onnx", model, int8=int8))


def row(path: Path, model: str, *, int8: bool) -> str:
    """Return the row of one file, which is written if it can be."""
    try:
        export = export_onnx(model, path, int8=int8)
    except ExportError as error:
        return f"| no {path.name}: {error} | - | - |"
    figures = export.int8 or export.fp32
    return f"| {path.name} | {figures.file_bytes / 1000:,.0f} | {percent(figures.accuracy)} |"


if __name__ == "__main__":
    main()
