"""The checks by name: what a model has to do so that the zoo's rooms can rely on it.

Each raises :class:`CheckFailed` with what was expected, what was found and how to mend it, or
:class:`NotApplicable`.
"""

import contextlib
import copy
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzoo.conversion import convert
from mnistzoo.errors import describe
from mnistzoo.evaluation import Evaluation
from mnistzoo.inference import predict_logits
from mnistzoo.models import weights_path
from mnistzoo.registry import describe_conflict
from mnistzoo.testing.subject import (
    CHANCE_LOSS,
    CheckFailed,
    NotApplicable,
    Subject,
    deep_copy,
    learned,
)
from mnistzoo.weights import load_weights, read_metadata, save_weights

# Other versions of torch and other processors round differently, and may flip a few images.
_METRIC_TOLERANCE = 0.0005
_REPEATED_IMAGES, _REPEATED_STEPS = 200, 8  # in batches of 64 two epochs, the last batch smaller
_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt"}

_IMPORT_SECONDS = 120

# Runs in a fresh process: loads one plugin, and says which of its lines imports torch.
_IMPORT_PROBE = """
import os, sys, traceback
from importlib.metadata import EntryPoint

import mnistzoo.plugins

OWN = os.path.dirname(mnistzoo.__file__)

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            for frame in reversed(traceback.extract_stack()[:-1]):
                if "importlib" not in frame.filename and not frame.filename.startswith(OWN):
                    print(f"{frame.filename}, line {frame.lineno}", flush=True)
                    os._exit(3)

sys.meta_path.insert(0, Watch())
mnistzoo.plugins.call_hooks(EntryPoint("plugin", sys.argv[1], mnistzoo.plugins.GROUP).load())
"""


@dataclass(frozen=True)
class Check:
    """A named check.

    Attributes:
        name: by which expected failures declare it.
        run: raises if the model does not pass.
        needs: names of the checks without which this one would mislead.
    """

    name: str
    run: Callable[[Subject], None]
    needs: tuple[str, ...]


CHECKS: dict[str, Check] = {}


def _check(name: str, *needs: str) -> Callable[[Callable[[Subject], None]], object]:
    def add(function: Callable[[Subject], None]) -> object:
        CHECKS[name] = Check(name, function, needs)
        return function

    return add


@_check("names")
def _names(subject: Subject) -> None:
    """No other model claims the name or an alias.

    Mend: take another name, or uninstall the other plugin.
    """
    if subject.contested:
        raise CheckFailed("; ".join(describe_conflict(*each) for each in subject.contested.items()))


@_check("metadata")
def _metadata(subject: Subject) -> None:
    """``summary``, ``license`` (an SPDX identifier), ``source`` and ``measured`` are there;
    ``expected_failures`` names checks that exist.

    Mend: fill them in.
    """
    spec = subject.spec
    for field in ("summary", "license", "source"):
        if not getattr(spec, field):
            raise CheckFailed(f"the ModelSpec declares no {field}; add {field}='...'")
    try:
        canonicalize_license_expression(spec.license)
    except InvalidLicenseExpression:
        raise CheckFailed(
            f"license is {spec.license!r}, expected an SPDX identifier; write 'MIT', say"
        ) from None
    measured = spec.measured if spec.weights is None else spec.weights.measured
    if (spec.weights is not None or spec.metrics) and not measured:
        raise CheckFailed("it is not said how the metrics came about; add measured='...'")
    if unknown := spec.expected_failures.keys() - CHECKS.keys():
        raise CheckFailed(
            f"expected_failures names {min(unknown)!r}, which is no check; the checks are "
            f"{', '.join(CHECKS)}"
        )


