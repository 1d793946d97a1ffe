"""torch's table of what each operation is in ONNX, made once a process.

The exporter makes it anew for each export, which is two thirds of an export of a small net.
"""

import functools


def keep() -> None:
    """Let the exports of this process, and of its forks, share one table."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    made = functools.cache(ONNXRegistry.from_torchlib)
    ONNXRegistry.from_torchlib = staticmethod(made)  # type: ignore[method-assign]


def make() -> None:
    """Make the table that exports take by default."""
    from torch.onnx._internal.exporter import _constants
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    ONNXRegistry.from_torchlib(opset_version=_constants.TORCHLIB_OPSET)
