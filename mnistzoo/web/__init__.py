"""The drawing page, and the small HTTP interface that it and other programs use.

``server.py`` answers requests, ``guard.py`` says whose, ``models.py`` holds the models, ``site.py``
writes the page as files; ``static/`` is the page. Needs starlette and uvicorn: the extra ``web``.
"""