@_check("import")
def _import(subject: Subject) -> None:
    """Importing the plugin and calling its hook leave torch unimported.

    Mend: import torch in the factory's module only.
    """
    plugin = subject.registration.plugin
    if not plugin.version:
        raise NotApplicable("the plugin is registered in this process, not installed")
    try:
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT_PROBE, plugin.entry_point],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=False,
            timeout=_IMPORT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise CheckFailed(
            f"importing {plugin.entry_point} takes more than {_IMPORT_SECONDS} s; move the work "
            "into the factory"
        ) from None
    if done.returncode == 3:
        place = done.stdout.splitlines()[-1]  # the plugin may have printed before
        raise CheckFailed(
            f"importing {plugin.entry_point} imports torch ({place}), which makes "
            "every command wait; import it in the module of the factory only"
        )
    if done.returncode != 0:
        last = (done.stderr.splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CheckFailed(
            f"importing {plugin.entry_point} in a fresh process fails: {last}; make the module "
            "work when nothing else is imported"
        )


@_check("factory")
def _factory(subject: Subject) -> None:
    """The factory is found and returns a ``torch.nn.Module``.

    Mend: correct ``factory``.
    """
    subject.created()


@_check("parameters", "factory")
def _parameters(subject: Subject) -> None:
    """``num_params`` is the real number.

    Mend: write the number in the message.
    """
    found = sum(parameter.numel() for parameter in subject.created().parameters())
    if found != subject.spec.num_params:
        raise CheckFailed(
            f"num_params is {subject.spec.num_params:,}, but the model has {found:,}; write "
            f"num_params={found:_}"
        )


@_check("weights", "factory")
def _weights(subject: Subject) -> None:
    """The shipped file has the declared checksum and fits the model.

    Mend: declare the file's ``sha256`` anew after each training; ship the weights of this
    architecture.
    """
    subject.shipped()


@_check("output", "factory")
def _output(subject: Subject) -> None:
    """1 and 5 images give finite float32 logits ``(N, 10)``, not probabilities, and the images
    stay as they are.

    Mend: no reshape with a fixed batch size; no in-place operation on the input.
    """
    model = subject.ready()
    for count in (5, 1):
        images = subject.images(count)
        given = images.clone()
        with torch.no_grad(), subject.calling(f"forward() of a batch of {count}"):
            logits = model(given)
        if not isinstance(logits, Tensor):
            raise CheckFailed(
                f"forward() returns {type(logits).__name__}, expected one tensor of logits (N, 10)"
            )
        if logits.shape != (count, 10):
            raise CheckFailed(
                f"forward() gives {count} images shape {tuple(logits.shape)}, expected "
                f"{(count, 10)}; one logit a digit"
            )
        if logits.dtype != torch.float32:
            raise CheckFailed(
                f"forward() returns {logits.dtype}, expected torch.float32; end with .float()"
            )
        if not logits.isfinite().all():
            raise CheckFailed(
                "forward() gives NaN or infinite logits for real images; look for log(0), a "
                "division by 0 or weights that were never set"
            )
        _require_unchanged(given, images)
        if (logits > 0).all() and torch.allclose(logits.sum(1), torch.ones(count)):
            raise CheckFailed(
                "forward() returns probabilities, expected logits; leave softmax out, since the "
                "loss and the evaluation apply it"
            )


@_check("deterministic", "output")
def _deterministic(subject: Subject) -> None:
    """In evaluation mode the same images give the same logits.

    Mend: draw random numbers only while ``self.training``.
    """
    model, images = subject.ready(), subject.images(5)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), subject.calling("forward()"):
        same = torch.equal(model(images.clone()), model(images.clone()))
    if not same:
        raise CheckFailed(
            "in evaluation mode the same images give other logits the second time; draw random "
            "numbers in training only, as nn.Dropout or F.dropout(x, training=self.training) do"
        )


