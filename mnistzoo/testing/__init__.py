"""The check that a plugin's own tests run over its models, in one line."""

import torch

from mnistzoo.data import load_dataset
from mnistzoo.evaluation import evaluate
from mnistzoo.weights import read_story
from mnistzoo.zoo import create_model, get_spec, load_model, weights_path

# Other versions of torch and other processors round differently, and may flip a few images.
_METRIC_TOLERANCE = 0.0005


def check_model(name: str) -> None:
    """Check that an installed model keeps the contract of :class:`mnistzoo.ModelSpec`.

    Its parameters are as many as declared (``create_model`` compares), batches of 1 and 3 images
    give finite logits that do not depend on the batch's other images, and its shipped weights, if
    any, have the declared checksum and test accuracy.

    Raises:
        AssertionError: says what was expected and what was found.
        MnistzooError: if the model cannot be created or its weights cannot be loaded.
    """
    spec = get_spec(name)
    model = create_model(name).eval()
    test = load_dataset("mnist-10k").test
    images = torch.tensor(test.images[:3]).unsqueeze(1) / 255
    with torch.inference_mode():
        logits = model(images)
        alone = model(images[:1])
    shape, kind = tuple(logits.shape), logits.dtype
    assert shape == (3, 10), f"{name} returns shape {shape} for 3 images, expected (3, 10)"
    assert kind == torch.float32, f"{name} returns {kind}, expected torch.float32"
    assert logits.isfinite().all(), f"{name} returns NaN or infinite logits for real images"
    assert torch.allclose(alone, logits[:1], rtol=1e-4, atol=1e-5), (
        f"{name} gives an image other logits alone than among others: do not mix images"
    )
    if spec.members:
        load_model(name)
    if spec.weights is None:
        return
    found = evaluate(load_model(name), test).accuracy
    declared = spec.weights.metrics.get("test_accuracy")
    assert declared is not None, f"{name} declares no metric 'test_accuracy' of its weights"
    assert abs(found - declared) <= _METRIC_TOLERANCE, (
        f"{name} declares test_accuracy {declared}, but its weights have {found}"
    )
    told = read_story(weights_path(spec)).get("metrics", {}).get("test_accuracy", declared)
    assert told == declared, (
        f"{name} declares test_accuracy {declared}, but the metadata of its weights says {told}"
    )
