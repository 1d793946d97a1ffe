"""The Predictor runs exported files without PyTorch, and refuses others."""

import copy
import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from drawing import write_linear_model
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mnistzoo import ModelSpec, Predictor, export_onnx, load_dataset, runtime
from mnistzoo.calibration import Calibration, softmax
from mnistzoo.onnx_runtime import OnnxFileError


@pytest.fixture
def linear_onnx(
    register: Callable[..., None], linear_spec: Callable[..., ModelSpec], tmp_path: Path
) -> Path:
    register(linear_spec("linear"))
    export_onnx("linear", tmp_path / "linear.onnx")
    return tmp_path / "linear.onnx"


def onnx_file(path: Path, shape: list[int | str], outputs: list[int | str]) -> Path:
    names = ["image", "logits"]
    graph = helper.make_graph(
        [helper.make_node("Identity", names[:1], names[1:])],
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, outputs)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_probabilities_are_those_of_the_logits(linear_onnx: Path) -> None:
    predictor = Predictor(linear_onnx)
    images = load_dataset("mnist-10k").test.images[:7]
    probabilities = predictor.probabilities(images)
    assert probabilities.shape == (7, 10) and probabilities.dtype == np.float32
    # Its logits are 1 for the digit one and 0 for the others.
    assert probabilities[:, 1] == pytest.approx(np.e / (np.e + 9))
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert predictor.metadata["model"] == "linear"


@pytest.mark.parametrize(
    "images", [np.zeros((2, 28, 28), np.float32), np.zeros((28, 28), np.uint8)]
)
def test_other_images_than_it_takes_are_refused(linear_onnx: Path, images: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"images must be uint8 \(N, 28, 28\), not "):
        Predictor(linear_onnx).probabilities(images)


