"""Augmentation, measured by what it does to images whose distortion can be read off."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mnistzoo import Augmentation, load_dataset
from mnistzoo.training.augment import augment, crop_middle

EVERYTHING: dict[str, Any] = {
    "rotation": 20,
    "scale": 0.2,
    "shift": 3,
    "shear": 15,
    "elastic": 1.5,
    "erasing": 0.5,
    "crop": 22,
}
MIDDLE = 13.5  # of 28 pixels that count from 0
PLACES = torch.arange(28.0)

amounts = st.builds(
    Augmentation,
    rotation=st.floats(0, 180),
    scale=st.floats(0, 1, exclude_max=True),
    shift=st.floats(0, 28),
    shear=st.floats(0, 90, exclude_max=True),
    elastic=st.floats(0, 28),
    erasing=st.floats(0, 1),
    crop=st.floats(1, 28),
)
seeds = st.integers(0, 2**63 - 1)  # torch's generator on the CPU heeds the last 32 bits


def augmented(images: Tensor, seed: int = 0, **strengths: Any) -> Tensor:
    return augment(images, Augmentation(**strengths), torch.Generator().manual_seed(seed))


def digits(count: int) -> Tensor:
    images = load_dataset("mnist-10k").train.images[:count]
    return torch.tensor(images).unsqueeze(1) / 255


def blob(row: float = MIDDLE, column: float = MIDDLE, width: float = 1.0) -> Tensor:
    """Return a Gaussian, ``(1, 1, 28, 28)``, its middle at a place and its top at most 1."""
    down = (-((PLACES - row) ** 2) / (2 * width**2)).exp()
    across = (-((PLACES - column) ** 2) / (2 * width**2)).exp()
    return (down[:, None] * across).view(1, 1, 28, 28)


def ramp() -> Tensor:
    """Return an image whose every pixel says in which column it is, ``(1, 1, 28, 28)``."""
    return (PLACES / 27).expand(28, 28).reshape(1, 1, 28, 28)


def copies(image: Tensor, count: int) -> Tensor:
    return image.expand(count, -1, -1, -1)


def centres(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return row and column of each image's centre of mass."""
    mass = images.sum((1, 2, 3))
    rows = (images.sum((1, 3)) * PLACES).sum(1) / mass
    columns = (images.sum((1, 2)) * PLACES).sum(1) / mass
    return rows, columns


def widths(profiles: Tensor) -> Tensor:
    """Return the standard deviation of each of the distributions ``(N, 28)``."""
    shares = profiles / profiles.sum(1, keepdim=True)
    middle = (shares * PLACES).sum(1, keepdim=True)
    return (shares * (PLACES - middle) ** 2).sum(1).sqrt()


@given(amount=amounts, seed=seeds, count=st.integers(1, 5))
@settings(max_examples=60)
def test_images_stay_images_and_the_callers_are_left_alone(
    amount: Augmentation, seed: int, count: int
) -> None:
    images = torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(count))
    before = images.clone()
    result = augment(images, amount, torch.Generator().manual_seed(seed))
    assert (result.shape, result.dtype) == (images.shape, torch.float32)
    assert ((result >= 0) & (result <= 1)).all()  # NaN is neither
    assert torch.equal(images, before)


@given(amount=amounts, seed=seeds)
@settings(max_examples=30)
def test_the_same_seed_draws_the_same_and_another_seed_something_else(
    amount: Augmentation, seed: int
) -> None:
    amount = dataclasses.replace(amount, elastic=amount.elastic + 0.5 * (amount.elastic < 0.5))
    images = ramp() * 0.5 + 0.5
    first, again, other = (
        augment(images, amount, torch.Generator().manual_seed(each))
        for each in (seed, seed, seed ^ 1)
    )
    assert torch.equal(first, again)
    assert first.max() == 0 or not torch.equal(first, other)


@pytest.mark.parametrize("field", EVERYTHING)
def test_each_strength_alone_changes_digits_by_chance(field: str) -> None:
    images = digits(8)
    first, other = (augmented(images, seed, **{field: EVERYTHING[field]}) for seed in (0, 1))
    assert not torch.equal(first, images)
    assert not torch.equal(first, other)


def test_without_strengths_the_very_images_come_back_and_nothing_is_drawn() -> None:
    images = digits(3)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert augment(images, Augmentation(), generator) is images
    assert torch.equal(generator.get_state(), before)


