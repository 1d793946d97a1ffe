"""Results as JSON."""

import json
import os
from typing import Any

from mnistzoo.output import write


def write_json(facts: Any, path: str | os.PathLike[str]) -> None:
    """Write facts as JSON to a file, or to stdout for ``-``."""
    write(json.dumps(facts, indent=2, allow_nan=False) + "\n", path)
