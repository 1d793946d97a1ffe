"""The checks are checked themselves: each catches its own wrong models, and no other one does."""

import dataclasses
import hashlib
import io
import json
import pickle
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from drawing import write_linear_model
from small_data import NAMES, registered, spec

from mnistzoo import DataFile, ModelSpec, Recipe, Weights
from mnistzoo.cli import main
from mnistzoo.dataset_spec import DIGITS
from mnistzoo.models import load_model
from mnistzoo.registry import ModelError
from mnistzoo.testing import Result, run_checks
from mnistzoo.testing.checks import CHECKS
from mnistzoo.testing.runner import count, run_check
from mnistzoo.weights import save_weights

pytestmark = pytest.mark.usefixtures("one_thread")

Define = Callable[..., ModelSpec]
Register = Callable[..., None]

_CODE = """\
import itertools
import random

import torch
from torch import nn
from torch.nn import functional as F


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(784, 10)

    def forward(self, images):
        return self.linear(images.flatten(1))

"""


@dataclass(frozen=True)
class Wrong:
    """A model with one fault.

    Attributes:
        check: the only one that reports it.
        words: of the message, which say what to mend.
        code: of the class ``Model``, or its body; without it the model is a right one.
        changes: of its spec.
        files: that lie beside its module.
    """

    check: str
    words: str
    code: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


def forward(*lines: str) -> str:
    """Return a class whose forward() has these lines, ``logits`` being those of a right model."""
    body = "".join(f"        {line}\n" for line in lines)
    return (
        "class Model(Linear):\n    def forward(self, images):\n"
        f"        logits = super().forward(images)\n{body}"
    )


# Of the weights that the fixture copies beside the module; they take every image for a one.
SHIPPED: dict[str, Any] = {
    "file": "linear.safetensors",
    "metrics": {"test_accuracy": 0.1135},
    "measured": "by counting the ones",
}

RIGHT = "Model = linear\n"
SIZED = forward("return self.linear(images.view(images.size(0), -1))")
DROPPING = """\
class Model(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))

    def forward(self, images):
        return F.dropout(super().forward(images), 0.1)
"""

