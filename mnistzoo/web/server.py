"""The server of the drawing page: what it answers, and what it refuses.

Bodies are read as they come, so that a slow client holds up nobody; together they hold a bounded
number of bytes. What takes time, reading a picture and running the models, is done by as many
threads as there are cores; a bounded number of requests waits for them.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mnistzoo.errors import MnistzooError, reason
from mnistzoo.pictures import PictureError
from mnistzoo.prediction import Logits, Prediction, Reading, read_by_all
from mnistzoo.registry import UnknownNameError
from mnistzoo.runtime import Predictor
from mnistzoo.web.guard import Guard
from mnistzoo.web.models import Models
from mnistzoo.web.page import STATIC, examples

_log = logging.getLogger(__name__)

WAITING = 64  # requests, by default
_MOST_BYTES = 10 * 2**20
_MOST_BYTES_IN_ALL = 64 * 2**20  # of the bodies that are there, or coming
_MOST_SECONDS = 60  # for a body to come
_GRACE_SECONDS = 2  # for what is being answered when the server is told to end


def create_app(models: Models, *, host: str = "127.0.0.1", waiting: int = WAITING) -> Starlette:
    """Return the page and its interface as an ASGI application.

    Args:
        models: on offer.
        host: that it is served under; see :class:`Guard`.
        waiting: how many predictions may be under way; the next is answered with 503.
    """
    api = _Api(models, waiting)
    return Starlette(
        routes=[
            # Mounted, or the files below would answer another method.
            Mount(
                "/api",
                routes=[
                    Route("/models", api.list_models, methods=["GET"]),
                    Route("/models/{name}", api.load_model, methods=["POST"]),
                    Route("/predict", api.predict, methods=["POST"]),
                ],
            ),
            Route("/examples-idx3-ubyte", _examples, methods=["GET"]),
            Mount("/", StaticFiles(directory=STATIC, html=True)),
        ],
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={HTTPException: _http_error, MnistzooError: _error, Exception: _error},
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; a browser that connects already waits for :func:`serve`.

    Args:
        host: a name or an address.
        port: 0 for any that is free.

    Raises:
        OSError: if the port is taken, or the host is not this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        what_next = "; --port 0 takes a free one" if port else ""
        raise OSError(error.errno, f"{error.strerror}{what_next}", f"{host}:{port}") from error
    # Connections inherit it. Without it an answer's body waits some 40 ms for the client to
    # acknowledge its head; asyncio sees to that only for sockets that it has made itself.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def serve(app: Starlette, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, which is then raised again as it would have been."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        access_log=False,
        log_level="critical",  # what went wrong is said by _error
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listening])


class _Api:
    def __init__(self, models: Models, waiting: int) -> None:
        self._models = models
        self._free = waiting
        self._bodies = _Bodies()
        self._threads = anyio.CapacityLimiter(os.cpu_count() or 1)

    async def list_models(self, request: Request) -> Response:
        return JSONResponse({"models": self._models.to_dict()})

    async def load_model(self, request: Request) -> Response:
        await asyncio.wrap_future(self._models.get(request.path_params["name"]))
        return JSONResponse({"ready": True})

    async def predict(self, request: Request) -> Response:
        names = list(dict.fromkeys(request.query_params.getlist("model"))) or self._models.chosen
        drawing = request.query_params.get("drawing", "false")
        if drawing not in ("true", "false"):
            raise HTTPException(400, f"drawing is true or false, not {drawing!r}")
        futures = [self._models.get(name) for name in names]
        async with self._bodies.read(request) as picture:
            # Before a place is taken: a model that is being exported holds up no other.
            loaded = await asyncio.gather(*map(asyncio.wrap_future, futures))
            with self._place():
                answer = await anyio.to_thread.run_sync(
                    _answer, picture, dict(zip(names, loaded, strict=True)), drawing == "true",
                    limiter=self._threads,
                )  # fmt: skip
        return JSONResponse(answer)

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """Take one of the places of those that wait."""
        if not self._free:
            raise _too_many()
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class _Bodies:
    """The bodies that clients send, and how many bytes they hold together."""

    def __init__(self) -> None:
        self._held = 0

    @contextlib.asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytearray]:
        """Yield what the client sends; until the block ends, its bytes count as held."""
        body = bytearray()
        try:
            await self._fill(body, request)
            yield body
        finally:
            self._held -= len(body)

    async def _fill(self, body: bytearray, request: Request) -> None:
        """Read to the end, also what is not kept, so that the client hears a refusal."""
        refusal = None
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                async for piece in request.stream():
                    refusal = refusal or self._refusal(len(body) + len(piece), len(piece))
                    if refusal is None:
                        self._held += len(piece)
                        body += piece
                    else:
                        self._held -= len(body)
                        body.clear()
        except TimeoutError as error:
            raise HTTPException(
                408, f"the picture took over {_MOST_SECONDS} seconds to come"
            ) from error
        except ClientDisconnect as error:
            raise HTTPException(400, "the client left before the picture was whole") from error
        if refusal is not None:
            raise refusal
        if not body:
            raise HTTPException(400, "the request has no body; send the bytes of a picture")

    def _refusal(self, size: int, more: int) -> HTTPException | None:
        """Return why a body that now has this size, so much more than before, is not kept."""
        if size > _MOST_BYTES:
            return HTTPException(
                413, f"the picture has over {_MOST_BYTES // 2**20} MB; make it smaller, or crop it"
            )
        return _too_many() if self._held + more > _MOST_BYTES_IN_ALL else None


def _too_many() -> HTTPException:
    return HTTPException(
        503, "too many requests are waiting; try again in a second", {"Retry-After": "1"}
    )


def _answer(picture: bytearray, models: dict[str, Predictor], drawing: bool) -> dict[str, Any]:
    """Return what each model says of a picture, the fastest first, as JSON can hold it."""
    found = [predictor.reader for predictor in models.values()]
    timed = [_Timed(reader.logits) for reader in found]
    readers = [
        dataclasses.replace(reader, logits=each) for reader, each in zip(found, timed, strict=True)
    ]
    readings = read_by_all(bytes(picture), readers, drawing=drawing)
    seen = readings[0].one
    predictions = [
        {"model": name, **_facts(reading, reading.one), "latency_us": each.latency_us}
        for name, reading, each in zip(models, readings, timed, strict=True)
    ]
    return {
        "image": seen.image.ravel().tolist(),
        "box": list(seen.box),
        "digits": len(readings[0].predictions),
        "predictions": sorted(predictions, key=lambda each: each["latency_us"]),
    }


def _facts(reading: Reading, one: Prediction) -> dict[str, Any]:
    return {
        "digit": one.digit,
        "confidence": one.confidence,
        "probabilities": list(one.probabilities),
        "runner_up": one.runner_up,
        "doubt": one.doubt,
        "doubts": [each.doubt for each in reading.predictions],
        "text": reading.text,
    }


class _Timed:
    """A classifier, and how many microseconds it took for a digit."""

    def __init__(self, logits: Logits) -> None:
        self._logits = logits
        self.latency_us = 0.0

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        started = time.perf_counter()
        logits = self._logits(images)
        self.latency_us = (time.perf_counter() - started) * 1e6 / len(images)
        return logits


async def _examples(request: Request) -> Response:
    found = await anyio.to_thread.run_sync(examples)
    return Response(found, media_type="application/octet-stream")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {
        404: f"there is no {request.url.path} here",
        405: f"{request.url.path} does not take {request.method}",
    }
    detail = details.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers.setdefault("Allow", "GET, HEAD")  # of a file
    return JSONResponse({"error": detail}, error.status_code, headers)


async def _error(request: Request, error: Exception) -> Response:
    statuses: dict[type[Exception], int] = {PictureError: 422, UnknownNameError: 404}
    if not isinstance(error, MnistzooError):
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": reason(error)}, statuses.get(type(error), 500))
