"""Declare temperature and threshold of the weights in plugins/ that held validation images out.

Usage: python scripts/calibrate.py [NAME...]

`mnistzoo ship` does it for new weights. This is for those that are there already: it writes two
lines into the plugin's `Weights(...)`, and leaves the weights as they are. It needs the data sets
that they were trained on (`mnistzoo data download`). Weights that have seen the validation images
are left out.
"""

import argparse
import ast
import textwrap

from first_party import first_party, folder_of

from mnistzoo import ModelSpec, Weights, get_spec, load_dataset, load_model
from mnistzoo.calibration import Calibration
from mnistzoo.models import weights_path
from mnistzoo.shipping import calibration, calibration_as_code, why_uncalibrated
from mnistzoo.weights import read_metadata

_DECLARED = ("temperature", "threshold")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=first_party(), metavar="NAME")
    for name in parser.parse_args().names:
        spec = get_spec(name)
        for weights in spec.all_weights:
            if why := why_uncalibrated(read_metadata(weights_path(spec, weights))):
                print(f"{name}, {weights.dataset}: left out, since {why}")
            else:
                calibrate(spec, weights)


def calibrate(spec: ModelSpec, weights: Weights) -> None:
    """Declare what is fitted for these weights in the plugin that ships them."""
    data, folder = load_dataset(weights.dataset), folder_of(spec.name)
    assert folder is not None
    model = load_model(spec.name, dataset=data)
    found = calibration(model, data.validation, stochastic=spec.stochastic)
    figures = f"temperature {found.temperature}, threshold {found.threshold}"
    print(f"{spec.name}, {data.name}: {figures}")
    for path in folder.rglob("__init__.py"):
        source = path.read_text("utf-8")
        if (changed := declaring(source, weights.sha256, found)) != source:
            path.write_text(changed, "utf-8")


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