WRONG = {
    "alias_of_another": Wrong("names", "is claimed by", changes={"aliases": ("taken",)}),
    "no_license": Wrong("metadata", "add license=", changes={"license": ""}),
    "factory_of_no_module": Wrong("factory", "dict", "def Model():\n    return {}\n"),
    "factory_raises": Wrong(
        "factory", "LookupError: no layers", "def Model():\n    raise LookupError('no layers')\n"
    ),
    "factory_exits": Wrong("factory", "SystemExit", "def Model():\n    raise SystemExit\n"),
    "factory_is_missing": Wrong("factory", "Model", "class Other(Linear):\n    pass\n"),
    "num_params": Wrong("parameters", "write num_params=7_850", changes={"num_params": 7_840}),
    "sha256": Wrong("weights", "SHA-256", RIGHT, {"weights": SHIPPED | {"sha256": 64 * "0"}}),
    "weights_of_another": Wrong("weights", "does not fit", changes={"weights": SHIPPED}),
    "weights_are_missing": Wrong(
        "weights",
        "no such weights file",
        RIGHT,
        {"weights": SHIPPED | {"file": "lost.safetensors"}},
    ),
    "eleven_logits": Wrong("output", "one logit a class", forward("return F.pad(logits, (0, 1))")),
    "tuple": Wrong("output", "expected one tensor", forward("return logits, images")),
    "float64": Wrong("output", "end with .float()", forward("return logits.double()")),
    "one_image": Wrong("output", "shape (10,)", forward("return logits.squeeze()")),
    "changes_images": Wrong(
        "output", "trailing underscore", forward("images.div_(2)", "return logits")
    ),
    "not_a_number": Wrong("output", "NaN", forward("return (logits * 0).log() * 0")),
    "probabilities": Wrong("output", "leave softmax out", forward("return logits.softmax(1)")),
    "raises": Wrong(
        "output",
        "ValueError: six is no digit (package_of_raises/model.py, line ",
        forward("raise ValueError('six is no digit')"),
    ),
    "exits": Wrong("output", "SystemExit: 3", forward("raise SystemExit(3)")),
    "empty_batch": Wrong("empty_batch", "write flatten(1)", SIZED, changes={"empty_batch": True}),
    "dropout": Wrong(
        "deterministic", "F.dropout(x, training=self.training)", forward("return F.dropout(logits)")
    ),
    "batch_mean": Wrong(
        "batch_mates", "the batch's dimension", forward("return logits - logits.mean(0)")
    ),
    "unsaved_number": Wrong(
        "state_dict",
        "register_buffer()",
        """\
COUNT = itertools.count()  # not a random number: two of those might be close

class Model(Linear):
    def __init__(self):
        super().__init__()
        self.offset = next(COUNT)

    def forward(self, images):
        return super().forward(images) + self.offset
""",
    ),
    "extra_state": Wrong(
        "state_dict",
        "_extra_state, a dict",
        """\
class Model(Linear):
    def get_extra_state(self):
        return {"classes": 10}

    def set_extra_state(self, state):
        pass
""",
    ),
    "tuple_in_training": Wrong(
        "training_mode",
        "return nothing besides",
        forward("return (logits, images) if self.training else logits"),
    ),
    "changes_images_in_training": Wrong(
        "training_mode",
        "trailing underscore",
        forward("return logits if not self.training else logits + images.mul_(0.5).sum() * 0"),
    ),
    "counts_in_evaluation": Wrong(
        "training_mode",
        "forward() changes seen in evaluation mode",
        """\
class Model(Linear):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images):
        self.seen += 1
        return super().forward(images)
""",
    ),
    "changes_parameters": Wrong(
        "training_mode",
        "the parameter linear.bias",
        forward(
            "if self.training:",
            "    with torch.no_grad():",
            "        self.linear.bias += 1",
            "return logits",
        ),
    ),
    "train_without_super": Wrong(
        "training_mode",
        "super().train(mode)",
        "class Model(Linear):\n    def train(self, mode=True):\n        return self\n",
    ),
    "train_returns_nothing": Wrong(
        "output",
        "return super().train(mode)",
        "class Model(Linear):\n    def train(self, mode=True):\n        super().train(mode)\n",
    ),
    "detached": Wrong(
        "gradients",
        ".detach()",
        """\
class Model(Linear):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(784, 784)

    def forward(self, images):
        return super().forward(self.first(images.flatten(1)).detach())
""",
        {"num_params": 784 * 785 + 7_850},
    ),
    "unused_parameter": Wrong(
        "gradients",
        "no gradient reaches the parameter unused",
        """\
class Model(Linear):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(3))
""",
        {"num_params": 7_853},
    ),
    "copy_is_itself": Wrong(
        "deep_copy",
        "share no tensors",
        "class Model(Linear):\n    def __deepcopy__(self, memo):\n        return self\n",
    ),
    "plain_tensor": Wrong(
        "device",
        "register_buffer()",
        """\
class Model(Linear):
    def __init__(self):
        super().__init__()
        self.scale = torch.ones(10)

    def forward(self, images):
        return super().forward(images) * self.scale
""",
    ),
    "creates_on_the_cpu": Wrong(
        "device",
        "device=images.device",
        forward("return logits + torch.ones(images.shape[0], 10)"),
    ),
    "pickle": Wrong("pickling_free", "weights.pkl is a pickle", files={"weights.pkl": b""}),
    "test_accuracy": Wrong(
        "metrics",
        "declared as 0.1235, but the weights have 0.1135",
        RIGHT,
        {"weights": SHIPPED | {"metrics": {"test_accuracy": 0.1235}}},
    ),
    "does_not_learn": Wrong("training", "learning_rate", forward("return logits * 1e-6")),
    "own_noise": Wrong(
        "training",
        "torch's own generator",
        "NOISE = random.Random(0)\n\n"
        + forward("return logits * NOISE.random() if self.training else logits"),
    ),
    "one_instance": Wrong(
        "training",
        "keep nothing between runs",
        "MODEL = Linear()\n\ndef Model():\n    return MODEL\n",
    ),
    "no_form_in_onnx": Wrong(
        "onnx",
        "bessel_j0",
        forward("return logits + torch.special.bessel_j0(logits.detach())"),
    ),
    "fixed_batch": Wrong(
        "onnx", "images.shape[0]", forward("return self.linear(images.reshape(len(images), 784))")
    ),
}


