"""Declare temperature and threshold of the weights in plugins/ that held validation images out.

Usage: python scripts/calibrate.py [NAME...]

`mnistzoo ship` does it for new weights. This is for those that are there already: it writes two
lines into the plugin's `Weights(...)`, and leaves the weights as they are. It needs the whole MNIST
(`mnistzoo data download`); of a model that was trained on all of it, it says so.
"""

import argparse
import ast
import textwrap

from first_party import first_party, folder_of

from mnistzoo import get_spec, load_dataset, load_model
from mnistzoo.calibration import Calibration
from mnistzoo.shipping import calibration, calibration_as_code

_DECLARED = ("temperature", "threshold")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=first_party(), metavar="NAME")
    validation = load_dataset("mnist").validation
    for name in parser.parse_args().names:
        spec, folder = get_spec(name), folder_of(name)
        assert folder is not None
        if "validation_accuracy" not in spec.declared_metrics or spec.weights is None:
            print(f"{name}: left out, since its training has seen the validation images")
            continue
        found = calibration(load_model(name), validation, stochastic=spec.stochastic)
        print(f"{name}: temperature {found.temperature}, threshold {found.threshold}")
        for path in folder.rglob("__init__.py"):
            path.write_text(declaring(path.read_text("utf-8"), spec.weights.sha256, found), "utf-8")


def declaring(source: str, sha256: str, found: Calibration) -> str:
    """Return a plugin's source with these figures in the ``Weights`` of a file."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        keywords = {each.arg: each for each in getattr(node, "keywords", [])}
        if "sha256" in keywords and getattr(keywords["sha256"].value, "value", "") == sha256:
            place = max(
                each.value.end_lineno for name, each in keywords.items() if name not in _DECLARED
            )
            lines.insert(place, textwrap.indent(calibration_as_code(found), "    "))
            for name in _DECLARED:
                if name in keywords:
                    lines[keywords[name].lineno - 1 + (keywords[name].lineno > place)] = ""
    return "".join(lines)


if __name__ == "__main__":
    main()
