"""Compare benchmarks with a stored baseline, each in units of its own run's calibration.

Usage: python benchmarks/regressions.py RESULT.json [--baseline FILE] [--tolerance FACTOR] [--write]

RESULT.json is what `pytest benchmarks/ --benchmark-json RESULT.json` wrote. The baseline holds each
benchmark's median divided by that of `test_calibration` in the same run, so that a slower machine
moves both. Exits with 1 if one takes more than FACTOR times its share of then, or is gone; a new
one is named and does no harm. What `-k` or a path left out of the run is not judged. --write makes
the result the baseline, and keeps what was left out.
"""

import argparse
import json
import sys
from pathlib import Path

from mnistzoo.files import replacing

BASELINE = Path(__file__).with_name("baseline.json")
CALIBRATION = "test_calibration"


def main() -> int | str:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--baseline", type=Path, default=BASELINE)
    # Another processor changes ratios too: what is to be found is a mistake, not a per cent.
    parser.add_argument("--tolerance", type=float, default=3.0)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    try:
        now, not_run = shares(options.result)
        then = {}
        if options.baseline.exists() or not options.write:
            stored = json.loads(options.baseline.read_text())
            then = {name: float(share) for name, share in stored.items()}
        left_out = {name for name in then if {name, name.partition("[")[0]} & not_run}
        if options.write:
            baseline = {name: then[name] for name in left_out} | now
            with replacing(options.baseline) as stream:
                stream.write(f"{json.dumps(baseline, indent=1, sort_keys=True)}\n".encode())
            return 0
    except OSError as error:
        return f"regressions: {error.filename}: {error.strerror}; --write makes a baseline"
    except (ValueError, KeyError, TypeError, AttributeError):
        return (
            f"regressions: {options.result} must be the JSON of `pytest benchmarks/`, "
            f"{CALIBRATION} included, and {options.baseline} what --write made of one"
        )
    changes = {name: now[name] / then[name] for name in sorted(now.keys() & then.keys())}
    for name, change in sorted(changes.items(), key=lambda each: -each[1]):
        verdict = "SLOWER" if change > options.tolerance else ""
        print(f"{change:6.2f}  {name}  {verdict}")
    gone = then.keys() - now.keys() - left_out
    for name in sorted(now.keys() - then.keys() | gone):
        print(f"   {'new' if name in now else 'GONE'}  {name}")
    if left_out:
        print(f"{len(left_out)} of the baseline were not part of the run")
    slower = [name for name, change in changes.items() if change > options.tolerance]
    print(
        f"{len(slower)} of {len(changes)} take over {options.tolerance} times their share of then"
    )
    return 1 if slower or gone else 0


def shares(path: Path) -> tuple[dict[str, float], set[str]]:
    """Return each benchmark's median in units of the calibration's, and the names not run."""
    result = json.loads(path.read_text())
    medians = {each["name"]: each["stats"]["median"] for each in result["benchmarks"]}
    unit = medians.pop(CALIBRATION)
    return {name: median / unit for name, median in medians.items()}, set(result.get("not_run", ()))


if __name__ == "__main__":
    sys.exit(main())