def torch_file() -> bytes:
    stream = io.BytesIO()
    torch.save({}, stream)
    return stream.getvalue()


# Further faults that such a check sees; to run the other checks on them, too, would take long.
ALSO_WRONG = {
    "cannot_be_copied": Wrong(
        "deep_copy",
        "TypeError: cannot pickle 'generator' object",
        """\
class Model(Linear):
    def __init__(self):
        super().__init__()
        self.names = (str(digit) for digit in range(10))
""",
    ),
    "license_in_words": Wrong("metadata", "'MIT', say", changes={"license": "free as in beer"}),
    "neither_license_nor_source": Wrong(
        "metadata",
        "no license and no source; add license='...', source='...'",
        changes={"license": "", "source": ""},
    ),
    "unmeasured_weights": Wrong(
        "metadata", "add measured=", RIGHT, {"weights": SHIPPED | {"measured": ""}}
    ),
    "unknown_expected_failure": Wrong(
        "metadata",
        "'ouput', which is not a check",
        changes={"expected_failures": {"ouput": "a typo"}},
    ),
    "torch_file": Wrong("pickling_free", "save_weights", files={"old/weights.pt": b""}),
    "hidden_torch_file": Wrong(
        "pickling_free", "weights.bin is a pickle", files={"weights.bin": torch_file()}
    ),
    "hidden_pickle": Wrong(
        "pickling_free", "data.bin is a pickle", files={"data.bin": pickle.dumps("hidden")}
    ),
    "no_test_accuracy": Wrong(
        "metrics", "add it to metrics", RIGHT, {"weights": SHIPPED | {"metrics": {}}}
    ),
}


_NOTEBOOK = """\
import dataclasses, json
import mnistzoo
from mnistzoo.testing import run_checks
from torch import nn

class Net(nn.Linear):
    def forward(self, images):
        if len(images) > 1:
            raise ValueError("no")
        return super().forward(images.flatten(1))

def net():
    return Net(784, 10)

class Plugin:
    @mnistzoo.hookimpl
    def register_models(self, register):
        register(
            mnistzoo.ModelSpec(
                name="net", summary="x", license="MIT", source="x", factory="__main__:net",
                num_params=7850, recipes={"default": mnistzoo.Recipe(
                    epochs=1, batch_size=64, optimizer="adam", learning_rate=0.001)},
            )
        )

mnistzoo.register_plugin(Plugin(), "my notebook")
print(json.dumps([dataclasses.asdict(each) for each in run_checks("net")]))
"""


