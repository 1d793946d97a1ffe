"""Pictures as people have them become images as MNIST has them."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mnistzoo import load_dataset, read_picture
from mnistzoo.missing import install_command
from mnistzoo.pictures import PictureError, decode, find
from mnistzoo.prediction import doubt

TEST = load_dataset("mnist-10k").test


def seven(size: int, ink: Any, paper: Any, mode: str = "RGB") -> Image.Image:
    """Draw a seven."""
    image = Image.new(mode, (size, size), paper)
    points = [(0.24, 0.14), (0.76, 0.14), (0.46, 0.9)]
    ImageDraw.Draw(image).line(
        [(x * size, y * size) for x, y in points], fill=ink, width=max(2, size // 12)
    )
    return image


def read(image: Image.Image, path: Path, **options: Any) -> NDArray[np.uint8]:
    image.save(path, **options)
    return read_picture(path)


def unlike(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return the mean difference of pixels, but for a shift by one that rounding may make."""
    shifted = [
        np.roll(second, (down, across), (0, 1)) for down in (-1, 0, 1) for across in (-1, 0, 1)
    ]
    return min(float(np.abs(first.astype(int) - each).mean()) for each in shifted)


def test_pictures_of_the_test_set_come_back_as_they_were(tmp_path: Path) -> None:
    differences = [
        unlike(read(Image.fromarray(image), tmp_path / "digit.png"), image)
        for image in TEST.images[:300]
    ]
    assert np.median(differences) < 0.5 and np.mean(differences) < 1


@pytest.mark.parametrize("index", [1911, 3552, 5706, 6558])
def test_a_digit_that_came_apart_is_read_whole(index: int) -> None:
    large = np.kron(TEST.images[index], np.ones((4, 4), np.uint8))
    assert unlike(read_picture(255 - large), TEST.images[index]) < 7


@settings(max_examples=60)
@given(
    index=st.integers(0, 9_999),
    scale=st.integers(1, 9),
    margins=st.tuples(*[st.integers(0, 100)] * 4),
    paper=st.sampled_from([(0, 0, 0), (255, 255, 255), (255, 240, 0), (10, 60, 120)]),
)
def test_neither_size_nor_place_nor_colour_matters(
    index: int, scale: int, margins: tuple[int, int, int, int], paper: tuple[int, int, int]
) -> None:
    """Enlarged, inverted, coloured and put anywhere, a digit becomes what it becomes by itself."""
    image = TEST.images[index]
    large = np.kron(image, np.ones((scale, scale), np.uint8))
    large = np.pad(large, (margins[:2], margins[2:]))[..., None] / 255
    ink = 255 - np.array(paper)
    coloured = np.rint(large * ink + (1 - large) * paper).astype(np.uint8)
    files = []
    for pixels in (image, coloured):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        files.append(file)
    plain, found = (_read_bytes(file.getvalue()) for file in files)
    # Enlarging by repetition and averaging again is exact but for the rounding of the box.
    assert unlike(plain, found) < 12
    assert found.max() == 255 and found.shape == (28, 28)


def _read_bytes(content: bytes) -> NDArray[np.uint8]:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(content)
        file.flush()
        return read_picture(file.name)


@pytest.mark.parametrize(
    ("image", "suffix"),
    [
        (seven(100, "white", "black"), ".png"),
        (seven(1500, "black", "white"), ".png"),
        (seven(400, "red", "yellow"), ".png"),
        (seven(200, "black", "white", "L"), ".jpg"),
        (seven(200, 0, 1, "1"), ".png"),
        (seven(200, "black", "white", "P"), ".png"),
        (seven(200, "black", "white").convert("CMYK"), ".jpg"),
        (seven(200, (0, 255), (0, 0), "LA"), ".png"),
        (seven(200, (0, 0, 0, 255), (0, 0, 0, 0), "RGBA"), ".png"),
        (seven(200, (255, 255, 255, 255), (255, 255, 255, 0), "RGBA"), ".png"),
        (Image.fromarray(np.asarray(seven(200, 100, 255, "L")).astype(np.uint16) * 200), ".png"),
        (Image.fromarray(np.asarray(seven(200, 100, 255, "L")).astype(np.uint16)), ".png"),
    ],
)
def test_every_mode_and_polarity_is_read(image: Image.Image, suffix: str, tmp_path: Path) -> None:
    expected = read(seven(200, "white", "black"), tmp_path / "expected.png")
    assert unlike(read(image, tmp_path / f"seven{suffix}"), expected) < 4


