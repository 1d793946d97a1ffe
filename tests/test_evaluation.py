import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from training_runs import trained

from mnistzoo import (
    Dataset,
    Evaluation,
    Recipe,
    Split,
    evaluate,
    inference,
    load_dataset,
    read_idx,
    write_idx,
)
from mnistzoo.data import DataError
from mnistzoo.errors import MnistzooError
from mnistzoo.evaluation import evaluate_repeatedly
from mnistzoo.inference import predict_logits, resolve_device
from mnistzoo.modules import ModelFailed


def evaluation(labels: list[int], predictions: list[int], confidence: float) -> Evaluation:
    """Predictions that all have the same confidence."""
    logits = np.zeros((len(labels), 10), np.float32)
    logits[np.arange(len(labels)), predictions] = np.log(9 * confidence / (1 - confidence))
    return Evaluation.from_logits(logits, np.array(labels, np.uint8))


def test_counts_of_a_small_example() -> None:
    found = evaluation([0, 0, 1, 1, 1, 7], [0, 1, 1, 1, 2, 7], confidence=0.95)
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.per_class_accuracy[:2] == [0.5, pytest.approx(2 / 3)]
    assert found.per_class_accuracy[7] == 1.0
    assert found.per_class_accuracy[3] is None
    assert found.confusion[0, :2].tolist() == [1, 1]
    assert found.confusion.sum() == 6
    assert found.top_confusions == [(0, 1, 1), (1, 2, 1)]
    assert [band.count for band in found.confidence_bands] == [0, 6, 0]
    assert [band.accuracy for band in found.confidence_bands] == [None, pytest.approx(4 / 6), None]
    assert found.expected_calibration_error == pytest.approx(0.95 - 4 / 6, abs=1e-6)
    *empty, full = found.calibration_bins
    assert {(each.count, each.right, each.confidence) for each in empty} == {(0, 0, None)}
    assert (full.count, full.right) == (6, 4)
    assert full.confidence == pytest.approx(0.95, abs=1e-6)


def test_a_notebook_shows_an_evaluation_in_one_line() -> None:
    found = evaluation([0, 0, 1, 1, 1, 7], [0, 1, 1, 1, 2, 7], confidence=0.95)
    assert repr(found) == "Evaluation(66.67 % of 6 images)"


@pytest.mark.parametrize(("confidence", "band"), [(0.995, 0), (0.98, 1), (0.5, 2)])
def test_confidence_falls_into_its_band(confidence: float, band: int) -> None:
    bands = evaluation([3, 4], [3, 3], confidence).confidence_bands
    assert [each.count for each in bands] == [2 * (index == band) for index in range(3)]
    assert bands[band].accuracy == 0.5


def test_facts_are_consistent_on_the_official_test_set() -> None:
    class Nearest(nn.Module):
        """Scores by the mean image of each digit, so no training is needed."""

        def __init__(self, means: Tensor) -> None:
            super().__init__()
            self.means = means

        def forward(self, images: Tensor) -> Tensor:
            return -torch.cdist(images.flatten(1), self.means)

    data = load_dataset("mnist-10k")
    images = torch.tensor(data.train.images).flatten(1) / 255
    labels = torch.tensor(data.train.labels)
    means = torch.stack([images[labels == digit].mean(0) for digit in range(10)])
    facts = evaluate(Nearest(means), data.test).to_dict()
    # Nearest mean is known to reach 80 to 82 % on MNIST.
    assert 0.80 < facts["accuracy"] < 0.83
    confusion = np.array(facts["confusion"])
    assert confusion.sum(1).tolist() == np.bincount(data.test.labels).tolist()
    assert confusion.trace() == round(facts["accuracy"] * 10_000)
    assert sum(band["count"] for band in facts["confidence_bands"]) == 10_000
    low, high = facts["accuracy_interval"]
    assert low < facts["accuracy"] < high


def test_evaluation_keeps_the_mode_of_the_model_and_ignores_the_batch_size() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10)).train()
    images = torch.tensor(load_dataset("mnist-10k").test.images[:70]).unsqueeze(1)
    whole = predict_logits(model, images)
    parts = predict_logits(model, images, batch_size=16)
    assert model.training
    torch.testing.assert_close(whole, parts)


def test_a_module_that_is_frozen_in_a_training_model_stays_so() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10)).train()
    model[1].eval()
    predict_logits(model, torch.zeros(1, 1, 28, 28, dtype=torch.uint8))
    assert [module.training for module in model] == [True, False, True]


def test_threads_evaluate_one_model_in_training_mode_and_leave_it_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 32), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, 10)
    ).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = torch.tensor(load_dataset("mnist-10k").test.images[:200]).unsqueeze(1)
    expected = predict_logits(copy.deepcopy(model).eval(), images)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: predict_logits(model, images), range(80)))
    assert all(torch.allclose(each, expected, atol=1e-5) for each in found)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())


