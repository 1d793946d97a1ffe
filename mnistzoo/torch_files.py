"""What a file of PyTorch would take to load, found out before torch loads it.

``torch.load(weights_only=True)`` runs no code of a file, yet what it does call can turn a few
hundred bytes of pickle into gigabytes or hours: ``bytearray(2**33)``, the set of a tensor whose
billion elements are one and the same, a codec that doubles a text again and again. So the pickle is
rehearsed first, with stand-ins for all that it names, which make nothing.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Iterable
from typing import Any, ClassVar

import torch

_PICKLES_BEFORE_STORAGES = 5  # in the format before PyTorch 1.6
_COLLECTIONS = ("OrderedDict", "Counter", "set")


class TakesTooMuch(Exception):
    """A file asks for more memory or time than its size allows; says by what."""


def require_little(content: bytes) -> None:
    """Refuse a file that asks for more memory or time than its size allows.

    ``torch.save`` writes no such file.

    Args:
        content: of a ``.pt`` or ``.pth`` file.

    Raises:
        TakesTooMuch: if it does.
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
        raise TakesTooMuch("its members are compressed")
    if (unpacked := sum(each.file_size for each in members)) > len(content):
        raise TakesTooMuch(f"its members overlap and have {unpacked:,} bytes in all")
    pickled = torch._C.PyTorchFileReader(io.BytesIO(content)).get_record("data.pkl")
    _Rehearsal(io.BytesIO(pickled), len(content)).load()


class _Rehearsal(pickle._Unpickler):  # that in C has a memo that a few bytes make huge
    """Goes through a pickle as torch does, and makes no more than it has bytes."""

    dispatch: ClassVar = {**pickle._Unpickler.dispatch}
    # torch knows no such operation, and it would make as many bytes as it says.
    del dispatch[pickle.BYTEARRAY8[0]]

    def __init__(self, stream: io.BytesIO, most: int) -> None:
        super().__init__(stream, encoding="bytes")
        self._most = self._left = most

    def find_class(self, module: str, name: str) -> Any:
        return type(name, (_StandIn,), {"rehearsal": self})

    def persistent_load(self, pid: Any) -> "_Storage":
        if pid[4] > self._most:
            raise TakesTooMuch(f"a storage has {pid[4]:,} elements")
        return _Storage(pid[4])

    def load_empty_dictionary(self) -> None:
        self.append(_Dict())  # type: ignore[attr-defined]

    dispatch[pickle.EMPTY_DICT[0]] = load_empty_dictionary  # type: ignore[assignment]

    def called(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Return what a call gives, by its name alone; None where that does not matter.

        torch takes some modules for others, such as those of Python 2.
        """
        match name, arguments:
            case ("OrderedDict" | "Counter" | "set", [list() | tuple() | dict() as items]):
                self._count(len(items))
                pairs = name == "OrderedDict" and not isinstance(items, dict)
                return _Dict((each[0] if pairs else each, None) for each in items)
            case ("OrderedDict" | "Counter" | "set", []):
                return _Dict()
            case ("Size", [list() | tuple() as sizes]):
                self._count(len(sizes))
            case ("encode", [str() as text, "latin1" | b"latin1"]):
                self._count(len(text))
                return text.encode("latin1")
            case ("bytearray", [str() | bytes() as text, *_]):
                self._count(len(text))
            case ("bytearray", []):
                pass
            case ("_rebuild_from_type_v2", [function, _, inner, *_]):
                return function(*inner)
            case (
                "_rebuild_tensor"
                | "_rebuild_tensor_v2"
                | "_rebuild_tensor_v3"
                | "_rebuild_qtensor",
                [_Storage() as storage, _, size, *_],
            ):
                if math.prod(size) > storage.elements:
                    raise TakesTooMuch(
                        f"a tensor {tuple(size)} repeats the elements of its storage"
                    )
            case (_, []):
                pass
            case _ if name in (*_COLLECTIONS, "Size", "encode", "bytearray") or name.endswith(
                ("Tensor", "Storage", "_rebuild_device_tensor_from_cpu_tensor")
            ):
                raise TakesTooMuch(f"it calls {name} in a way that torch.save never does")
        return None

    def _count(self, elements: int) -> None:
        self._left -= elements
        if self._left < 0:
            raise TakesTooMuch("it takes the same things again and again")


class _StandIn:
    """Stands for a class or function that a pickle names, and for what comes of it."""

    rehearsal: _Rehearsal

    def __new__(cls, *arguments: Any) -> Any:
        made = cls.rehearsal.called(cls.__name__, arguments)
        return object.__new__(cls) if made is None else made

    def __init__(self, *arguments: Any) -> None:
        pass

    def ignore(self, *state: Any) -> None:
        pass

    __setstate__ = __setitem__ = append = extend = ignore


class _Storage:
    def __init__(self, elements: int) -> None:
        self.elements = elements


class _Dict(dict[Any, Any]):
    """With keys that are quickly hashed: of tuples in tuples a few bytes can take hours."""

    def __init__(self, items: Iterable[tuple[Any, Any]] = ()) -> None:
        super().__init__()
        for key, value in items:
            self[key] = value

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, tuple) and any(isinstance(each, tuple) for each in key):
            raise TakesTooMuch("a key is a tuple of tuples")
        super().__setitem__(key, value)

    def __setstate__(self, state: Any) -> None:
        pass