def test_each_image_is_distorted_in_its_own_way() -> None:
    result = augmented(copies(digits(1), 20), **EVERYTHING)
    assert len({tuple(image.flatten().tolist()) for image in result}) == 20


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    augmented(digits(3), **EVERYTHING)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("shift", [0.5, 2, 8])
def test_a_shift_moves_by_at_most_so_many_pixels_either_way(shift: float) -> None:
    moved = augmented(copies(blob(), 2000), shift=shift)
    for centre in centres(moved):
        offsets = centre - MIDDLE
        assert offsets.abs().max() <= shift + 0.001
        assert offsets.min() < -0.95 * shift
        assert offsets.max() > 0.95 * shift
        assert abs(float(offsets.mean())) < 5 * shift / math.sqrt(3 * 2000)
    across, down = (centre - centre.mean() for centre in centres(moved))
    assert abs(float((across * down).mean())) < 5 * shift**2 / 3 / math.sqrt(2000)


def test_what_comes_in_from_outside_is_black() -> None:
    moved = augmented(torch.ones(500, 1, 28, 28), shift=28)
    assert ((moved == 0).flatten(1).any(1)).all()
    assert (moved == 1).any()


def test_a_rotation_keeps_a_blob_in_the_middle_as_it_is() -> None:
    image = blob(width=3)
    turned = augmented(copies(image, 500), rotation=180)
    torch.testing.assert_close(turned.sum((1, 2, 3)), image.sum().expand(500), rtol=0.01, atol=0)
    for centre in centres(turned):
        assert (centre - MIDDLE).abs().max() < 0.02


@pytest.mark.parametrize("rotation", [10, 45, 180])
def test_a_rotation_turns_about_the_middle_by_at_most_its_angle(rotation: float) -> None:
    turned = augmented(copies(blob(column=MIDDLE + 9), 2000), rotation=rotation)
    rows, columns = (centre - MIDDLE for centre in centres(turned))
    assert (torch.hypot(rows, columns) - 9).abs().max() < 0.1
    angles = torch.rad2deg(torch.atan2(rows, columns))
    assert angles.abs().max() < rotation + 0.5
    assert angles.min() < -0.95 * rotation
    assert angles.max() > 0.95 * rotation


@pytest.mark.parametrize("scale", [0.1, 0.3])
def test_a_scale_changes_width_and_height_each_within_its_bounds(scale: float) -> None:
    image = blob(width=3)
    scaled = augmented(copies(image, 2000), scale=scale)
    before = float(widths(image.sum((1, 2))))
    heights, across = (widths(scaled.sum(axes)) / before - 1 for axes in ((1, 3), (1, 2)))
    for change in (heights, across):
        assert change.abs().max() < scale + 0.02
        assert change.min() < -0.9 * scale
        assert change.max() > 0.9 * scale
    together = float((heights * across).mean() / (heights.std() * across.std()))
    assert abs(together) < 5 / math.sqrt(2000)


@pytest.mark.parametrize("shear", [10, 30])
def test_a_shear_slants_upright_lines_and_leaves_level_ones(shear: float) -> None:
    upright = torch.zeros(1, 1, 28, 28)
    upright[:, :, :, 13:15] = 1
    slanted = augmented(copies(upright, 1000), shear=shear)[:, 0, 6:22]
    columns = (slanted * PLACES).sum(2) / slanted.sum(2)
    slopes = (columns[:, -1] - columns[:, 0]) / 15
    angles = torch.rad2deg(torch.atan(slopes))
    assert angles.abs().max() < shear + 0.5
    assert angles.min() < -0.95 * shear
    assert angles.max() > 0.95 * shear
    level = upright.mT
    moved = augmented(copies(level, 100), shear=shear)
    torch.testing.assert_close(moved[..., 14], copies(level, 100)[..., 14])


def displacements(elastic: float, count: int, edge: int) -> tuple[Tensor, Tensor]:
    """Return from where each pixel comes, down and across, ``(count, rows, columns)``, in pixels.

    Between two pixels a ramp is as steep as everywhere else, so it shows the displacement exactly;
    but only where the outside is out of reach, so without ``edge`` pixels on every side.
    """
    inner = slice(edge, 28 - edge)
    across = augmented(copies(ramp(), count), elastic=elastic)[:, 0, inner, inner] * 27
    down = augmented(copies(ramp().mT, count), elastic=elastic)[:, 0, inner, inner] * 27
    return down - PLACES[inner, None], across - PLACES[inner]