def test_the_predictor_needs_no_torch(
    linear_onnx: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    code = (
        "import sys, numpy\n"
        "for name in ('torch', 'pluggy', 'onnx', 'PIL', 'click'): sys.modules[name] = None\n"
        "from mnistzoo import Predictor\n"
        "predictor = Predictor(sys.argv[1])\n"
        "print(predictor.logits(numpy.zeros((2, 1, 28, 28), 'f4')).argmax(1))\n"
        "print(predictor.probabilities(numpy.zeros((1, 28, 28), 'u1')).argmax())"
    )
    done = run_python("-c", code, str(linear_onnx))
    assert (done.stdout, done.stderr) == ("[1 1]\n1\n", "")


_WATCHED = """\
import os, sys
from mnistzoo import Predictor

if "quantise" in sys.argv:
    import numpy, onnx
    from mnistzoo.quantization import quantise
    quantise(onnx.load(sys.argv[1]), numpy.zeros((2, 1, 28, 28), "f4"))
Predictor(sys.argv[1])
print(os.environ["ORT_DISABLE_TELEMETRY"])
for each in os.listdir("/proc/self/fd"):
    if os.path.islink(f"/proc/self/fd/{each}"):
        print(os.readlink(f"/proc/self/fd/{each}"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_onnxruntime_sends_no_telemetry_unless_the_user_lets_it(
    linear_onnx: Path,
    tmp_path: Path,
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    # Whether onnxruntime sends anything in time to be seen here depends on the machine, so what the
    # variable does is not asked: only that it is set before the import, and left to the user.
    for words, settings, said in [
        (["quantise"], {}, "1"),
        ([], {}, "1"),
        ([], {"ORT_DISABLE_TELEMETRY": "0"}, "0"),
    ]:
        home = tmp_path / f"home{len(words)}{said}"
        home.mkdir()
        folders = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
        env = dict.fromkeys(folders, str(home)) | settings
        done = run_python("-c", _WATCHED, str(linear_onnx), *words, env=env)
        assert done.returncode == 0, done.stderr
        first, *opened = done.stdout.splitlines()
        assert first == said
        if said == "1":
            assert list(home.rglob("*")) == []
            assert [each for each in opened if each.startswith(("socket:", str(home)))] == []


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x01\x12"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.onnx"
    path.write_bytes(content)
    with pytest.raises(OnnxFileError, match=r"text\.onnx (is not an ONNX model|maps)"):
        Predictor(path)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (["n", 3, 224, 224], ["n", 3, 224, 224]),
        (["n", 1, 28, 28], ["n", 1, 28, 28]),
        ([1, 10], [1, 10]),
        (["n", 1, 28, 28], ["n", 0]),
    ],
)
def test_a_model_of_something_else_is_refused(
    tmp_path: Path, inputs: list[int | str], outputs: list[int | str]
) -> None:
    path = onnx_file(tmp_path / "other.onnx", inputs, outputs)
    with pytest.raises(OnnxFileError, match=r"other\.onnx maps float \(.*not images"):
        Predictor(path)


@pytest.mark.parametrize(
    ("kind", "images", "sentence"),
    [
        (TensorProto.STRING, -1, r"to string \(n, 10\), not images"),
        (TensorProto.FLOAT, 5, r"fails for a single image"),
    ],
)
def test_a_model_that_does_not_give_logits_for_an_image_is_refused(
    tmp_path: Path, kind: int, images: int, sentence: str
) -> None:
    path = tmp_path / "other.onnx"
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["image", "shape"], ["flat"]),
            helper.make_node("Slice", ["flat", "zero", "ten", "one"], ["first"]),
            helper.make_node("Cast", ["first"], ["logits"], to=kind),
        ],
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", kind, ["n", 10])],
        initializer=[
            helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
            for name, values in {
                "shape": [images, 784],
                "zero": [0],
                "ten": [10],
                "one": [1],
            }.items()
        ],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    with pytest.raises(OnnxFileError, match=rf"other\.onnx .*{sentence}"):
        Predictor(path)


def digits_onnx(
    path: Path, nodes: list[onnx.NodeProto], constants: dict[str, NDArray[Any]]
) -> Path:
    """Write a model of nodes that follow ``flat``, float32 ``(n, 784)``, and end in ``logits``."""
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["flat"]), *nodes],
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


FIRST_TEN = {"eye": np.eye(784, 10, dtype=np.float32)}
PRODUCT = helper.make_node("MatMul", ["flat", "eye"], ["product"])


@pytest.mark.parametrize("repeats", [[2, 1], [20, 1], [5005, 1]])
def test_another_number_of_rows_than_images_is_refused(repeats: list[int], tmp_path: Path) -> None:
    tile = helper.make_node("Tile", ["product", "repeats"], ["logits"])
    constants = FIRST_TEN | {"repeats": np.array(repeats)}
    path = digits_onnx(tmp_path / "rows.onnx", [PRODUCT, tile], constants)
    with pytest.raises(OnnxFileError, match=rf"rows\.onnx gives logits \({repeats[0]}, 10\) for 1"):
        Predictor(path)


def test_a_file_that_runs_for_one_image_only_is_refused(tmp_path: Path) -> None:
    shape = helper.make_node("Reshape", ["product", "shape"], ["logits"])
    constants = FIRST_TEN | {"shape": np.array([1, 10])}
    path = digits_onnx(tmp_path / "one.onnx", [PRODUCT, shape], constants)
    with pytest.raises(OnnxFileError, match=r"one\.onnx fails for two images"):
        Predictor(path)


def test_an_endless_loop_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_MOST_SECONDS", 1)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["still"]),
            helper.make_node("Add", ["before", "eye"], ["after"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["", "true", "eye"], ["weights"], body=body)
    product = helper.make_node("MatMul", ["flat", "weights"], ["logits"])
    constants = FIRST_TEN | {"true": np.array(True)}
    path = digits_onnx(tmp_path / "loop.onnx", [loop, product], constants)
    with pytest.raises(OnnxFileError, match="it took more than 1 seconds"):
        Predictor(path)


def test_a_constant_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    nodes = [
        PRODUCT,
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["product", "zero"], ["logits"]),
    ]
    path = digits_onnx(tmp_path / "huge.onnx", nodes, FIRST_TEN | {"size": np.array([3 * 10**9])})
    with pytest.raises(OnnxFileError, match=r"huge\.onnx fails .*12000000000"):
        Predictor(path)


@pytest.mark.parametrize("origin", ["constant", "cast", "attribute", "branch"])
def test_a_file_that_makes_texts_is_refused(origin: str, tmp_path: Path) -> None:
    """A text of 1,000 letters, repeated five million times, would take 5 GB; 32 kB is the file."""
    text = np.array(["x" * 1000], object)
    constants: dict[str, NDArray[Any]] = {"times": np.array([5_000_000])}
    match origin:
        case "constant":
            begin, constants["text"] = [], text
        case "cast":
            constants["number"] = np.array([1e-30], np.float32)
            begin = [helper.make_node("Cast", ["number"], ["text"], to=TensorProto.STRING)]
        case "attribute":
            begin = [helper.make_node("Constant", [], ["text"], value_strings=list(text))]
        case _:
            constants["true"] = np.array(True)
            branch = helper.make_graph(
                [],
                "branch",
                [],
                [helper.make_tensor_value_info("inner", TensorProto.STRING, [1])],
                [numpy_helper.from_array(text, "inner")],
            )
            branches = {"then_branch": branch, "else_branch": branch}
            begin = [helper.make_node("If", ["true"], ["text"], **branches)]
    nodes = [
        PRODUCT,
        *begin,
        helper.make_node("Tile", ["text", "times"], ["texts"]),
        helper.make_node("Size", ["texts"], ["size"]),
        helper.make_node("Cast", ["size"], ["number of them"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["product", "number of them"], ["logits"]),
    ]
    path = digits_onnx(tmp_path / "texts.onnx", nodes, FIRST_TEN | constants)
    with pytest.raises(OnnxFileError, match=r"texts\.onnx uses string tensors, which may"):
        Predictor(path)


def test_metadata_that_is_not_utf_8_is_refused(linear_onnx: Path) -> None:
    content = linear_onnx.read_bytes()
    assert content.count(b"Softmax regression") == 1
    with pytest.raises(OnnxFileError, match=r"is not UTF-8"):
        Predictor(content.replace(b"Softmax regression", b"Softmax regressio\xff"))


@pytest.mark.parametrize("threads", [0, -1, 1_025, 100_000])
def test_so_many_threads_are_refused(threads: int, linear_onnx: Path) -> None:
    with pytest.raises(ValueError, match=r"it must be from 1 to 1,024"):
        Predictor(linear_onnx, threads=threads)


def linear_graph(**changes: Any) -> onnx.ModelProto:
    """Return a linear model whose logits are the first ten pixels, in a file's form."""
    columns = np.eye(784, 10, dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "columns"], ["product"]),
            helper.make_node(changes.pop("last", "Identity"), ["product"], ["logits"]),
        ],
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])],
        initializer=[numpy_helper.from_array(columns, "columns")],
    )
    opset = helper.make_opsetid("", changes.pop("opset", 17))
    return helper.make_model(graph, opset_imports=[opset], **{"ir_version": 8} | changes)