@_check("batch_mates", "deterministic")
def _batch_mates(subject: Subject) -> None:
    """In evaluation mode an image's logits do not depend on the rest of its batch.

    Mend: compute nothing over the batch's dimension.
    """
    model, images = subject.ready(), subject.images(5)
    together = subject.logits(model, images)
    alone = torch.cat([subject.logits(model, image) for image in images.split(1)])
    turned = subject.logits(model, images.flip(0)).flip(0)
    for other, how in ((alone, "alone"), (turned, "in another order")):
        difference = float((other - together).abs().max())
        if not torch.allclose(other, together, rtol=1e-4, atol=1e-5):
            raise CheckFailed(
                f"an image's logits differ by up to {difference:.2g} {how} from those among "
                "others; compute nothing over the batch's dimension in evaluation mode"
            )


@_check("state_dict", "deterministic")
def _state_dict(subject: Subject) -> None:
    """Weights saved and loaded into a new model give the same logits.

    Mend: keep every tensor as ``nn.Parameter`` or with ``register_buffer()``.
    """
    model, images = subject.ready(), subject.images(5)
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise CheckFailed(
                f"the state dict holds {name}, a {type(value).__name__}, which only a pickle can "
                "save; make it a tensor, or a constant in the code"
            )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.safetensors")
        with subject.calling("saving the state dict as safetensors"):
            save_weights(model, path, {})
        other = subject.created(seed=1).eval()
        with subject.calling("loading the state dict into a new model"):
            load_weights(other, path)
    if not torch.allclose(
        subject.logits(other, images), subject.logits(model, images), rtol=1e-4, atol=1e-5
    ):
        raise CheckFailed(
            "a new model with the saved state dict gives other logits; keep every tensor that "
            "forward() needs as nn.Parameter or register_buffer(), so that it is saved"
        )


@_check("training_mode", "output")
def _training_mode(subject: Subject) -> None:
    """Training mode gives logits too and changes no parameter; evaluation changes nothing.

    Mend: return only logits in both modes; change buffers only while ``self.training``.
    """
    model, images = subject.ready(), subject.images(5)
    before = _state(model)
    subject.logits(model, images)
    if changed := _changed(model, before):
        raise CheckFailed(
            f"forward() changes {changed} in evaluation mode; change buffers only where "
            "self.training is true"
        )
    model.train()
    _require_mode(model, training=True)
    given = images.clone()
    with torch.no_grad(), subject.calling("forward() of a batch of 5 in training mode"):
        logits = model(given)
    _require_unchanged(given, images)
    if not isinstance(logits, Tensor) or logits.shape != (5, 10) or logits.dtype != torch.float32:
        found = (
            f"{logits.dtype} {tuple(logits.shape)}"
            if isinstance(logits, Tensor)
            else type(logits).__name__
        )
        raise CheckFailed(
            f"in training mode forward() returns {found}, expected logits torch.float32 (5, 10) "
            "as in evaluation; return nothing besides them"
        )
    parameters = {name for name, _ in model.named_parameters()}
    if changed := _changed(model, {name: before[name] for name in parameters}):
        raise CheckFailed(
            f"forward() changes the parameter {changed} in training mode; leave that to the "
            "optimizer, or make it a buffer"
        )
    model.eval()
    _require_mode(model, training=False)


@_check("gradients", "training_mode")
def _gradients(subject: Subject) -> None:
    """Training reaches every parameter that is not frozen.

    Mend: no ``.detach()`` or ``torch.no_grad()`` on the way; remove unused layers.
    """
    if not subject.spec.recipes:
        raise NotApplicable("the model has no recipe, so mnistzoo does not train it")
    model = subject.created()
    wanting = dict(model.named_parameters())
    labels = torch.tensor(subject.test.labels[:32], dtype=torch.long)
    # A few steps, since a weight that starts at zero keeps the gradient from those behind it.
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        with subject.calling("the backward pass of 32 images"):
            F.cross_entropy(model(subject.images(32)), labels).backward()
        wanting = {
            name: parameter
            for name, parameter in wanting.items()
            if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
        }
        optimizer.step()
    if wanting:
        raise CheckFailed(
            f"no gradient reaches the parameter {min(wanting)}; use it in forward() without "
            ".detach(), .data or torch.no_grad(), or remove it"
        )