def test_a_picture_taken_sideways_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    upright = read(seven(200, "black", "white"), tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by 90 degrees
    turned = seven(200, "black", "white").transpose(Image.Transpose.ROTATE_90)
    assert unlike(read(turned, tmp_path / "turned.jpg", exif=exif), upright) < 4


def _with_a_speck(paper: NDArray[np.float64]) -> NDArray[np.float64]:
    paper[5, 5] = 0
    return paper


def _shaded(paper: NDArray[np.float64], corners: float = 0, side: float = 0) -> NDArray[np.float64]:
    y, x = np.mgrid[-1 : 1 : paper.shape[0] * 1j, -1 : 1 : paper.shape[1] * 1j]
    return paper * (0.8 - corners * (x**2 + y**2) / 2 - side * x)


PHOTOS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "as it is": lambda paper: paper,
    "cropped": lambda paper: paper[_box(paper)],
    "speck": _with_a_speck,
    "dark corners": lambda paper: _shaded(paper, corners=0.3),
    "light from one side": lambda paper: _shaded(paper, side=0.15),
    "shadow of a hand": lambda paper: paper * np.where(np.arange(paper.shape[1]) < 190, 0.6, 1),
    "pencil": lambda paper: 140 + 0.35 * paper + np.random.default_rng(0).normal(0, 4, paper.shape),
    "ruled": lambda paper: np.minimum(
        paper, np.where(np.arange(len(paper)) % 60 == 40, 190, 255)[:, None]
    ),
}


