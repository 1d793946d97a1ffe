"""The contract of a model: images in, logits out, in both modes, on any device, saved, copied."""

import contextlib
import copy
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mnistzoo.classifier import is_module
from mnistzoo.contract import (
    CheckFailed,
    call,
    require_independence,
    require_logits,
    require_repeatable,
    require_unchanged,
)
from mnistzoo.errors import MnistzooError, describe
from mnistzoo.testing.checks.check import check
from mnistzoo.testing.checks.plugin import factory
from mnistzoo.testing.subject import NotApplicable, Subject
from mnistzoo.weights import load_weights, save_weights


@check(factory)
def output(subject: Subject) -> None:
    """1 and 5 images give finite float32 logits ``(N, C)``, not probabilities, and the images stay
    as they are.

    Mend: no reshape with a fixed batch size; no in-place operation on the input.
    """
    model, classes = subject.ready(), len(subject.data.classes)
    for count in (5, 1):
        require_logits(model, subject.images(count), classes)


@check(output)
def empty_batch(subject: Subject) -> None:
    """No images give logits ``(0, C)``, where ``empty_batch`` is declared.

    Mend: ``flatten(1)``, not ``view(len(images), -1)``; or leave out ``empty_batch``.
    """
    if not subject.spec.empty_batch:
        raise NotApplicable("empty_batch is not declared, and nothing in mnistzoo needs it")
    mend = "write flatten(1), not view(len(images), -1), or leave out empty_batch=True"
    try:
        shape = tuple(call(subject.ready(), subject.images(0)).shape)
    except MnistzooError as error:
        raise CheckFailed(f"{error}; {mend}") from error
    expected = (0, len(subject.data.classes))
    if shape != expected:
        raise CheckFailed(f"forward() gives no images shape {shape}, expected {expected}; {mend}")


@check(output, group="repeatable")
def deterministic(subject: Subject) -> None:
    """In evaluation mode the same images give the same logits.

    Mend: draw random numbers only while ``self.training``.
    """
    require_repeatable(subject.ready(), subject.images(5))


@check(deterministic, group="repeatable")
def batch_mates(subject: Subject) -> None:
    """In evaluation mode an image's logits do not depend on the rest of its batch.

    Mend: compute nothing over the batch's dimension.
    """
    require_independence(subject.ready(), subject.images(5))


@check(output, group="created")
def state_dict(subject: Subject) -> None:
    """Weights saved and loaded into a new model give the same logits.

    Mend: keep every tensor as ``nn.Parameter`` or with ``register_buffer()``.
    """
    model, images = subject.ready(), subject.images(5)
    for name, value in model.state_dict().items() if is_module(model) else ():
        if not isinstance(value, Tensor):
            raise CheckFailed(
                f"the state dict holds {name}, a {type(value).__name__}, which only a pickle can "
                "save; make it a tensor, or a constant in the code"
            )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.safetensors")
        with subject.calling("saving the state dict as safetensors"):
            save_weights(model, path, {})
        other = subject.created(seed=1)
        if is_module(other):
            other.eval()
        with subject.calling("loading the state dict into a new model"):
            load_weights(other, path)
    _require_same_draws(subject, model, images)
    if not torch.allclose(
        subject.logits(other, images), subject.logits(model, images), rtol=1e-4, atol=1e-5
    ):
        raise CheckFailed(
            "a new model with the saved state dict gives other logits; keep every tensor that "
            "forward() needs as nn.Parameter or register_buffer(), so that it is saved"
        )


@check(output, group="modules")
def training_mode(subject: Subject) -> None:
    """Training mode gives logits too and changes no parameter; evaluation changes nothing.

    Mend: return only logits in both modes; change buffers only while ``self.training``.
    """
    model, images = subject.ready(), subject.images(5)
    before = tensors(model)
    subject.logits(model, images)
    if changed := changed_tensor(model, before):
        raise CheckFailed(
            f"forward() changes {changed} in evaluation mode; change buffers only where "
            "self.training is true"
        )
    model.train()
    _require_mode(model, training=True)
    given = images.clone()
    with torch.no_grad(), subject.calling("forward() of a batch of 5 in training mode"):
        logits = model(given)
    require_unchanged(given, images)
    expected = (5, len(subject.data.classes))
    if not isinstance(logits, Tensor) or logits.shape != expected or logits.dtype != torch.float32:
        found = (
            f"{logits.dtype} {tuple(logits.shape)}"
            if isinstance(logits, Tensor)
            else type(logits).__name__
        )
        raise CheckFailed(
            f"in training mode forward() returns {found}, expected logits torch.float32 "
            f"{expected} as in evaluation; return nothing besides them"
        )
    parameters = {name for name, _ in model.named_parameters()}
    if changed := changed_tensor(model, {name: before[name] for name in parameters}):
        raise CheckFailed(
            f"forward() changes the parameter {changed} in training mode; leave that to the "
            "optimizer, or make it a buffer"
        )
    model.eval()
    _require_mode(model, training=False)


@check(output, group="modules")
def deep_copy(subject: Subject) -> None:
    """``copy.deepcopy`` gives an independent model with the same logits.

    Mend: share no tensors through globals or closures.
    """
    model, images = subject.ready(), subject.images(5)
    with subject.calling("copy.deepcopy() of the model"):
        copied = copy.deepcopy(model)
    _require_same_draws(subject, model, images)
    before = subject.logits(model, images)
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


@check(output, group="modules")
def device(subject: Subject) -> None:
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
                    f"the tensor {f'{path}.{attribute}'.lstrip('.')} is neither a parameter nor "
                    "a buffer; whether forward() moves it, only a CUDA device can tell"
                )


def _require_same_draws(subject: Subject, model: Any, images: Tensor) -> None:
    """Refuse to compare logits of a model that draws random numbers which no seed repeats.

    Raises:
        NotApplicable: if it does.
    """
    first, second = (subject.logits(model, images) for _ in range(2))
    if not torch.equal(first, second):
        raise NotApplicable(
            "the same images give other logits the second time, with the same seeds too, so there "
            "is nothing to compare"
        )


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the tensors in a model's state dict."""
    state = model.state_dict().items()
    return {name: tensor.clone() for name, tensor in state if isinstance(tensor, Tensor)}


def changed_tensor(model: nn.Module, before: dict[str, Tensor]) -> str:
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


CHECKS = (
    output,
    empty_batch,
    deterministic,
    batch_mates,
    state_dict,
    training_mode,
    deep_copy,
    device,
)