@_check("deep_copy", "deterministic")
def _deep_copy(subject: Subject) -> None:
    """``copy.deepcopy`` gives an independent model with the same logits.

    Mend: share no tensors through globals or closures.
    """
    model, images = subject.ready(), subject.images(5)
    before = subject.logits(model, images)
    copied = deep_copy(subject, model)
    if not torch.equal(subject.logits(copied, images), before):
        raise CheckFailed(
            "a deep copy gives other logits; keep what forward() needs in attributes of the module"
        )
    with torch.no_grad():
        for tensor in (*copied.parameters(), *copied.buffers()):
            tensor.zero_()
    if not torch.equal(subject.logits(model, images), before):
        raise CheckFailed(
            "changing a deep copy changes the model; share no tensors through globals, closures "
            "or a __deepcopy__ of your own"
        )


@_check("device", "output")
def _device(subject: Subject) -> None:
    """The model computes on the device that it is moved to: CUDA, or where there is none torch's
    ``meta``, which overlooks a product with a tensor left behind.

    Mend: ``register_buffer()``; create tensors with ``device=images.device``.
    """
    name = "cuda" if torch.cuda.is_available() else "meta"  # which has shapes and devices, no data
    model = subject.ready()
    # Since a factory may return the same model again; what cannot be copied is told elsewhere.
    with contextlib.suppress(Exception):
        model = copy.deepcopy(model)
    with subject.calling(f"moving the model to the device {name}"):
        model.to(name)
    images = subject.images(5)
    try:
        with torch.no_grad():
            logits = model(images.to(name))
    except Exception as error:
        without_values = isinstance(error, NotImplementedError | TypeError)
        if name == "meta" and (without_values or "on meta tensors" in str(error)):
            raise NotApplicable(
                "forward() reads values out of tensors, which only a CUDA device could follow"
            ) from error
        raise CheckFailed(
            f"on the device {name!r} forward() fails: {describe(error)}; keep tensors as "
            "nn.Parameter or register_buffer(), and create new ones with device=images.device"
        ) from error
    if logits.device.type != name:
        raise CheckFailed(
            f"on the device {name!r} forward() returns logits on {logits.device}; keep tensors as "
            "nn.Parameter or register_buffer()"
        )
    if name == "cuda":
        expected = subject.logits(subject.ready(), images)
        if not torch.allclose(logits.cpu(), expected, rtol=1e-2, atol=1e-2):
            raise CheckFailed(
                "forward() gives other logits on CUDA than on the CPU; look for tensors whose "
                "values depend on the device"
            )
        return
    for path, module in model.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, Tensor) and value.device.type != name:
                raise NotApplicable(
                    f"the tensor {f'{path}.{attribute}'.lstrip('.')} is no parameter and no "
                    "buffer; whether forward() moves it, only a CUDA device can tell"
                )


@_check("pickling_free")
def _pickling_free(subject: Subject) -> None:
    """The package holds no pickle.

    Mend: ship safetensors only.
    """
    for path in sorted(subject.package.rglob("*")):
        if path.is_file() and _is_pickle(path):
            raise CheckFailed(
                f"{path} is a pickle, and to load one runs code; save tensors with "
                "`mnistzoo train -o`, or mnistzoo.weights.save_weights"
            )


