from collections.abc import Callable
from typing import Any


def test_nothing_but_a_report_imports_what_draws_it(run_python: Callable[..., Any]) -> None:
    done = run_python(
        "-c",
        "import sys, mnistzoo, mnistzoo.report; mnistzoo.compare; mnistzoo.evaluate;"
        "print({'matplotlib', 'jinja2', 'fastjsonschema'} & sys.modules.keys())",
    )
    assert (done.returncode, done.stdout) == (0, "set()\n")