def test_weights_beside_the_file_are_found_and_named_where_they_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    onnx.save(
        linear_graph(),
        folder / "net.onnx",
        save_as_external_data=True,
        location="net.onnx.data",
        size_threshold=0,
    )
    images = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    expected = images.reshape(3, -1)[:, :10]
    monkeypatch.chdir(tmp_path)
    predictor = Predictor("models/net.onnx")
    assert np.allclose(predictor.logits(images), expected)
    monkeypatch.chdir(folder)
    assert np.allclose(Predictor("net.onnx").logits(images), expected)
    assert np.allclose(pickle.loads(pickle.dumps(predictor)).logits(images), expected)
    (folder / "net.onnx.data").unlink()
    with pytest.raises(
        OnnxFileError, match=r"net\.onnx keeps its weights in .*net\.onnx\.data, wh"
    ):
        Predictor(folder / "net.onnx")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ir_version": 99}, r"has IR version 99, and the installed onnxruntime .* is too old"),
        ({"opset": 99}, r"has opset 99, and the installed onnxruntime .* is too old"),
        ({"last": "Foo"}, r"is not an ONNX model .*\(.*Foo.*\); `mnistzoo export`"),
        ({"last": "Softmax"}, r"gives probabilities, not logits; leave out the softmax"),
    ],
)
def test_the_reason_of_onnx_runtime_is_told(
    changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "net.onnx").write_bytes(linear_graph(**changes).SerializeToString())
    with pytest.raises(OnnxFileError, match=rf"net\.onnx {sentence}") as caught:
        Predictor(tmp_path / "net.onnx")
    assert "onnxruntime_src" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_predictor_can_be_pickled_and_goes_into_spawned_processes(linear_onnx: Path) -> None:
    predictor = Predictor(linear_onnx, threads=2)
    linear_onnx.unlink()  # it keeps the bytes
    blank = np.zeros((2, 1, 28, 28), np.float32)
    for other in (pickle.loads(pickle.dumps(predictor)), copy.deepcopy(predictor)):
        assert other.logits(blank).argmax(1).tolist() == [1, 1]
        assert other.metadata == predictor.metadata
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        digits = pool.submit(predictor.logits, blank)
        assert digits.result(timeout=60).argmax(1).tolist() == [1, 1]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.onnx"):
        Predictor(tmp_path / "absent.onnx")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """Return a model that tells digits apart, and says nothing of itself."""
    return onnx.load(write_linear_model(tmp_path_factory.mktemp("fitted") / "model.onnx"))


