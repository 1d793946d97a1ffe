"""A model as a torch module: taken out of what wraps it, its failures in words."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn

from mnistzoo.errors import MnistzooError, describe_failure


class ModelFailed(MnistzooError):
    """A model's own code raised an exception; it is the cause of this one."""


@contextlib.contextmanager
def calling(model: nn.Module, what: str) -> Iterator[None]:
    """Name the model and the line of its code where something that is done with it fails.

    Args:
        model: whose code runs in the block.
        what: is done with it, such as ``"forward() of a batch of 5"``.

    Raises:
        ModelFailed: for any exception but Ctrl-C and those of mnistzoo.
    """
    try:
        yield
    except (KeyboardInterrupt, MnistzooError):
        raise
    except BaseException as error:  # SystemExit too: a model must not end the zoo
        packages = {type(each).__module__.partition(".")[0] for each in model.modules()} - {"torch"}
        name = type(unwrapped(model)).__name__
        raise ModelFailed(describe_failure(f"{name}: {what}", error, packages)) from error


def training_loss(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return the loss that a model itself defines, if it does.

    It is ``training_loss(images, labels)``, from images float32 ``(N, 1, 28, 28)``, 0 to 1, and
    labels int64 ``(N,)`` to one number; with a recipe's own augmentation the labels are shares of
    the classes, float32 ``(N, C)``.
    """
    return getattr(model, "training_loss", None)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside what ``torch.compile`` and data parallelism put around it."""
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrapped(model.module)
    # By its attribute: to import the class imports torch's compiler, which takes two seconds.
    compiled = getattr(model, "_orig_mod", None)
    return unwrapped(compiled) if isinstance(compiled, nn.Module) else model


def copy_sharing_tensors(
    model: nn.Module, instead: Mapping[Tensor, Tensor] | None = None
) -> nn.Module:
    """Return a deep copy of a model that has the very tensors of the model.

    Args:
        model: to copy.
        instead: tensors of the model to those that the copy has in their place.
    """
    values = (each for module in model.modules() for each in vars(module).values())
    tensors = (*model.parameters(), *model.buffers(), *values)
    shared = {id(each): each for each in tensors if isinstance(each, Tensor)}
    return copy.deepcopy(model, shared | {id(old): new for old, new in (instead or {}).items()})
