"""Models that make string tensors are refused, however it is encoded; other strings are not."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mnistzoo import Predictor
from mnistzoo.onnx_runtime import OnnxFileError

_DISGUISE = "replaced by a field"
IMAGES = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)


def model(
    nodes: Sequence[onnx.NodeProto],
    initializers: Sequence[onnx.TensorProto] = (),
    functions: Sequence[onnx.FunctionProto] = (),
) -> bytes:
    """Return a file with nodes that follow ``flat``, float32 ``(n, 784)``, up to ``logits``."""
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["flat"]), *nodes],
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(np.eye(784, 10, dtype=np.float32), "eye"), *initializers],
    )
    opsets = [helper.make_opsetid(name, at) for name, at in _OPSETS.items()]
    made: onnx.ModelProto = helper.make_model(
        graph, opset_imports=opsets, ir_version=8, functions=functions
    )
    return made.SerializeToString()


_OPSETS = {"": 17, "ai.onnx.ml": 3, "own": 1}
PRODUCT = helper.make_node("MatMul", ["flat", "eye"], ["product"])
ADDED = [
    helper.make_node("Cast", ["size"], ["float size"], to=TensorProto.FLOAT),
    helper.make_node("Add", ["product", "float size"], ["logits"]),
]


def sized(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return nodes that add the number of a node's ``strings`` to the logits."""
    return [PRODUCT, node, helper.make_node("Size", ["strings"], ["size"]), *ADDED]


def varint(number: int) -> bytes:
    head, last = number >> 7, number & 127
    return bytes([last | 128]) + varint(head) if head else bytes([last])


def disguised(content: bytes, tag: int, doc: int, value: int) -> bytes:
    """Return the file with a field in place of the ``doc_string`` that marks its message."""
    marked = varint(doc << 3 | 2) + varint(len(_DISGUISE)) + _DISGUISE.encode()
    assert content.count(marked) == 1
    field = varint(tag) + varint(value)
    rest = len(marked) - len(field) - 2
    return content.replace(marked, field + varint(doc << 3 | 2) + varint(rest) + b" " * rest)


def cast() -> bytes:
    node = helper.make_node("Cast", ["flat"], ["strings"], to=TensorProto.DOUBLE)
    node.attribute[0].doc_string = _DISGUISE
    return model(sized(node))


def initializer() -> bytes:
    strings = numpy_helper.from_array(np.array(["x"], object), "text")
    strings.data_type, strings.doc_string = TensorProto.FLOAT, _DISGUISE
    return model(sized(helper.make_node("Identity", ["text"], ["strings"])), [strings])


def by_reference() -> bytes:
    inner = helper.make_node("Cast", ["a"], ["strings"])
    reference = inner.attribute.add()
    reference.name, reference.ref_attr_name = "to", "kind"
    reference.type = onnx.AttributeProto.INT
    nodes = [inner, helper.make_node("Size", ["strings"], ["b"])]
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "Sized", ["a"], ["b"], nodes, opsets, ["kind"])
    call = helper.make_node("Sized", ["flat"], ["size"], domain="own", kind=TensorProto.STRING)
    return model([PRODUCT, call, *ADDED], functions=[function])


def labels() -> bytes:
    whole = helper.make_node("Cast", ["flat"], ["whole"], to=TensorProto.INT64)
    node = helper.make_node(
        "LabelEncoder",
        ["whole"],
        ["strings"],
        domain="ai.onnx.ml",
        keys_int64s=[0],
        values_strings=["zero"],
    )
    return model([whole, *sized(node)])


TO, TYPE = 3 << 3, 2 << 3
MAKING = {
    "cast beyond 32 bits": lambda: disguised(cast(), TO, 13, 2**32 + TensorProto.STRING),
    "cast beyond 64 bits": lambda: disguised(cast(), TO, 13, 2**64 + TensorProto.STRING),
    "tag beyond 32 bits": lambda: disguised(cast(), 2**32 + TO, 13, TensorProto.STRING),
    "initializer": lambda: disguised(initializer(), TYPE, 12, 2**32 + TensorProto.STRING),
    "by reference": by_reference,
    "labels": labels,
}


@pytest.mark.parametrize("way", MAKING)
def test_a_model_that_makes_string_tensors_is_refused(way: str) -> None:
    with pytest.raises(OnnxFileError, match="which may take any amount of memory"):
        Predictor(MAKING[way]())


def trees() -> list[onnx.NodeProto]:
    """Return a tree for each class as scikit-learn and XGBoost export them: pixel above a half."""
    each = range(10)
    return [
        helper.make_node(
            "TreeEnsembleRegressor",
            ["flat"],
            ["logits"],
            domain="ai.onnx.ml",
            n_targets=10,
            nodes_treeids=[tree for tree in each for _ in range(3)],
            nodes_nodeids=[0, 1, 2] * 10,
            nodes_featureids=[feature for tree in each for feature in (tree, 0, 0)],
            nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * 10,
            nodes_values=[0.5, 0, 0] * 10,
            nodes_truenodeids=[1, 0, 0] * 10,
            nodes_falsenodeids=[2, 0, 0] * 10,
            target_treeids=list(each),
            target_nodeids=[2] * 10,
            target_ids=list(each),
            target_weights=[1.0] * 10,
        )
    ]


def test_strings_that_only_configure_an_operator_are_not_refused() -> None:
    logits = Predictor(model(trees())).logits(IMAGES)
    assert (logits == (IMAGES.reshape(3, 784)[:, :10] > 0.5)).all()