def saying(model: onnx.ModelProto, *, by: str = "mnistzoo 0.2.0", **metadata: str) -> bytes:
    told = onnx.ModelProto()
    told.CopyFrom(model)
    helper.set_model_props(told, {"exported_with": by} | metadata)
    return told.SerializeToString()


def test_the_temperature_of_a_file_changes_how_sure_it_is_but_no_digit(
    fitted: onnx.ModelProto,
) -> None:
    test = load_dataset("mnist-10k").test.images
    plain = Predictor(saying(fitted))
    logits = plain.logits(test)
    assert plain.calibration is None
    np.testing.assert_allclose(plain.probabilities(test), softmax(logits), rtol=1e-6)
    for temperature in (0.01, 0.5, 2.0, 100.0):
        predictor = Predictor(saying(fitted, temperature=str(temperature), threshold="0.9"))
        found = predictor.probabilities(test)
        np.testing.assert_allclose(found, softmax(logits / temperature), atol=1e-6)
        assert (found.argmax(1) == logits.argmax(1)).all()
        for image in test[:20]:
            picture, same = predictor.predict(image), plain.predict(image)
            assert (picture.digit, picture.runner_up) == (same.digit, same.runner_up)


def test_a_digit_is_in_doubt_below_the_threshold_of_the_file(fitted: onnx.ModelProto) -> None:
    images = load_dataset("mnist-10k").test.images[:40]

    def unsure(file: bytes, threshold: float) -> list[bool]:
        found = [Predictor(file).predict(image) for image in images]
        for each in found:
            if each.doubt in (None, "the model is unsure"):
                assert (each.doubt is not None) == (each.confidence < threshold)
        return [each.doubt is not None for each in found]

    plain = unsure(saying(fitted), 0.7)
    assert 0 < sum(plain) < len(plain)
    for temperature, threshold in ((1.0, 0.9), (0.5, 0.99), (2.0, 0.2)):
        file = saying(fitted, temperature=str(temperature), threshold=str(threshold))
        assert unsure(file, threshold) != plain
        again = pickle.loads(pickle.dumps(Predictor(file)))
        assert again.calibration == Calibration(temperature, threshold)


@pytest.mark.parametrize(
    "metadata",
    [
        {"temperature": "nan", "threshold": "0.9"},
        {"temperature": "0", "threshold": "0.9"},
        {"temperature": "inf", "threshold": "0.9"},
        {"temperature": "warm", "threshold": "0.9"},
        {"temperature": "1", "threshold": "1.5"},
        {"temperature": "1", "threshold": ""},
        {"temperature": "1"},
        {"threshold": "0.9"},
    ],
)
def test_a_file_with_a_damaged_temperature_or_threshold_is_refused_in_one_sentence(
    metadata: dict[str, str], fitted: onnx.ModelProto
) -> None:
    other = Predictor(saying(fitted, by="another program", **metadata))
    assert other.calibration is None  # who knows what it means by these words
    with pytest.raises(OnnxFileError) as caught:
        Predictor(saying(fitted, **metadata))
    assert str(caught.value) == (
        f"the model has the temperature {metadata.get('temperature')!r} and the threshold "
        f"{metadata.get('threshold')!r} in its metadata, which must be numbers from 0.01 to 100 "
        "and from 0 to 1; export it again"
    )
