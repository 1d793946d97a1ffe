"""``python -m mnistzoo`` is the command ``mnistzoo``."""

import os
import sys


def main() -> None:
    """Run the command line; where what it is written with cannot be imported, say so and exit."""
    try:
        from mnistzoo.cli import main as command_line
    except Exception as error:
        from mnistzoo.missing import hidden_module, why_not_imported

        sentence = why_not_imported(error) if isinstance(error, ImportError) else ""
        if not (sentence or (sentence := hidden_module(error))):
            raise
        sys.exit(f"mnistzoo: {sentence}")
    try:
        command_line()
    finally:
        _leave_stdout_to_the_results()


def _leave_stdout_to_the_results() -> None:
    """Send what a plugin prints while Python ends to stderr, as while the command ran."""
    try:
        if sys.__stdout__ is not None:
            sys.__stdout__.flush()  # click's wrapper would swallow that the reader has left
        os.dup2(2, 1)
    except (OSError, ValueError):  # it is closed or full, or nobody reads it
        pass
    else:
        sys.stdout = sys.stderr


if __name__ == "__main__":
    main()
