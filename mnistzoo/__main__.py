"""``python -m mnistzoo`` is the command ``mnistzoo``."""

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
    command_line()


if __name__ == "__main__":
    main()
