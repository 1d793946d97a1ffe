"""``python -m mnistzoo`` is the command ``mnistzoo``."""

from mnistzoo.cli import main

if __name__ == "__main__":
    main()
