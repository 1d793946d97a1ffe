"""The one ancestor of the errors that mnistzoo raises on purpose."""


class MnistzooError(Exception):
    """Says in one sentence what is wrong, where, and what to do next.

    The command line prints it without a traceback and exits with 1.
    """
