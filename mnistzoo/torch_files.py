"""What a file of PyTorch would take to load, found out before torch loads it.

``torch.load(weights_only=True)`` runs no code of a file, yet what it does call can turn a few
hundred bytes of pickle into gigabytes or hours: ``bytearray(2**33)``, the set of a tensor that
repeats one element a billion times, a codec that doubles a string again and again. So the pickle is
rehearsed first, with stand-ins for all that it names, which allocate nothing.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch

_PICKLES_BEFORE_STORAGES = 5  # in the format before PyTorch 1.6
_COLLECTIONS = ("OrderedDict", "Counter", "set")


class BombError(Exception):
    """Loading a file would take more memory or time than its size allows; the message says why."""


def refuse_bombs(content: bytes) -> None:
    """Refuse a file that would take more memory or time to load than its size allows.

    Args:
        content: of a ``.pt`` or ``.pth`` file.

    Raises:
        BombError: if it would.
        Exception: of many kinds, if it is damaged.
    """
    if not content.startswith(b"PK\x03\x04"):  # so torch tells the formats apart
        stream = io.BytesIO(content)
        for _ in range(_PICKLES_BEFORE_STORAGES):
            _Rehearsal(stream, len(content)).load()
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    if any(each.filename.endswith("/constants.pkl") for each in members):
        return  # a TorchScript program, which torch refuses unread
    if any(each.compress_type != zipfile.ZIP_STORED for each in members):
        raise BombError("its members are compressed")
    if (unpacked := sum(each.file_size for each in members)) > len(content):
        raise BombError(f"its members overlap and have {unpacked:,} bytes in all")
    pickled = torch._C.PyTorchFileReader(io.BytesIO(content)).get_record("data.pkl")
    _Rehearsal(io.BytesIO(pickled), len(content)).load()


class _Rehearsal(pickle._Unpickler):  # that in C has a memo that a few bytes make huge
    """Goes through a pickle as torch does, and makes no more than it has bytes."""

    dispatch: ClassVar = {**pickle._Unpickler.dispatch}
    # torch knows no such operation, and it would make as many bytes as it says.
    del dispatch[pickle.BYTEARRAY8[0]]

    def __init__(self, stream: io.BytesIO, most: int) -> None:
        super().__init__(stream, encoding="bytes")
        self._most = most
        self._left: float = most

    def find_class(self, module: str, name: str) -> Any:
        return type(name, (_StandIn,), {"rehearsal": self})

    def persistent_load(self, pid: Any) -> "_Storage":
        if pid[4] > self._most:
            raise BombError(f"a storage has {pid[4]:,} elements")
        return _Storage()

    def load_empty_dictionary(self) -> None:
        self.append(_Dict(self.count))  # type: ignore[attr-defined]

    dispatch[pickle.EMPTY_DICT[0]] = load_empty_dictionary  # type: ignore[assignment]

    def called(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Return a stand-in for what a call gives, by its name alone.

        torch takes some modules for others, such as those of Python 2.
        """
        match name, arguments:
            case ("OrderedDict" | "Counter" | "set", [list() | tuple() | dict() as items]):
                self.count(len(items))
                pairs = name == "OrderedDict" and not isinstance(items, dict)
                return _Dict(self.count, (each[0] if pairs else each for each in items))
            case ("OrderedDict" | "Counter" | "set", []):
                return _Dict(self.count)
            case ("Size", [list() | tuple() as sizes]):
                self.count(len(sizes))
            case ("encode", [str() as text, "latin1" | b"latin1"]):
                self.count(len(text))
                return text.encode("latin1")
            case ("bytearray", [str() | bytes() as text, *_]):
                self.count(len(text))
            case ("bytearray", []):
                pass
            case ("_rebuild_from_type_v2", [function, _, inner, *_]):
                return function(*inner)
            case (
                "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3",
                [_, _, size, *_],
            ):
                self.count(len(size))
                return _Made(math.prod(map(float, size)))
            case ("_rebuild_qtensor", [_, _, size, *_]):
                self.count(len(size))
                elements = math.prod(map(float, size))
                self.count(elements / 2 + self._elements(arguments))  # quint4x2 has two in a byte
                return _Made(elements)
            case (
                "_rebuild_sparse_tensor"
                | "_rebuild_nested_tensor"
                | "_rebuild_device_tensor_from_cpu_tensor",
                _,
            ):
                self.count(self._elements(arguments))
            case (_, []):
                pass
            case _ if name in (*_COLLECTIONS, "Size", "encode", "bytearray") or name.endswith(
                ("Tensor", "Storage")
            ):
                raise BombError(f"it calls {name} in a way that torch.save never does")
        return _Made(self._elements(arguments))

    def _elements(self, arguments: tuple[Any, ...]) -> float:
        """Return how many elements have the tensors among arguments, or one level deeper."""
        total = 0.0
        for each in arguments:
            inner = each if isinstance(each, list | tuple | dict) else (each,)
            self.count(len(inner))
            total += sum(one.elements for one in inner if isinstance(one, _Made))
        return total

    def count(self, elements: float) -> None:
        """Refuse the file once its calls have read or made more elements than it has bytes."""
        self._left -= elements
        if not self._left >= 0:  # NaN if sizes are zero and infinite
            raise BombError("its calls make more elements than it has bytes")


class _Made:
    """Stands for what comes of a call.

    Attributes:
        elements: of the tensor that it is, or of those that it was made from. A tensor may repeat
            the elements of its storage, which takes nothing until they are read or copied.
    """

    def __init__(self, elements: float) -> None:
        self.elements = elements

    def __setstate__(self, state: Any) -> None:
        self.elements = math.inf  # torch may change the tensor's size

    def ignore(self, *state: Any) -> None:
        pass

    __setitem__ = append = extend = ignore


class _StandIn:
    """Stands for a class or function that a pickle names."""

    rehearsal: _Rehearsal

    def __new__(cls, *arguments: Any) -> Any:
        return cls.rehearsal.called(cls.__name__, arguments)


class _Storage:
    pass


class _Dict(dict[Any, Any]):
    """Counts what it hashes: a few bytes of tuples in tuples, shared, can take hours."""

    def __init__(self, count: Callable[[float], None], keys: Iterable[Any] = ()) -> None:
        super().__init__()
        self._count = count
        for key in keys:
            self[key] = None

    def __setitem__(self, key: Any, value: Any) -> None:
        waiting = [key]
        while waiting:
            each = waiting.pop()
            if isinstance(each, tuple):
                self._count(len(each))
                waiting += each
        super().__setitem__(key, value)

    def __setstate__(self, state: Any) -> None:
        pass
