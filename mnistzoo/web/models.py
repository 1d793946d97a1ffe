"""The models that the page offers: under ONNX Runtime, exported once into the cache."""

import hashlib
import json
import shlex
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mnistzoo._version import __version__
from mnistzoo.data.datasets import cache_dir
from mnistzoo.dataset_spec import DIGITS
from mnistzoo.errors import describe, suggestion
from mnistzoo.files import replacing
from mnistzoo.missing import plugin_command
from mnistzoo.onnx_runtime import OnnxFileError
from mnistzoo.registry import (
    ModelError,
    Registration,
    UnknownNameError,
    get_registration,
    get_spec,
    list_models,
)
from mnistzoo.runtime import Predictor
from mnistzoo.spec import DEFAULT_DATASET, ModelSpec

# Of a model that nobody asked for: proving larger ones takes minutes on a small machine.
_MOST_PARAMS_UNASKED = 100_000

_exporting = threading.Lock()  # torch.export cannot do two at a time


@dataclass(frozen=True)
class Offer:
    """A model that can be chosen on the page.

    Attributes:
        name: of the model, or of its file without ``.onnx``.
        summary: what it is, a line.
        params: how many; None for a file, which does not say.
        accuracy: declared, on the test set, 0 to 1; None if nothing is declared.
        load: returns it under ONNX Runtime; may take a minute the first time.
    """

    name: str
    summary: str
    params: int | None
    accuracy: float | None
    load: Callable[[], Predictor]


class Models:
    """The models on offer; each is loaded once, in a thread of its own, when first asked for.

    Attributes:
        offers: by name.
        chosen: the names of those that are loaded from the start.
    """

    def __init__(self, offers: Iterable[Offer], chosen: Sequence[str]) -> None:
        self.offers = {each.name: each for each in offers}
        self.chosen = list(chosen)
        self._loading: dict[str, Future[Predictor]] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Future[Predictor]:
        """Return the model to come; one that is loaded is there already.

        One that could not be loaded is tried again: the disk may have been full.

        Raises:
            UnknownNameError: if no model on offer has the name.
        """
        if name not in self.offers:
            near = suggestion(name, self.offers) or f"take one of {', '.join(self.offers)}"
            raise UnknownNameError(f"there is no model {name!r}; {near}")
        with self._lock:
            known = self._loading.get(name)
            if known is None or (known.done() and known.exception() is not None):
                future = self._loading[name] = Future[Predictor]()
                future.set_running_or_notify_cancel()  # a client that leaves cancels nothing
                # A daemon: the server ends when it is told to, whatever is being exported.
                threading.Thread(target=self._load, args=(name, future), daemon=True).start()
            return self._loading[name]

    def _load(self, name: str, future: Future[Predictor]) -> None:
        try:
            predictor = self.offers[name].load()
        except Exception as error:
            future.set_exception(error)
        except BaseException as error:  # a plugin's SystemExit must not end the server
            future.set_exception(ModelError(f"model {name!r} cannot be loaded: {describe(error)}"))
        else:
            future.set_result(predictor)

    def to_dict(self) -> list[dict[str, Any]]:
        """Return what is known of each model, as JSON can hold it."""
        return [
            {
                "name": each.name,
                "summary": each.summary,
                "params": each.params,
                "accuracy": each.accuracy,
                "chosen": each.name in self.chosen,
                "ready": self._is_ready(each.name),
            }
            for each in self.offers.values()
        ]

    def _is_ready(self, name: str) -> bool:
        future = self._loading.get(name)
        return future is not None and future.done() and future.exception() is None


def offered(names: Sequence[str]) -> Models:
    """Return these models, all chosen; or all that can be shown, a small one chosen.

    Args:
        names: of models, their aliases, or paths of ``.onnx`` files.

    Raises:
        ModelError: if one of the models does not exist, ships no weights, cannot be exported or is
            for other classes than the ten digits, or there is none.
        OnnxFileError: if a file is not an ONNX model from images to logits.
        OSError: if a file cannot be read.
    """
    if names:
        named = [_offer(name) for name in names]
        chosen = [each.name for each in named]
        if twice := next((name for name in chosen if chosen.count(name) > 1), None):
            raise ModelError(f"two models would be called {twice!r}; name one, or rename a file")
        return Models(named, chosen)
    found = [each for each in map(get_registration, list_models()) if not _refusal(each.spec)]
    if not found:
        raise ModelError(
            f"no installed model ships weights; `{plugin_command()}` installs one that does, or "
            "name an .onnx file"
        )
    offers = {each.spec.name: _registered(each) for each in found}
    quick = [offers[each.spec.name] for each in found if _is_quick(each.spec)]
    best = max(quick or list(offers.values()), key=lambda each: each.accuracy or 0)
    return Models(offers.values(), [best.name])


