"""What a spec refuses: anything that would only fail, or do harm, later."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistzoo import Augmentation, DataFile, DatasetSpec, Distillation, ModelSpec, Recipe, Weights
from mnistzoo.recipe import recipe_fields

Spec = Callable[..., ModelSpec]


class Text(str):
    __slots__ = ()


def recipe(**changes: Any) -> Recipe:
    declared: dict[str, Any] = {
        "epochs": 1,
        "batch_size": 64,
        "optimizer": "adam",
        "learning_rate": 0.001,
    }
    return Recipe(**declared, distillation=Distillation(teacher="resnet")).replace(**changes)


def weights(**changes: Any) -> Weights:
    declared: dict[str, Any] = {
        "file": "model.safetensors",
        "sha256": "0123456789abcdef" * 4,
        "metrics": {"test_accuracy": 0.99},
        "measured": "by hand",
    }
    return Weights(**declared | changes)


@pytest.mark.parametrize("name", ["a", "resnet18", "net_2", "x__y"])
def test_a_name_is_lower_case_letters_digits_and_underscores(name: str, linear_spec: Spec) -> None:
    assert linear_spec(name).name == name
    assert linear_spec("model", aliases=(name,)).names == ("model", name)


@pytest.mark.parametrize(
    "name", ["", "ResNet", "2net", "_net", "res-net", "net.2", "net\n", "a b", "né", "../net", None]
)
def test_another_name_or_alias_is_refused(name: Any, linear_spec: Spec) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        linear_spec(name)
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        linear_spec("model", aliases=(name,))


@pytest.mark.parametrize("aliases", [("model",), ("other", "other")])
def test_an_alias_that_says_a_name_again_is_refused(
    aliases: tuple[str, ...], linear_spec: Spec
) -> None:
    with pytest.raises(ValueError, match="'model' occurs twice"):
        linear_spec("model", aliases=aliases)


@pytest.mark.parametrize("factory", ["model:Net", "a.b_c.d:Net.small", "_a:make_2"])
def test_a_factory_names_module_and_callable(factory: str, linear_spec: Spec) -> None:
    assert linear_spec("model", factory=factory).factory == factory


@pytest.mark.parametrize(
    "factory",
    [
        "",
        "model",
        "model.Net",
        ":Net",
        "model:",
        "a:b:c",
        "a b:c",
        ".a:b",
        "a.:b",
        "a:b()",
        "a:b\n",
    ],
)
def test_a_factory_of_another_form_is_refused(factory: str, linear_spec: Spec) -> None:
    with pytest.raises(ValueError, match=r"package\.module:callable"):
        linear_spec("model", factory=factory)


@pytest.mark.parametrize("field", ["summary", "license", "source"])
@pytest.mark.parametrize(
    "text", ["two\nlines", "\x1b[2J", "tab\t", "bell\a", "\u202ereversed", None]
)
def test_a_text_with_control_characters_is_refused(
    field: str, text: Any, linear_spec: Spec
) -> None:
    with pytest.raises(ValueError, match=f"{field} of model 'model'"):
        linear_spec("model", **{field: text})


def test_a_text_may_be_in_any_script(linear_spec: Spec) -> None:
    assert linear_spec("model", summary="Größe 28, 手書き").summary == "Größe 28, 手書き"


def test_a_negative_number_of_parameters_is_refused(linear_spec: Spec) -> None:
    assert linear_spec("model", num_params=0).num_params == 0
    with pytest.raises(ValueError, match="num_params of model 'model'"):
        linear_spec("model", num_params=-1)


def test_a_model_without_a_default_recipe_is_refused(linear_spec: Spec) -> None:
    with pytest.raises(ValueError, match="'default'"):
        linear_spec("model", recipes={"reference": recipe()})
    with pytest.raises(ValueError, match="'default'"):
        linear_spec("model", recipes={}, weights=None)


def test_a_model_that_is_not_trained_here_ships_weights_and_has_no_recipe(
    linear_spec: Spec,
) -> None:
    assert not linear_spec("model", recipes={}).recipes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recipes", {"bad\nname": recipe()}),
        ("recipes", {"[red]": recipe()}),
        ("tags", ("\x1b[2J",)),
        ("empty_batch", 1),
        ("expected_failures", {"onnx": ""}),
        ("expected_failures", {"onnx": "two\nlines"}),
        ("expected_failures", ("onnx",)),
    ],
)
def test_names_and_reasons_are_one_printable_line(
    field: str, value: Any, linear_spec: Spec
) -> None:
    with pytest.raises(ValueError, match=f"{field} of model 'model'"):
        linear_spec("model", **{field: value})


@pytest.mark.parametrize(
    "changes",
    [{"measured": "two\nlines"}, {"file": "\x1b.safetensors"}, {"metrics": {"a\nb": 0.5}}],
)
def test_what_is_said_of_weights_is_one_printable_line(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="weights"):
        weights(**changes)


@pytest.mark.parametrize(
    "file",
    [
        "/etc/model.safetensors",
        "../model.safetensors",
        "weights/../../model.safetensors",
        "..\\model.safetensors",
        "weights\\model.safetensors",
        "model.pt",
        "model",
        "",
    ],
)
def test_a_weights_path_that_leaves_the_plugin_or_is_no_safetensors_is_refused(file: str) -> None:
    with pytest.raises(ValueError, match="inside the plugin"):
        weights(file=file)


def test_a_weights_file_may_lie_in_a_folder_of_the_plugin() -> None:
    assert weights(file="files/a..b.safetensors").file == "files/a..b.safetensors"


@pytest.mark.parametrize(
    "sha256", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n", "0x" + "0" * 62]
)
def test_a_checksum_that_is_no_sha256_is_refused(sha256: str) -> None:
    with pytest.raises(ValueError, match="64 lower-case hexadecimal digits"):
        weights(sha256=sha256)


@pytest.mark.parametrize(
    "value", [np.float32(0.5), np.float64(0.5), np.int64(1), True, "1", None, float("nan")]
)
def test_a_metric_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"it must be an int or a float from 0 to 1"):
        weights(metrics={"test_accuracy": value})


@pytest.mark.parametrize(
    "change",
    [
        *({name: Text("net")} for name in ("name", "summary", "license", "source")),
        {"factory": Text("my_model.model:Net")},
        *({name: (Text("net"),)} for name in ("tags", "aliases")),
        {"num_params": np.int64(3)},
        {"num_params": True},
    ],
)
def test_a_class_of_the_plugins_own_is_no_text_and_no_number(
    change: dict[str, Any], linear_spec: Spec
) -> None:
    with pytest.raises(ValueError, match="must"):
        linear_spec(**{"name": "model"} | change)


@pytest.mark.parametrize("value", [-0.001, 1.001, 99.7, float("nan"), float("inf")])
def test_a_metric_outside_0_to_1_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="'test_accuracy'"):
        weights(metrics={"test_accuracy": value})


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_a_metric_from_0_to_1_is_taken(value: float) -> None:
    assert weights(metrics={"test_accuracy": value}).metrics == {"test_accuracy": value}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("epochs", -1),
        ("epochs", 1.0),
        ("epochs", True),
        ("batch_size", 0),
        ("optimizer", "lion"),
        ("optimizer", "Lion:"),
        ("optimizer", None),
        ("optimizer_arguments", 0.9),
        ("optimizer_arguments", [("eps", 1)]),
        ("augment", "mixup"),
        ("augment_arguments", None),
        ("learning_rate", 0),
        ("learning_rate", -0.1),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("weight_decay", -0.1),
        ("weight_decay", float("nan")),
        ("weight_decay", float("inf")),
        ("schedule", "linear"),
        ("label_smoothing", -0.1),
        ("label_smoothing", 1),
        ("label_smoothing", float("nan")),
        ("rotation", -1),
        ("rotation", 180.1),
        ("rotation", "10"),
        ("rotation", True),
        ("rotation", None),
        ("rotation", float("nan")),
        ("scale", -0.1),
        ("scale", 1),
        ("scale", float("nan")),
        ("shift", -1),
        ("shift", 28.1),
        ("shift", float("nan")),
        ("shear", -1),
        ("shear", 90),
        ("shear", float("nan")),
        ("elastic", -1),
        ("elastic", 28.1),
        ("elastic", float("nan")),
        ("erasing", -0.1),
        ("erasing", 1.1),
        ("erasing", float("nan")),
        ("crop", 0.9),
        ("crop", 28.1),
        ("crop", float("nan")),
        ("plain_epochs", -1),
        ("plain_epochs", 0.5),
        ("plain_epochs", 1001),
        ("final_rate", -0.1),
        ("final_rate", 1.1),
        ("final_rate", float("nan")),
        ("ema_decay", -0.1),
        ("ema_decay", 1),
        ("ema_decay", float("nan")),
        ("clip_norm", 0),
        ("clip_norm", -1),
        ("clip_norm", float("nan")),
        ("clip_norm", float("inf")),
        ("precision", "float16"),
        ("compile", "false"),
        ("compile", 1),
        ("compile", None),
        ("teacher", 7),
        ("teacher", ""),
        ("teacher", "Big-Net"),
        ("teacher", "../net"),
        ("teacher_weight", -0.1),
        ("teacher_weight", 1.1),
        ("teacher_weight", float("nan")),
        ("temperature", 0),
        ("temperature", -1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("threads", 0),
        ("threads", -1),
        ("threads", 1.5),
        ("threads", 1_025),
        ("seed", -1),
        ("seed", 2**63),
    ],
)
def test_a_recipe_value_outside_its_range_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{field} is "):
        recipe(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 1),
        ("batch_size", 1),
        ("optimizer", "adamw"),
        ("optimizer", "sgd"),
        ("optimizer", "lion_pytorch:Lion"),
        ("optimizer_arguments", {"betas": (0.9, 0.95), "eps": 0}),
        ("augment", "package.module:mixup"),
        ("augment", None),
        ("learning_rate", 1e-9),
        ("weight_decay", 0),
        ("schedule", "constant"),
        ("schedule", "cosine"),
        ("schedule", "one-cycle"),
        ("schedule", "step"),
        ("label_smoothing", 0),
        ("label_smoothing", 0.999),
        ("rotation", 0),
        ("rotation", 180),
        ("scale", 0),
        ("scale", 0.999),
        ("shift", 0),
        ("shift", 28),
        ("shear", 0),
        ("shear", 89.9),
        ("elastic", 0),
        ("elastic", 28),
        ("erasing", 0),
        ("erasing", 1),
        ("crop", 1),
        ("crop", 28),
        ("plain_epochs", 0),
        ("plain_epochs", 1),
        ("final_rate", 0),
        ("final_rate", 1),
        ("ema_decay", 0),
        ("ema_decay", 0.9999),
        ("clip_norm", None),
        ("clip_norm", 1e-9),
        ("precision", "float32"),
        ("precision", "bfloat16"),
        ("compile", False),
        ("compile", True),
        ("teacher", None),
        ("teacher", "resnet18"),
        ("teacher_weight", 0),
        ("teacher_weight", 1),
        ("temperature", 1e-9),
        ("threads", None),
        ("threads", 1),
        ("threads", 1_024),
        ("seed", 2**63 - 1),
    ],
)
def test_a_recipe_value_at_the_end_of_its_range_is_taken(field: str, value: Any) -> None:
    assert recipe(**{field: value}).flat()[field] == value


@given(
    changes=st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.integers(3, 9),
            "clip_norm": st.none() | st.floats(0.1, 9),
            "rotation": st.floats(0, 180),
            "plain_epochs": st.integers(0, 3),
            "teacher": st.none() | st.sampled_from(["resnet", "vit"]),
        },
    ),
    temperature=st.floats(0.1, 9),
)
def test_flat_values_and_replace_are_inverse(changes: dict[str, Any], temperature: float) -> None:
    taught = recipe(epochs=3, temperature=temperature)
    changed = taught.replace(**changes)
    flat = changed.flat()
    assert list(flat) == list(recipe_fields())
    assert taught.replace(**flat) == changed and recipe().replace(**flat) == changed
    assert {name: flat[name] for name in changes} == changes
    kept = flat.keys() - changes.keys() - {"teacher_weight", "temperature"}
    assert all(flat[name] == taught.flat()[name] for name in kept)
    assert flat["temperature"] == (None if flat["teacher"] is None else temperature)


def test_a_recipe_without_its_teacher_has_no_distillation() -> None:
    assert recipe(teacher="vit", teacher_weight=1).distillation == Distillation(
        teacher="vit", weight=1
    )
    plain = recipe(teacher=None)
    assert plain.distillation is None
    with pytest.raises(ValueError, match="no teacher for temperature; set teacher"):
        plain.replace(temperature=3)
    assert recipe(teacher=None, teacher_weight=0.1) == plain


@pytest.mark.parametrize("name", ["rotaton", "augmentation", "distillation", "weight"])
def test_replace_refuses_what_is_no_field(name: str) -> None:
    with pytest.raises(TypeError, match=f"no field '{name}'; it has epochs, "):
        recipe(**{name: 1})


def test_the_groups_of_a_recipe_check_themselves() -> None:
    with pytest.raises(ValueError, match="rotation is 181, it must be a number from 0 to 180"):
        Augmentation(rotation=181)
    with pytest.raises(ValueError, match="scale is 1, it must be a number from 0 to below 1"):
        Augmentation(scale=1)
    with pytest.raises(ValueError, match="teacher_weight is 2, it must be a number from 0 to 1"):
        Distillation(teacher="resnet", weight=2)
    with pytest.raises(ValueError, match="augmentation is None, it must be of type Augmentation"):
        dataclasses.replace(recipe(), augmentation=None)  # type: ignore[arg-type]


def test_what_a_plugin_declared_cannot_be_changed(linear_spec: Spec) -> None:
    declared = [(linear_spec("model"), "name"), (weights(), "sha256"), (recipe(), "epochs")]
    for each, field in declared:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(each, field, getattr(each, field))


def dataset(**changes: Any) -> DatasetSpec:
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte") * 2
    files = tuple(DataFile(name, f"md5:{'0' * 32}") for name in names)
    declared: dict[str, Any] = {
        "name": "shapes",
        "summary": "Circles and squares",
        "classes": ("circle", "square"),
        "train": files[:2],
        "test": files[2:],
        "train_images": 1200,
        "test_images": 200,
        "validation_size": 100,
    }
    return DatasetSpec(**declared | changes)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", name) for name in ("", "Shapes", "2d", "a b", "../mnist", 5)),
        ("summary", "two\nlines"),
        *(("classes", classes) for classes in (("a",), ("a", "a"), ["a", "b"], ("a", ""), "ab")),
        ("classes", tuple(map(str, range(257)))),
        *((files, value) for files in ("train", "test") for value in ((), ("a", "b"), [1, 2])),
        *((count, value) for count in ("train_images", "test_images") for value in (0, 1.5)),
        ("validation_size", 1200),
        *(("sources", (text,)) for text in ("ftp://a/", "https://a", "file", "")),
        ("decode", "package.module"),
        ("folders", "package:files"),
    ],
)
def test_a_data_set_with_a_wrong_value_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field.removesuffix("s")):
        dataset(**{field: value})


@pytest.mark.parametrize(
    ("name", "checksum", "member"),
    [
        ("folder/file", f"md5:{'0' * 32}", ""),
        ("", f"md5:{'0' * 32}", ""),
        ("file", "0" * 64, ""),
        ("file", f"sha256:{'0' * 32}", ""),
        ("file", f"sha1:{'0' * 40}", ""),
        ("file", f"md5:{'A' * 32}", ""),
        ("file", f"md5:{'0' * 32}", "inside"),
        ("file.zip", f"md5:{'0' * 32}", ""),
    ],
)
def test_a_data_file_with_a_wrong_value_is_refused(name: str, checksum: str, member: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        DataFile(name, checksum, member)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"temperature": 0, "threshold": 0.5},
            "temperature is 0, it must be a number from 0.01 to",
        ),
        ({"temperature": 101, "threshold": 0.5}, "temperature is 101"),
        ({"temperature": float("nan"), "threshold": 0.5}, "temperature is nan"),
        ({"temperature": "1", "threshold": 0.5}, "temperature is '1'"),
        (
            {"temperature": 1.5, "threshold": 1.01},
            "threshold is 1.01, it must be a number from 0 to",
        ),
        ({"temperature": 1.5, "threshold": -0.1}, "threshold is -0.1"),
        ({"temperature": 1.5}, "temperature and threshold must be given together"),
        ({"threshold": 0.5}, "temperature and threshold must be given together"),
    ],
)
def test_a_temperature_or_a_threshold_out_of_range_or_alone_is_refused(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        weights(**changes)


def test_temperature_and_threshold_survive_json(linear_spec: Spec) -> None:
    declared = linear_spec("model", weights=weights(temperature=1.5, threshold=0.75))
    assert ModelSpec.from_dict(json.loads(json.dumps(declared.to_dict()))) == declared