@_check("metrics", "weights")
def _metrics(subject: Subject) -> None:
    """The shipped weights, or those of the members, have the declared test accuracy, to 0.05
    points; the file's metadata says no other.

    Mend: declare what ``mnistzoo evaluate MODEL`` shows.
    """
    spec = subject.spec
    if spec.weights is None and not spec.members:
        raise NotApplicable("the plugin ships no weights")
    if spec.members and not spec.metrics:
        raise NotApplicable("the plugin declares no metrics of what is made of other models")
    declared = spec.declared_metrics.get("test_accuracy")
    if declared is None:
        raise CheckFailed("no metric 'test_accuracy' is declared; add it to metrics")
    with subject.calling("evaluating the shipped weights"):
        logits = predict_logits(subject.shipped(), subject.test.tensors()[0]).numpy()
        found = Evaluation.from_logits(logits, subject.test.labels).accuracy
    subject.shipped_logits = logits
    if abs(found - declared) > _METRIC_TOLERANCE:
        raise CheckFailed(
            f"test_accuracy is declared as {declared}, but the weights have {found}; declare what "
            f"`mnistzoo evaluate {spec.name}` shows"
        )
    if spec.weights is None:
        return
    metrics = read_metadata(weights_path(spec)).get("metrics")
    told = metrics.get("test_accuracy", declared) if isinstance(metrics, dict) else declared
    if told != declared:
        raise CheckFailed(
            f"test_accuracy is declared as {declared}, but the metadata of the weights says "
            f"{told}; save the file with its true metrics, and declare its new sha256"
        )


@_check("training", "state_dict", "training_mode")
def _training(subject: Subject) -> None:
    """A short run of the default recipe learns, and the same seed gives the same weights again, bit
    for bit.

    Mend: another ``learning_rate``; logits, not probabilities; random numbers from torch only.
    """
    if not subject.spec.recipes:
        raise NotApplicable("the model has no recipe, so mnistzoo does not train it")
    result = subject.trained
    first = subject.train_briefly(_REPEATED_IMAGES, _REPEATED_STEPS).model
    before = _state(first)  # now, since a factory may return the same model again
    second = subject.train_briefly(_REPEATED_IMAGES, _REPEATED_STEPS).model
    if changed := _changed(second, before):
        raise CheckFailed(
            f"two runs with the same seed end with other values of {changed}; draw random numbers "
            "from torch's own generator only, and keep nothing between runs"
        )
    if not learned(result):
        raise CheckFailed(
            f"after {len(result.history)} short epochs the loss is {result.history[-1].loss:.2f}, "
            f"hardly below that of guessing, {CHANCE_LOSS:.2f}; try another learning_rate in the "
            "default recipe, and return logits, not probabilities"
        )


@_check("onnx", "batch_mates")
def _onnx(subject: Subject) -> None:
    """The model exports to ONNX and computes the same there.

    Mend: the message names what does not export; without ``mnistzoo[onnx]`` it is not applicable.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise NotApplicable(f"{package} is not installed; `pip install {package}`")
    convert(
        subject.able(), subject.registration, own_weights=False, reference=subject.shipped_logits
    )


def _require_unchanged(given: Tensor, images: Tensor) -> None:
    if not torch.equal(given, images):
        raise CheckFailed(
            "forward() changes the images that it is given; use operations without a trailing "
            "underscore on them"
        )


def _state(model: nn.Module) -> dict[str, Tensor]:
    state = model.state_dict().items()
    return {name: tensor.clone() for name, tensor in state if isinstance(tensor, Tensor)}


def _changed(model: nn.Module, before: dict[str, Tensor]) -> str:
    """Return the name of a tensor that is no longer as it was; empty if all are."""
    now = model.state_dict()
    return next((name for name in before if not torch.equal(now[name], before[name])), "")


def _require_mode(model: nn.Module, training: bool) -> None:
    for name, module in model.named_modules():
        if module.training != training:
            raise CheckFailed(
                f"model.{'train' if training else 'eval'}() leaves {name or 'the model'} in the "
                "other mode; if you override train(), call super().train(mode) and return self"
            )


def _is_pickle(path: Path) -> bool:
    """Say whether a file is called so, begins as one of protocol 2 to 5 does, or is torch's."""
    if path.suffix.lower() in _PICKLES:
        return True
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    with path.open("rb") as stream:
        start = stream.read(2)
    return start[:1] == b"\x80" and start[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")