def _refusal(spec: ModelSpec) -> str:
    """Return why the page cannot offer a model, as far as its plugin says; empty if it can."""
    if spec.weights_for(DEFAULT_DATASET) is None and not spec.members:
        return "it ships no weights for the digits of MNIST"
    return "" if spec.is_onnx else spec.not_exportable


def _is_quick(spec: ModelSpec) -> bool:
    """Say whether a model is small, and certain to be exported."""
    return (spec.num_params or 0) <= _MOST_PARAMS_UNASKED and _is_certain(spec)


def _is_certain(spec: ModelSpec) -> bool:
    """Say whether a model is an ONNX file or certainly a torch module, which alone are exported.

    Modules are what mnistzoo's own training takes. Of others it is seen once they are created.
    """
    return spec.is_onnx or (bool(spec.recipes) and not spec.fit)


def _offer(name: str) -> Offer:
    if name.lower().endswith(".onnx"):
        predictor = Predictor(name)
        if predictor.labels != DIGITS:
            raise ModelError(
                f"{name} is for {len(predictor.labels)} classes ({_listed(predictor.labels)}), and "
                "the page is for the digits 0 to 9; `mnistzoo predict --model` takes it"
            )
        path = Path(name)
        return Offer(path.stem, f"The file {path.name}", None, None, lambda: predictor)
    if name.lower().endswith((".safetensors", ".pt", ".pth")):
        raise ModelError(
            f"{name} is no .onnx file; export it first: `mnistzoo export MODEL --weights "
            f"{shlex.quote(name)}`"
        )
    registration = get_registration(name)
    if why := _refusal(registration.spec) or _surprise(registration):
        raise ModelError(f"the page cannot offer model {registration.spec.name!r}: {why}")
    return _registered(registration)


def _surprise(registration: Registration) -> str:
    """Return why a model cannot be exported though its plugin does not say so; empty if it can."""
    if _is_certain(registration.spec) or _cached(cached_path(registration)):
        return ""
    from mnistzoo.conversion import not_followed
    from mnistzoo.models import create_model

    return not_followed(create_model(registration.spec.name))


def is_exporting() -> bool:
    """Say whether a model is being exported now, in a thread of its own."""
    return _exporting.locked()


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels if len(labels) <= 4 else (*labels[:2], "...", labels[-1]))


def _registered(registration: Registration) -> Offer:
    spec = registration.spec
    return Offer(
        name=spec.name,
        summary=spec.summary,
        params=spec.num_params,
        accuracy=spec.declared_metrics.get("test_accuracy"),
        load=lambda: _exported(registration),
    )


def _exported(registration: Registration) -> Predictor:
    """Return the model from the cache, where it is put first if it is not there yet.

    One that its plugin ships as an ONNX file needs no cache.
    """
    from mnistzoo.models import load_model

    if registration.spec.is_onnx:
        shipped: Predictor = load_model(registration.spec.name)
        return shipped
    path = cached_path(registration)
    if found := _cached(path):
        return found
    # Imported late: torch takes seconds, and a model in the cache needs none.
    from mnistzoo.conversion import convert

    with _exporting:
        if found := _cached(path):
            return found
        model = load_model(registration.spec.name)
        content = convert(model, registration, own_weights=False).content
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            stream.write(content)
        return Predictor(path)


def _cached(path: Path) -> Predictor | None:
    try:
        return Predictor(path)
    except (OSError, OnnxFileError):  # not there, or damaged
        return None


def cached_path(registration: Registration) -> Path:
    """Return where the cache keeps a model, by all that its ONNX file depends on."""
    spec = registration.spec
    parts = [get_spec(member) for member in spec.members] or [spec]
    made_of = {
        "weights": [each.weights.sha256 for each in parts if each.weights],
        "calibration": [
            (each.weights.temperature, each.weights.threshold) for each in parts if each.weights
        ],
        "plugin": registration.plugin.provider,
        "mnistzoo": __version__,
        **{name: version(name) for name in ("torch", "onnx", "onnxscript")},
    }
    key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
    return cache_dir() / "onnx" / f"{spec.name}-{key}.onnx"