def test_a_model_in_training_mode_that_cannot_be_copied_says_what_to_do() -> None:
    class Uncopied(Bright):
        def __deepcopy__(self, memo: dict[int, object]) -> nn.Module:
            raise TypeError("there is only one")

    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    with pytest.raises(ModelFailed, match=r"call model\.eval\(\) before.*there is only one"):
        predict_logits(Uncopied(), images)
    assert predict_logits(Uncopied().eval(), images).shape == (2, 10)


@pytest.mark.parametrize(
    "logits", [np.zeros((3, 9), np.float32), np.full((3, 10), np.nan, np.float32)]
)
def test_bad_logits_are_refused(logits: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="logits"):
        Evaluation.from_logits(logits, np.zeros(3, np.uint8), tuple("0123456789"))


class Bright(nn.Module):
    """Counts the tenths of the sum of an image that is 0 to 1: its answers follow the scale."""

    def forward(self, images: Tensor) -> Tensor:
        tenths = (images.flatten(1).sum(1) / 25).long().clamp(0, 9)
        return nn.functional.one_hot(tenths, 10).float()


def test_float_images_are_evaluated_as_they_are() -> None:
    test = load_dataset("mnist-10k").test[:100]
    expected = evaluate(Bright(), test).predictions
    images, labels = test.tensors()
    before = images.clone()
    for floats in (images / 255, images.double() / 255, images.squeeze(1).half() / 255):
        untouched = floats.clone()
        found = evaluate(Bright(), TensorDataset(floats, labels))
        assert (found.predictions == expected).all()
        assert torch.equal(floats, untouched)
    assert (evaluate(Bright(), TensorDataset(images, labels)).predictions == expected).all()
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 1, 28, 28) + 255, "from 255 to 255, .*; divide them by 255"),
        (torch.zeros(3, 1, 28, 28) - 0.4242, "from -0.4242 .*; leave out what norm"),
        (torch.full((3, 1, 28, 28), torch.nan), "from nan"),
        (torch.zeros(3, 784), r"torch.float32 \(3, 784\)"),
        (torch.zeros(3, 3, 28, 28), r"\(3, 3, 28, 28\)"),
        (torch.zeros(3, 28, 28, dtype=torch.int64), "torch.int64"),
        (torch.zeros(0, 1, 28, 28), "no images"),
    ],
)
def test_images_that_no_model_takes_are_refused(images: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(Bright(), TensorDataset(images, torch.zeros(len(images), dtype=torch.long)))


@pytest.mark.parametrize(
    ("model", "choose", "sentence"),
    [
        (
            Bright(),
            lambda data: data,
            "evaluate() takes the images of one split; give data.test",
        ),
        (
            Bright(),
            lambda data: 7,
            "evaluate() takes a split, a data set of (image, label) or a DataLoader, not int; give "
            "data.test of load_dataset()",
        ),
        (Bright(), lambda data: data.test[:0], "there are no images to evaluate"),
        (
            "tiny1k",
            lambda data: data.test[:3],
            "'tiny1k' is a name, not a model; mnistzoo.load_model('tiny1k') loads it",
        ),
        (
            "a.onnx",
            lambda data: data.test[:3],
            "'a.onnx' is a name, not a model; mnistzoo.Predictor('a.onnx') loads it",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence_that_says_what_to_do(
    model: Any, choose: Callable[[Dataset], Any], sentence: str
) -> None:
    with pytest.raises(MnistzooError) as caught:
        evaluate(model, choose(load_dataset("mnist-10k")))
    assert str(caught.value) == sentence


def test_logits_of_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="there are no images to evaluate"):
        Evaluation.from_logits(np.zeros((0, 10), np.float32), np.zeros(0, np.uint8))


def test_data_without_labels_is_refused() -> None:
    with pytest.raises(DataError, match="pairs of an image and a label"):
        evaluate(Bright(), TensorDataset(torch.zeros(3, 1, 28, 28)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_split_a_data_set_and_a_loader_are_evaluated_alike(workers: int) -> None:
    test = load_dataset("mnist-10k").test[:300]
    expected = evaluate(Bright(), test)
    loader = DataLoader(test, batch_size=64, num_workers=workers)
    for data in (loader, test, Subset(test, range(300))):
        found = evaluate(Bright(), data, device=torch.device("cpu"))
        assert (found.predictions == expected.predictions).all()
        assert (found.labels == expected.labels).all()


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((3, 784), np.uint8),
        np.zeros((3, 1, 28, 28), np.uint8),
        np.zeros((3, 784), np.float32),
        np.zeros((3, 28, 28), ">i2"),
        np.zeros((3, 28, 28), np.int64),
    ],
)
def test_images_of_another_form_are_refused_with_what_converts_them(
    images: NDArray[np.uint8],
) -> None:
    labels = np.zeros(3, np.uint8)
    with pytest.raises(DataError, match=r"expected uint8 \(N, 28, 28\)") as caught:
        Split(images, labels)
    _, _, advice = str(caught.value).rpartition("; if ")
    advice = advice.partition(", ")[2].removesuffix(" converts them")
    assert len(Split(eval(advice, {"numpy": np, "images": images}), labels)) == 3


@given(
    st.sampled_from(
        [
            "i1",
            "u1",
            *(f"{order}{kind}" for order in "<>" for kind in ("i2", "u2", "i4", "u4", "i8", "u8")),
        ]
    )
)
def test_labels_of_any_integer_type_and_byte_order_are_the_same(dtype: str) -> None:
    test = load_dataset("mnist-10k").test[:100]
    labels = test.labels.astype(dtype)
    split = Split(test.images, labels)
    assert split.labels.dtype == np.uint8
    assert evaluate(Bright(), split).to_dict() == evaluate(Bright(), test).to_dict()
    logits = np.eye(10, dtype=np.float32)[test.labels]
    assert Evaluation.from_logits(logits, labels).accuracy == 1


def test_labels_out_of_an_idx_file_can_be_trained_on(tmp_path: Path) -> None:
    train_images = load_dataset("mnist-10k").train[:64]
    write_idx(tmp_path / "labels", train_images.labels.astype("int32"))
    recipe = Recipe(epochs=1, batch_size=32, optimizer="adam", learning_rate=0.001, threads=1)

    def linear() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    split = Split(train_images.images, read_idx(tmp_path / "labels"))
    (other, _), (net, run) = (trained(linear, recipe, each, each) for each in (train_images, split))
    assert run.validation_accuracy is not None
    assert torch.equal(*(each.state_dict()["1.weight"] for each in (net, other)))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0.0, 1.0], r"float64 \(2,\), expected integers"),
        ([[0], [1]], r"int64 \(2, 1\), expected integers"),
        ([0, 10], "from 0 to 10, expected 0 to 9"),
        ([-1, 3], "from -1 to 3, expected 0 to 9"),
        ([1, 2, 3], "2 images and 3 labels"),
    ],
)
def test_labels_that_are_no_digits_are_refused(labels: list[Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        Split(np.zeros((2, 28, 28), np.uint8), np.array(labels))


@pytest.mark.parametrize("name", ["cuda:1", "cuda", "mps"])
def test_the_index_of_a_device_is_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(inference._COUNTS, "cuda", lambda: 2)
    monkeypatch.setitem(inference._COUNTS, "mps", lambda: 1)
    for device in (name, torch.device(name)):
        assert resolve_device(device) == torch.device(name)
    with pytest.raises(inference.DeviceError, match="cuda:2 is not there"):
        resolve_device("cuda:2")


class Drawing(nn.Module):
    """Dropout that stays on."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(784, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(nn.functional.dropout(images.flatten(1), 0.5, training=True))


def test_a_model_that_draws_random_numbers_is_evaluated_from_seeds() -> None:
    torch.manual_seed(0)
    model, data = Drawing(), load_dataset("mnist-10k").test[:300]
    before = torch.get_rng_state()
    found = evaluate_repeatedly(model, data, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    again = evaluate_repeatedly(model, data, device="cpu")
    accuracies = [each.accuracy for each in found.evaluations]
    assert accuracies == [each.accuracy for each in again.evaluations]
    assert len(set(accuracies)) > 1 and len(accuracies) == 5
    assert found.accuracy == pytest.approx(np.mean(accuracies))
    assert found.accuracy_sd == pytest.approx(np.std(accuracies, ddof=1))
    entropy = found.predictive_entropy
    assert entropy.shape == (300,) and (entropy > 0).all() and (entropy < np.log(10)).all()
    of_one = [
        evaluate_repeatedly(model, data, repeats=2, seed=each, device="cpu") for each in (0, 1)
    ]
    assert of_one[0].evaluations[1].accuracy == of_one[1].evaluations[0].accuracy
    with pytest.raises(ValueError, match="repeats is 1, it must be at least 2"):
        evaluate_repeatedly(model, data, repeats=1)


class Ink:
    """A classifier without torch: the darker the image, the higher the digit."""

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert images.dtype == np.uint8 and images.shape[1:] == (28, 28)
        ink = images.reshape(len(images), -1).mean(1) / 25.5
        return -np.abs(np.arange(10) - ink[:, None]).astype(np.float32)


def test_any_object_with_logits_is_evaluated_on_any_data() -> None:
    data = load_dataset("mnist-10k").test[:50]
    expected = evaluate(Ink(), data).predictions
    assert (Ink().logits(data.images).argmax(1) == expected).all()
    for other in (DataLoader(data, batch_size=7), TensorDataset(*data.tensors())):
        assert (evaluate(Ink(), other).predictions == expected).all()


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (np.zeros((3, 10), np.float32), r"Wrong: logits\(\) of 5 images returns \(3, 10\)"),
        ([1, 2], r"Wrong: logits\(\) of 5 images returns list"),
        (np.zeros((5, 7), np.float32), r"the logits have shape \(5, 7\)"),
    ],
)
def test_logits_of_another_kind_are_one_sentence(returned: Any, says: str) -> None:
    class Wrong:
        def logits(self, images: NDArray[np.uint8]) -> Any:
            return returned

    with pytest.raises(MnistzooError, match=says):
        evaluate(Wrong(), load_dataset("mnist-10k").test[:5])
