"""Whether a model can be exported to ONNX."""

from importlib.util import find_spec

from mnistzoo.conversion import convert
from mnistzoo.missing import install_command
from mnistzoo.testing.checks.check import check
from mnistzoo.testing.checks.contract import batch_mates
from mnistzoo.testing.subject import NotApplicable, Subject


@check(batch_mates, group="exportable")
def onnx(subject: Subject) -> None:
    """The model exports to ONNX and computes the same there, on a tenth of the test images.

    Mend: the message names what does not export; without ``mnistzoo[onnx]`` it is not applicable.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise NotApplicable(
                f"{package} is not installed; `{install_command('onnx')}` installs it"
            )
    convert(
        subject.able(),
        subject.registration,
        own_weights=False,
        data=subject.data,
        test=subject.few(subject.data.test),  # `export` compares all of them
    )


CHECKS = (onnx,)
