"""The one room that starts processes: a process per model, its limits, and what comes back.

Workers are forked from a server that has imported torch (``server``), run one task each
(``tasks``), and answer with JSON and arrays (``channel``). ``worker`` is one of them as this
process sees it, ``crew`` several in turns, ``discovery`` what plugins register, ``images`` a data
set of theirs, ``rows`` the rows of a comparison.
"""