@pytest.fixture
def define(
    tmp_path: Path,
    linear_spec: Define,
    linear_weights: Path,
    linear_sha256: str,
    register: Register,
    monkeypatch: pytest.MonkeyPatch,
) -> Define:
    """Return ``define(name, code, changes, files)``: registers a model with a package of its own.

    The name must be another one in every test: results are kept by it.
    """
    monkeypatch.syspath_prepend(tmp_path)

    def defining(
        name: str,
        code: str = "",
        changes: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> ModelSpec:
        package = tmp_path / f"package_of_{name}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "model.py").write_text(f"{_CODE}\n{code or 'Model = Linear'}")
        shutil.copy(linear_weights, package)
        for file, content in (files or {}).items():
            (package / file).parent.mkdir(exist_ok=True)
            (package / file).write_bytes(content)
        facts = {
            "factory": f"{package.name}.model:Model",
            "weights": None,
            "license": "MIT",
            "source": "the tests",
        } | dict(changes or {})
        if facts["weights"] is not None:
            facts["weights"] = Weights(**{"sha256": linear_sha256} | facts["weights"])
        spec = linear_spec(name, **facts)
        register(spec, plugin=f"of-{name}")
        return spec

    return defining


def statuses(results: list[Result]) -> dict[str, str]:
    return {result.check: result.status for result in results}


def failed(results: list[Result]) -> dict[str, str]:
    """Return the messages of the checks that failed."""
    return {result.check: result.message for result in results if result.status == "failed"}


def test_every_check_has_a_wrong_model() -> None:
    # A plugin must be installed to be imported anew; its test is below.
    assert {wrong.check for wrong in WRONG.values()} | {"import"} == CHECKS.keys()


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_model_fails_one_check_which_says_what_to_mend(
    name: str, define: Define, linear_spec: Define, register: Register
) -> None:
    wrong = WRONG[name]
    define(name, wrong.code, wrong.changes, wrong.files)
    register(linear_spec("another", aliases=("taken",)))
    results = run_checks(name)
    (check, message), *others = failed(results).items()
    assert (check, others) == (wrong.check, [])
    assert wrong.words in message
    assert message.isprintable()


@pytest.mark.parametrize("name", ALSO_WRONG)
def test_a_check_knows_other_faults_of_the_kind(name: str, define: Define) -> None:
    wrong = ALSO_WRONG[name]
    define(name, wrong.code, wrong.changes, wrong.files)
    result = run_check(name, wrong.check)
    assert result.status == "failed" and wrong.words in result.message


@pytest.mark.parametrize(
    "code",
    [
        "print('hello')\nimport torch\n\n@hookimpl\ndef register_models(register):\n",
        "@hookimpl\ndef register_models(register):\n    import torch\n",
    ],
    ids=["in the module", "in the hook"],
)
def test_a_plugin_that_imports_torch_fails_one_check_which_names_the_line(
    code: str,
    install_plugin: Callable[..., Path],
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    metadata = install_plugin(
        "heavy", f"{code}    register(linear('heavy', license='MIT', source='the tests'))\n"
    )
    module = metadata.with_name("heavy") / "__init__.py"
    lines = [text.strip() for text in module.read_text().splitlines()]
    done = run_cli("check", "heavy", "--json", "results.json")
    assert done.returncode == 1, done.stderr
    results = json.loads((metadata.parents[2] / "work" / "results.json").read_text())
    assert [each["check"] for each in results] == list(CHECKS)
    ((check, message),) = [
        (each["check"], each["message"]) for each in results if each["status"] == "failed"
    ]
    assert check == "import"
    place = f"{module}, line {lines.index('import torch') + 1}"
    assert f"importing heavy imports torch ({place})" in message


def test_a_name_that_two_plugins_claim_is_reported(
    define: Define, linear_spec: Define, register: Register
) -> None:
    define("twin")
    register(linear_spec("twin"), plugin="second")
    (message,) = failed(run_checks("twin")).values()
    assert "'twin' is claimed by of-twin and second" in message


def test_a_right_model_passes_every_check(define: Define) -> None:
    define("right", changes={"aliases": ("right_too",)})
    # It is not installed, claims no empty batch and ships no weights.
    absent = {"import", "empty_batch", "weights", "metrics"}
    results = run_checks("right")
    assert statuses(results) == {
        check: "not applicable" if check in absent else "passed" for check in CHECKS
    }
    assert count(results) == "19 checks on 10,000 test images: 15 passed, 4 not applicable"
    assert not any(result.bad for result in results)
    assert run_check("right_too", "output").status == "passed"


def test_a_model_that_needs_a_second_epoch_learns(define: Define) -> None:
    recipe = Recipe(epochs=5, batch_size=16, optimizer="adam", learning_rate=1e-4)
    define("slow", changes={"recipes": {"default": recipe}})
    assert run_check("slow", "training").status == "passed"


def test_a_mask_of_infinities_and_a_tensor_moved_by_hand_are_no_faults(define: Define) -> None:
    define(
        "unusual",
        """\
class Model(Linear):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        self.scale = torch.ones(10)

    def forward(self, images):
        logits = super().forward(images) * self.scale.to(images.device)
        return logits + self.mask.softmax(0)[1]
""",
    )
    results = run_checks("unusual")
    assert failed(results) == {}
    assert statuses(results)["state_dict"] == "passed"


def test_the_checks_run_anew_on_a_model_that_was_mended(define: Define, register: Register) -> None:
    spec = define("repaired", changes={"num_params": 7_840})
    assert failed(run_checks("repaired")).keys() == {"parameters"}
    register(dataclasses.replace(spec, num_params=7_850), plugin="of-repaired")
    assert failed(run_checks("repaired")) == {}


def test_a_right_model_with_weights_alone_is_not_trained(define: Define) -> None:
    define("shipped", RIGHT, {"weights": SHIPPED, "recipes": {}})
    for check in ("gradients", "training"):
        assert run_check("shipped", check).status == "not applicable"
    for check in ("weights", "metrics", "output", "state_dict"):
        assert run_check("shipped", check).status == "passed"


def test_a_model_made_of_others_is_not_trained(define: Define) -> None:
    define("member", RIGHT, {"weights": SHIPPED})
    define(
        "pair",
        """\
class Model(nn.Module):
    def __init__(self, *members):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images):
        return sum(member(images) for member in self.members)
""",
        {"members": ("member", "member"), "recipes": {}, "num_params": 2 * 7_850},
    )
    for check in ("metrics", "gradients", "training"):
        assert run_check("pair", check).status == "not applicable"
    for check in ("weights", "output", "state_dict", "device"):
        assert run_check("pair", check).status == "passed"


@pytest.mark.parametrize(("name", "told"), [("teller", 0.9), ("boaster", "high")])
def test_weights_that_tell_another_accuracy_are_reported(
    name: str, told: Any, define: Define, register: Register, tmp_path: Path
) -> None:
    spec = define(name, RIGHT, {"weights": SHIPPED})
    path = tmp_path / f"package_of_{name}" / "linear.safetensors"
    save_weights(load_model(name), path, {"metrics": {"test_accuracy": told}})
    assert spec.weights is not None
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    weights = dataclasses.replace(spec.weights, sha256=sha256)
    register(dataclasses.replace(spec, weights=weights), plugin=f"of-{name}")
    message = run_check(name, "metrics").message
    assert f"declared as 0.1135, but the metadata of the weights says {told}; save" in message


def test_a_lone_module_is_not_blamed_for_what_lies_beside_it(
    tmp_path: Path, linear_spec: Define, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is that of all installed distributions, as a rule."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lone_module.py").write_text(f"{_CODE}\n{forward('return 1 / 0')}")
    (tmp_path / "of_somebody_else.pkl").touch()
    register(linear_spec("lone", factory="lone_module:Model", weights=None))
    assert run_check("lone", "pickling_free").status == "passed"
    assert "(lone_module.py, line " in run_check("lone", "output").message


def test_the_line_where_forward_raises_is_named_though_torch_is_between(
    define: Define, tmp_path: Path
) -> None:
    define("narrow", forward("return self.linear(images)"))
    source = (tmp_path / "package_of_narrow" / "model.py").read_text()
    line = source.splitlines().index("        return self.linear(images)") + 1
    assert f"(package_of_narrow/model.py, line {line})" in run_check("narrow", "output").message


@pytest.mark.parametrize("dtype", ["half", "bfloat16", "double"])
@pytest.mark.parametrize("layer", ["Linear(784, 10)", "LayerNorm(784)", "GRU(784, 10)"])
def test_where_kinds_of_floats_meet_the_line_and_the_mend_are_named(
    dtype: str, layer: str, define: Define, tmp_path: Path
) -> None:
    name = f"{dtype}_{layer.partition('(')[0].lower()}"
    inside = f"nn.{layer}.{dtype}()(images.flatten(1))"
    for model, line in ((name, inside), (f"{name}_out", f"return logits.{dtype}()")):
        define(model, forward(line))
        source = (tmp_path / f"package_of_{model}" / "model.py").read_text().splitlines()
        place = f"(package_of_{model}/model.py, line {source.index(f'        {line}') + 1})"
        message = run_check(model, "output").message
        if line == inside:
            assert f"{place}; images are float32: keep the parameters so too, or begin" in message
        else:
            assert message.endswith(f"expected torch.float32; end with .float() {place}")


def test_another_error_is_not_taken_for_one_of_floats(define: Define) -> None:
    define("json", forward("raise ValueError('expecting a name in double quotes')"))
    assert "keep the parameters" not in run_check("json", "output").message


def test_no_line_is_named_of_a_forward_that_is_not_the_models_own(define: Define) -> None:
    code = """\
class Double(nn.Module):
    def forward(self, images):
        return images.double()


class Model(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10), Double())
"""
    define("chain", code)
    assert run_check("chain", "output").message.endswith("end with .float()")


def test_an_exit_in_forward_does_not_end_the_checks(define: Define) -> None:
    define("leaver", forward("import sys", "sys.exit('no more')"))
    results = run_checks("leaver")
    assert list(statuses(results)) == list(CHECKS)
    assert "SystemExit: no more" in failed(results)["output"]


def test_a_check_is_not_reached_where_one_that_it_needs_failed(define: Define) -> None:
    define("unreached", forward("return logits.double()"))
    results = {result.check: result for result in run_checks("unreached")}
    assert results["deterministic"].status == "not reached"
    assert results["deterministic"].message == "it needs output, which did not pass"
    assert "not reached" not in (results["pickling_free"].status, results["parameters"].status)


def test_an_expected_failure_is_reported_with_its_reason_and_is_no_fault(
    define: Define, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "it compares the images of a batch"
    changes = {"expected_failures": {"batch_mates": reason, "onnx": reason}}
    define("comparing", forward("return logits - logits.mean(0)"), changes)
    assert checked("comparing") == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "batch_mates: " in line and "needs" not in line]
    assert line.split(":")[0].split() == ["failed", "as", "expected", "batch_mates"]
    assert "it compares the images of a batch (an image's logits differ by" in line
    assert lines[0] == "comparing" and "19 checks on 10,000 test images: 13 passed, " in lines[-1]
    assert "2 failed as expected" in lines[-1]


def test_nothing_is_hidden_behind_an_expected_failure(
    define: Define, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a wrong accuracy nor a broken training; with exit code 0 every check was run."""
    changes = {
        "expected_failures": {"deterministic": "it drops out in evaluation, too"},
        "weights": SHIPPED | {"metrics": {"test_accuracy": 0.99}},
        "num_params": 7_850,
    }
    define("dropping", DROPPING, changes)
    assert checked("dropping") == 1
    results = run_checks("dropping")
    assert "not reached" not in statuses(results).values()
    assert "declared as 0.99, but the weights have 0." in failed(results)["metrics"]
    assert statuses(results)["training"] == statuses(results)["state_dict"] == "passed"


@pytest.mark.parametrize(
    ("check", "code", "changes", "hidden"),
    [
        ("parameters", RIGHT, {"num_params": 7_840}, set()),
        ("names", RIGHT, {"aliases": ("taken",)}, set()),
        ("weights", RIGHT, {"weights": SHIPPED | {"sha256": 64 * "0"}}, {"metrics"}),
        ("metrics", RIGHT, {"weights": SHIPPED | {"metrics": {"test_accuracy": 0.99}}}, set()),
        ("empty_batch", SIZED, {"empty_batch": True, "weights": None}, set()),
        ("deterministic", DROPPING, {"weights": None}, {"batch_mates", "onnx"}),
    ],
)
def test_a_failing_check_hides_only_those_that_depend_on_it(
    check: str,
    code: str,
    changes: dict[str, Any],
    hidden: set[str],
    define: Define,
    linear_spec: Define,
    register: Register,
) -> None:
    define(f"one_fault_in_{check}", code, {"weights": SHIPPED} | changes)
    register(linear_spec("another", aliases=("taken",)))
    results = run_checks(f"one_fault_in_{check}")
    assert failed(results).keys() == {check}
    assert {each.check for each in results if each.status == "not reached"} == hidden


def test_weights_that_were_not_looked_at_are_named_with_what_is_needed(
    define: Define, linear_sha256: str
) -> None:
    files = [DataFile(name, f"md5:{32 * '0'}") for name in NAMES]
    further = tuple(
        Weights(**SHIPPED | {"sha256": linear_sha256, "dataset": name})
        for name in ("far-away", "unheard-of")
    )
    define("worldly", RIGHT, {"weights": SHIPPED, "further_weights": further})
    with registered(spec(files, name="far-away", classes=DIGITS)):
        found = {each.check: each for each in run_checks("worldly")}
    unheard = (
        "the weights for unheard-of were not looked at, since no installed plugin registers such a "
        "data set; install the one that does"
    )
    assert (found["weights"].status, found["weights"].message) == ("passed", unheard)
    assert (found["metrics"].status, found["metrics"].message) == (
        "passed",
        f"{unheard}; the weights for far-away were not evaluated, because its files are not here; "
        "`mnistzoo data download --dataset far-away` gets them",
    )


_ZEROS = """\
class Model:
    def logits(self, images):
        return torch.zeros(len(images), 10).numpy()
"""


@pytest.mark.parametrize(
    ("name", "code", "changes"),
    [
        ("graph", "", {"factory": "package_of_graph.model"}),
        ("zeros", _ZEROS, {"num_params": None}),
    ],
)
def test_another_checksum_of_what_is_not_a_module_is_one_fault(
    name: str, code: str, changes: dict[str, Any], define: Define, tmp_path: Path
) -> None:
    file = "net.onnx" if name == "graph" else "linear.safetensors"
    content = write_linear_model(tmp_path / "net.onnx").read_bytes()
    weights = SHIPPED | {"file": file, "sha256": 64 * "0"}
    define(name, code, {"recipes": {}, "weights": weights} | changes, {"net.onnx": content})
    results = run_checks(name)
    assert failed(results).keys() == {"weights"}
    assert {each.check for each in results if each.status == "not reached"} == {"metrics"}


def test_a_model_that_takes_no_empty_batch_is_right_unless_it_claims_to(define: Define) -> None:
    define("sized", SIZED)
    assert run_check("sized", "output").status == "passed"
    assert run_check("sized", "empty_batch").status == "not applicable"

    define("sized_but_claims", SIZED, {"empty_batch": True})
    message = run_check("sized_but_claims", "empty_batch").message
    assert message.startswith("Model: forward() of a batch of 0 failed: RuntimeError: ")
    assert "(package_of_sized_but_claims/model.py, line " in message
    assert message.endswith("or leave out empty_batch=True")

    define("any_size", changes={"empty_batch": True})
    assert run_check("any_size", "empty_batch").status == "passed"


def test_quick_checks_look_at_fewer_images_and_say_so(
    define: Define,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A figure that 1,000 images cannot refute is refuted by all of them."""
    monkeypatch.chdir(tmp_path)
    for name, accuracy in (("wrong", 0.99), ("nearly", 0.13)):
        weights = SHIPPED | {"metrics": {"test_accuracy": accuracy}}
        define(f"quickly_{name}", RIGHT, {"weights": weights, "num_params": 7_850})
    assert checked("quickly_nearly", "--quick", "--json", "quick.json") == 0
    assert "  19 checks on 1,000 test images: 17 passed" in capsys.readouterr().out
    assert {each["quick"] for each in json.loads(Path("quick.json").read_text())} == {True}
    assert "the weights have 0.1135; " in run_check("quickly_nearly", "metrics").message
    message = run_check("quickly_wrong", "metrics", quick=True).message
    assert "declared as 0.99, but the weights have 0.1" in message and "on 1,000 images" in message


def test_what_no_seed_repeats_leaves_nothing_to_compare(define: Define) -> None:
    """Such a model may have other logits after loading, or copying, with every tensor in place."""
    code = "COUNT = itertools.count()\n\n" + forward("return logits + next(COUNT) / 100")
    define("counting", code, {"recipes": {}, "weights": SHIPPED})
    found = {each.check: each for each in run_checks("counting")}
    assert found["deterministic"].status == "failed"
    for check in ("state_dict", "deep_copy"):
        assert found[check].status == "not applicable"
        assert "other logits the second time" in found[check].message

    code = forward("return logits + random.random()")
    define("playing", code, {"expected_failures": {"deterministic": "it plays"}})
    for check in ("state_dict", "deep_copy", "batch_mates"):
        assert run_check("playing", check).status == "passed"


def test_a_model_of_a_notebook_is_checked(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_python("-c", _NOTEBOOK)
    assert done.returncode == 0, done.stderr
    found = {each["check"]: each for each in json.loads(done.stdout)}
    assert found["pickling_free"]["status"] == "not applicable"
    assert found["pickling_free"]["message"] == "the module of the factory is not a file"
    assert {each["check"] for each in found.values() if each["status"] == "failed"} == {"output"}
    assert "forward() of a batch of 5 failed: ValueError: no (" in found["output"]["message"]
    assert "line 9)" in found["output"]["message"]


def test_an_expected_failure_that_passes_is_a_fault(
    define: Define, capsys: pytest.CaptureFixture[str]
) -> None:
    # Without a recipe, as training is none of its business.
    changes = {
        "expected_failures": {"pickling_free": "there was one"},
        "weights": SHIPPED,
        "recipes": {},
    }
    define("mended", RIGHT, changes)
    assert checked("mended") == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "pickling_free" in line]
    assert line.split(":")[0].split() == ["PASSED", "UNEXPECTEDLY", "pickling_free"]
    assert "there was one" in line and "take it out of expected_failures" in line


def test_the_results_as_json_leave_stdout_to_json(
    define: Define, capsys: pytest.CaptureFixture[str]
) -> None:
    define("plain", forward("return logits.double()"))
    assert checked("plain", "--json", "-") == 1
    captured = capsys.readouterr()
    results = json.loads(captured.out)
    assert [result["check"] for result in results] == list(CHECKS)
    facts = {"model": "plain", "check": "names", "status": "passed", "message": "", "quick": False}
    assert results[0] == facts | {"images": 0}  # it needs none
    assert results[-1]["images"] == 10_000
    assert "FAILED             output: forward() returns torch.float64" in captured.err


def test_an_unknown_model_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert checked("nobody") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert "there is no model 'nobody'" in line
    with pytest.raises(ModelError, match="there is no model 'nobody'"):
        run_checks("nobody")


def checked(*arguments: str) -> object:
    """Run ``mnistzoo check`` and return its exit code."""
    with pytest.raises(SystemExit) as caught:
        main(["check", *arguments])
    return caught.value.code