def _box(paper: NDArray[np.float64]) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero((paper < 200).any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


@pytest.mark.parametrize("photo", PHOTOS)
def test_specks_grain_lines_and_shadows_of_the_paper_are_no_ink(photo: str, tmp_path: Path) -> None:
    differences = []
    for image in TEST.images[:40]:
        paper = 255 - np.kron(np.pad(image, 10), np.ones((8, 8)))
        pixels = PHOTOS[photo](paper.astype(float)).clip(0, 255).astype(np.uint8)
        found = read(Image.fromarray(pixels), tmp_path / "photo.png")
        differences.append(unlike(found, image))
    # Two digits of the test set differ by 43 on average.
    # Of tight crops, one or two come apart.
    assert np.median(differences) < 5 and sorted(differences)[-3] < 17


def test_the_digit_fits_the_box_of_20_and_its_mass_the_middle(tmp_path: Path) -> None:
    image = read(seven(300, "black", "white"), tmp_path / "seven.png")
    rows, columns = np.nonzero(image)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    for axis in (0, 1):
        centre = np.average(np.arange(28), weights=image.sum(axis=1 - axis))
        assert centre == pytest.approx(14, abs=0.5)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"hello", "cannot be read as a picture; save it as PNG"),
        (b"", "cannot be read as a picture"),
        (b"\0\0\0\x18ftypheic" + bytes(100), "is a (HEIC|damaged) picture"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "text.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=rf"text\.png {sentence}"):
        read_picture(path)


def test_a_jpeg_of_thousands_of_scans_is_refused_before_they_are_decoded() -> None:
    stream = io.BytesIO()
    seven(2000, "black", "white").save(stream, "JPEG", progressive=True)
    sound = stream.getvalue()
    assert decode(sound).pixels.shape == (1000, 1000, 3)
    last = sound[sound.rindex(b"\xff\xda") : -2]
    with pytest.raises(PictureError, match=r"is a JPEG of 20.. scans, which take too long"):
        decode(sound[:-2] + 2000 * last + sound[-2:])


def test_a_damaged_picture_is_refused(tmp_path: Path) -> None:
    seven(200, "black", "white").save(tmp_path / "seven.png")
    content = (tmp_path / "seven.png").read_bytes()
    (tmp_path / "seven.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(PictureError, match=r"seven\.png is a damaged picture"):
        read_picture(tmp_path / "seven.png")


@pytest.mark.parametrize("size", [(30_000, 30_000), (10_000, 9_000)])
def test_a_picture_too_large_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("1", size).save(tmp_path / "huge.png")
    with pytest.raises(PictureError, match=r"huge\.png has more than 89 million pixels"):
        read_picture(tmp_path / "huge.png")


@pytest.mark.parametrize("colour", ["white", "black", "pink"])
def test_a_blank_picture_is_refused(tmp_path: Path, colour: str) -> None:
    with pytest.raises(PictureError, match=r"blank\.png is blank"):
        read(Image.new("RGB", (50, 50), colour), tmp_path / "blank.png")


def test_evenly_shaded_paper_is_blank(tmp_path: Path) -> None:
    fading = np.broadcast_to(np.linspace(0, 255, 200)[:, None], (200, 200)).astype(np.uint8)
    with pytest.raises(PictureError, match=r"fading\.png (is blank|shows nothing)"):
        read(Image.fromarray(fading), tmp_path / "fading.png")


def test_digits_are_hardly_ever_doubted() -> None:
    doubted = [doubt(image, confidence=1) for image in TEST.images]
    assert sum(reason is not None for reason in doubted) < 0.005 * len(doubted)
    assert doubt(TEST.images[0], confidence=0.5) == "the model is unsure"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format_is_read_whatever_its_name(kind: str, tmp_path: Path) -> None:
    expected = read(seven(200, "black", "white"), tmp_path / "expected.png")
    stream = io.BytesIO()
    seven(200, "black", "white").save(stream, kind)
    (tmp_path / "seven.picture").write_bytes(stream.getvalue())
    assert unlike(read_picture(tmp_path / "seven.picture"), expected) < 4
    assert unlike(read_picture(stream.getvalue()), expected) < 4


def heic(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream)
    return stream.getvalue()


def test_a_heic_picture_is_read_where_pillow_heif_is_installed(tmp_path: Path) -> None:
    expected = read(seven(200, "black", "white"), tmp_path / "expected.png")
    assert unlike(read_picture(heic(seven(200, "black", "white"))), expected) < 4


def test_without_pillow_heif_a_heic_picture_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seven.heic").write_bytes(heic(seven(200, "black", "white")))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PictureError) as caught:
        read_picture(tmp_path / "seven.heic")
    assert str(caught.value) == (
        f"{tmp_path / 'seven.heic'} is a HEIC picture; pip install pillow-heif, or save it as JPEG"
    )


def test_without_opencv_little_pictures_are_read_and_others_say_what_is_missing(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    code = """if True:
        import sys; sys.modules["cv2"] = None
        import mnistzoo
        image = mnistzoo.load_dataset("mnist-10k").test.images[0]
        print(mnistzoo.read_picture(255 - image).shape)
        try:
            mnistzoo.read_picture(image.repeat(2, axis=0))
        except mnistzoo.MnistzooError as error:
            print(error)
    """
    done = run_python("-c", code)
    assert done.stdout.splitlines() == [
        "(28, 28)",
        "finding digits on pictures of more than 40 pixels a side needs OpenCV; "
        f"`{install_command('pictures')}` installs it",
    ], done.stderr


def test_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [seven(200, "black", "white"), Image.new("RGB", (200, 200), "white")]
    frames[0].save(tmp_path / "seven.gif", save_all=True, append_images=frames[1:])
    expected = read(frames[0], tmp_path / "expected.png")
    assert unlike(read_picture(tmp_path / "seven.gif"), expected) < 4


@pytest.mark.parametrize(
    "of",
    [
        np.asarray,
        lambda image: np.asarray(image) / 255,
        lambda image: torch.from_numpy(np.asarray(image.convert("L"))[None] / np.float32(255)),
        lambda image: Image.fromarray(np.asarray(image.convert("L")) / np.float32(255)),  # mode F
        lambda image: image.convert("F"),
        lambda image: image.convert("L"),
        lambda image: image.convert("LA").convert("La"),
    ],
)
def test_arrays_and_images_are_read_as_files_are(of: Callable[[Any], Any], tmp_path: Path) -> None:
    image = seven(200, "black", "white")
    assert unlike(read_picture(of(image)), read(image, tmp_path / "seven.png")) < 1


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((5, 5), np.int64), "must be uint8, bool or floats"),
        (np.zeros((5, 5, 2), np.uint8), r"must be \(height, width\), .* not \(5, 5, 2\)"),
        (np.linspace(0, 255, 25).reshape(5, 5), "must have floats from 0 to 1, not from 0 to 255"),
        (torch.zeros(5, 5, requires_grad=True), "must be a path, .* not a Tensor .* requires grad"),
        (7, "must be a path, .* not a int"),
    ],
)
def test_what_becomes_no_pixels_is_refused(array: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"a picture {sentence}"):
        decode(array)


def test_an_image_without_pixels_or_numbers_is_refused() -> None:
    with pytest.raises(PictureError, match="the image has no pixels"):
        decode(Image.new("RGB", (0, 5)))
    with pytest.raises(PictureError, match="has pixels that are no numbers"):
        decode(Image.fromarray(np.full((5, 5), np.nan, np.float32)))


def test_a_large_picture_is_made_small_and_says_by_how_much() -> None:
    picture = decode(seven(3000, "black", "white"))
    assert max(picture.pixels.shape) == 1000 and picture.scale == 3
    (digit,) = find(picture.pixels).digits
    left, top, right, bottom = (side * picture.scale / 3000 for side in digit.box)
    assert (left, top) == pytest.approx((0.22, 0.12), abs=0.04)
    assert (right, bottom) == pytest.approx((0.79, 0.93), abs=0.04)