@pytest.mark.parametrize(("elastic", "edge"), [(0.5, 3), (1, 6), (1.5, 9)])
def test_an_elastic_distortion_has_its_standard_deviation_everywhere_and_no_drift(
    elastic: float, edge: int
) -> None:
    count = 4000
    for offsets in displacements(elastic, count, edge):
        assert (offsets.mean(0) / elastic).abs().max() < 6 / math.sqrt(count)
        assert (offsets.std(0) / elastic - 1).abs().max() < 6 / math.sqrt(2 * count)


def test_an_elastic_distortion_is_smooth_but_no_shift() -> None:
    for offsets in displacements(elastic=1, count=1000, edge=6):
        assert offsets.diff(dim=1).std() < 0.25
        assert offsets.diff(dim=2).std() < 0.25
        far_apart = offsets[:, 0, 0] - offsets[:, -1, -1]
        assert far_apart.std() > 1


def test_an_elastic_distortion_is_independent_across_and_down() -> None:
    down, across = displacements(elastic=1, count=4000, edge=6)
    assert (down * across).mean(0).abs().max() < 6 / math.sqrt(4000)


@pytest.fixture(scope="module")
def erased() -> Tensor:
    """Return which pixels of 5,000 images are erased, ``(5000, 28, 28)``, in each a rectangle."""
    return augmented(torch.ones(5000, 1, 28, 28), erasing=1).squeeze(1) == 0


def test_erasing_blackens_one_rectangle_of_4_to_12_pixels_a_side(erased: Tensor) -> None:
    rows, columns = erased.any(2), erased.any(1)
    assert torch.equal(erased, rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):
        assert set(side.sum(1).tolist()) == set(range(4, 13))
        starts_and_ends = side.diff(dim=1).sum(1) + side[:, 0].int() + side[:, -1].int()
        assert set(starts_and_ends.tolist()) == {2}


def test_erasing_reaches_every_pixel(erased: Tensor) -> None:
    assert erased.any(0).all()


def test_erasing_leaves_the_other_pixels_as_they_are() -> None:
    images = digits(100)
    result = augmented(images, erasing=1)
    assert ((result == images) | (result == 0)).all()


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_erasing_has_its_probability(probability: float) -> None:
    result = augmented(torch.ones(2000, 1, 28, 28), erasing=probability)
    hit = int((result == 0).flatten(1).any(1).sum())
    deviation = math.sqrt(2000 * probability * (1 - probability))
    assert abs(hit - 2000 * probability) < 5 * deviation


def test_erasing_is_sure_at_1(erased: Tensor) -> None:
    assert erased.flatten(1).any(1).all()


def test_a_crop_enlarges_a_window_that_stays_inside_the_image() -> None:
    images = augmented(copies(blob(width=1.5), 500), crop=21)
    profiles = images.sum(2).squeeze(1)
    whole = profiles.sum(1) > 0.99 * profiles.sum(1).max()  # those whose blob was not cut off
    assert torch.allclose(widths(profiles[whole]), torch.tensor(1.5 * 28 / 21), rtol=0.05)
    rows, columns = centres(images)
    # The window's middle lies up to 3.5 pixels off the image's, and a pixel is 28/21 as large.
    for places in (rows, columns):
        moved = places - MIDDLE
        assert moved.abs().max() < 3.5 * 28 / 21 + 0.1
        assert moved.max() > 4
        assert moved.min() < -4


def test_the_middle_is_what_a_crop_shows_on_average() -> None:
    images = digits(8)
    assert crop_middle(images, 28) is images
    middle = crop_middle(images, 14)
    expected = torch.nn.functional.interpolate(images[:, :, 7:21, 7:21], scale_factor=2)
    assert (middle.shape, middle.dtype) == (images.shape, torch.float32)
    assert torch.nn.functional.l1_loss(middle, expected) < 0.12
    (row,), (column,) = centres(crop_middle(blob(row=15.5), 14))
    assert row == pytest.approx(MIDDLE + 2 * 2, abs=0.1)
    assert column == pytest.approx(MIDDLE, abs=0.1)
