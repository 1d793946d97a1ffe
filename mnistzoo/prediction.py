"""What a model says of a picture: the digits, how sure it is of each, and what to doubt."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo.calibration import UNCALIBRATED, Calibration, softmax
from mnistzoo.dataset_spec import DIGITS
from mnistzoo.pictures import Digit, Found, Picture, Source, digits_on, normalise
from mnistzoo.pictures.touching import cuts, is_crowded, is_line_or_bar, is_wide

Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

# What 99.9 % of MNIST's training images keep to; a picture beyond is more likely no digit.
_LEAST_INK, _MOST_INK = 0.033, 0.305  # mean of the 28x28 pixels, 0 to 1
_MOST_WIDTH = 1.8  # times the height
_MOST_OUTLINE = 0.55  # share of ink on the outline of the box, of boxes of 10x10 pixels or more
_LEAST_CONTRAST = 3.0  # times the grain of the paper
_CLOSEST_RIVAL = 0.7  # of the digit's own score
_MOST_PARTS = 2  # of a piece as wide as it is high: digits that touch are half as wide as high
_CLEARLY = 0.05  # by how much more confidence two are read than one, to be cut
_NEARLY = 0.03  # by how much less, if they are crowded
_HARDLY = 0.01  # by how much more, to be a doubt
_SURE = 0.8  # of one digit; what is read with less confidence may be two, however narrow it is
_LIKELY = 0.65  # confidence in both of two digits, with which a crowded or unsure one may be they
_MAY_BE_TWO = "it may be two digits that touch"


@dataclass(frozen=True)
class Reader:
    """A model, as what reads pictures with it needs it.

    Attributes:
        logits: from images uint8 ``(N, 28, 28)`` to logits ``(N, C)``, finite.
        labels: the names of the C classes.
        calibration: shipped with its weights; without one the confidences are as the model has
            them, and below 0.7 a digit is in doubt.
    """

    logits: Logits
    labels: Sequence[str] = DIGITS
    calibration: Calibration = UNCALIBRATED

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probabilities ``(N, C)`` of logits ``(N, C)``, at the temperature."""
        return softmax(logits / self.calibration.temperature)


@dataclass(frozen=True)
class Prediction:
    """A digit on a picture.

    Attributes:
        digit: the class with the highest probability.
        label: its name.
        confidence: its probability, 0 to 1.
        probabilities: of all classes, at the temperature that is shipped with the weights, if one
            is: it changes how sure they are, and neither digit nor runner-up.
        runner_up: the class with the second highest.
        runner_up_label: its name.
        doubt: why this may be wrong, a sentence; None if nothing speaks against it.
        image: uint8 ``(28, 28)``, 255 ink, as the model sees it.
        box: left, top, right, bottom in pixels of the upright picture.
    """

    digit: int
    label: str
    confidence: float
    probabilities: tuple[float, ...]
    runner_up: int
    runner_up_label: str
    doubt: str | None
    image: NDArray[np.uint8] = dataclasses.field(repr=False, compare=False)
    box: tuple[int, int, int, int]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the image, as JSON can hold it."""
        return {
            "digit": self.digit,
            "label": self.label,
            "confidence": self.confidence,
            "runner_up": self.runner_up,
            "runner_up_label": self.runner_up_label,
            "runner_up_confidence": self.probabilities[self.runner_up],
            "probabilities": list(self.probabilities),
            "doubt": self.doubt,
            "box": list(self.box),
        }


@dataclass(frozen=True)
class Reading:
    """A picture that was read: every step of it.

    Attributes:
        predictions: left to right, lines top to bottom; never none.
        main: the place of the digit that stands out.
    """

    picture: Picture
    found: Found
    predictions: list[Prediction]
    main: int

    @property
    def text(self) -> str:
        """The digits in one word, such as ``1407``; longer names of classes with blanks between."""
        return text_of(self.predictions)

    @property
    def one(self) -> Prediction:
        """The digit that stands out, with a doubt if it is not the only one."""
        prediction, count = self.predictions[self.main], len(self.predictions)
        if count == 1:
            return prediction
        doubt = f"there are {count} digits on the picture: {self.text}"
        if prediction.doubt:
            doubt += f"; and of this one: {prediction.doubt}"
        return dataclasses.replace(prediction, doubt=doubt)


def text_of(predictions: Sequence[Prediction]) -> str:
    """Return what is written there, in one word where the names of the classes are characters."""
    labels = [each.label for each in predictions]
    return ("" if max(map(len, labels)) == 1 else " ").join(labels)


def read(picture: Source, reader: Reader) -> Reading:
    """Return the digits on a picture.

    Args:
        picture: a path, the bytes of a file, a Pillow image or an array.
        reader: the model.

    Raises:
        PictureError: if the picture cannot be decoded, or shows no digit.
        OSError: if the file cannot be read.
    """
    return read_by_all(picture, [reader])[0]


def read_by_all(
    picture: Source, readers: Sequence[Reader], *, drawing: bool = False
) -> list[Reading]:
    """Return what each of several models says of a picture, which is searched once.

    Args:
        picture: a path, the bytes of a file, a Pillow image or an array.
        readers: the models.
        drawing: all that is on the picture is one digit.

    Raises:
        PictureError: if the picture cannot be decoded, or shows no digit.
        OSError: if the file cannot be read.
    """
    decoded, found = digits_on(picture, drawing=drawing)
    return [_reading(decoded, found, each, drawing=drawing) for each in readers]


def _reading(decoded: Picture, found: Found, reader: Reader, *, drawing: bool) -> Reading:
    images, logits = _seen(found.digits, reader)
    if not drawing:
        found = _parted(found, logits, reader)
        if len(found.digits) > len(images):
            images, logits = _seen(found.digits, reader)
    predictions = [
        _prediction(*each, reader, found, decoded.scale)
        for each in zip(found.digits, images, logits, reader.probabilities(logits), strict=True)
    ]
    return Reading(decoded, found, predictions, found.main)


def _seen(digits: Sequence[Digit], reader: Reader) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return digits as the model sees them, and its logits."""
    images = np.stack([normalise(digit.ink) for digit in digits])
    return images, reader.logits(images)


def _parted(found: Found, logits: NDArray[np.float32], reader: Reader) -> Found:
    """Return the digits with those cut apart, or doubted, that may be two."""
    digits: list[Digit] = []
    main = found.main
    for place, (digit, own) in enumerate(zip(found.digits, logits, strict=True)):
        height, width = digit.ink.shape
        most = max(2, math.ceil(_MOST_PARTS * width / height))
        parts = _parts(digit, own, reader, most)
        digits += parts
        main += (len(parts) - 1) * (place < found.main)
    return dataclasses.replace(found, digits=digits, main=main)


def _parts(digit: Digit, logits: NDArray[np.float32], reader: Reader, most: int) -> list[Digit]:
    """Return a digit in parts, at most so many.

    It is cut by what the model itself says, so that no temperature changes what is read; it is
    doubted at the temperature.
    """
    confidence = _confidence(softmax(logits[None]))
    # A letter such as w has as many strokes as two digits, or resembles two.
    only_digits = set(reader.labels) <= set(DIGITS)
    crowded = only_digits and is_crowded(digit)
    unsure = only_digits and _confidence(reader.probabilities(logits[None])) < _SURE
    suspect = crowded or is_wide(digit) or unsure
    pairs = cuts(digit) if most > 1 and suspect and not is_line_or_bar(digit) else []
    if not pairs:
        return [digit]
    _, of_halves = _seen([half for pair in pairs for half in pair], reader)
    by_pair = of_halves.reshape(len(pairs), 2, -1)
    of_pairs = [_confidence(softmax(each)) for each in by_pair]
    best = int(np.argmax(of_pairs))
    likely = _confidence(reader.probabilities(by_pair[best])) > _LIKELY
    height, width = digit.ink.shape
    bar = confidence - _NEARLY if crowded else confidence + _CLEARLY
    narrow = not crowded and not is_wide(digit)
    if narrow or (width < _MOST_WIDTH * height and of_pairs[best] < bar):
        may_be_two = ((crowded or unsure) and likely) or (
            is_wide(digit) and of_pairs[best] > confidence + _HARDLY
        )
        return [dataclasses.replace(digit, doubt=_MAY_BE_TWO) if may_be_two else digit]
    (left, right), (of_left, of_right) = pairs[best], by_pair[best]
    parts = _parts(left, of_left, reader, most - 1)
    return parts + _parts(right, of_right, reader, most - len(parts))


def _confidence(probabilities: NDArray[np.float64]) -> float:
    """Return how sure a model is of all of some digits: as sure as of the worst."""
    return float(probabilities.max(axis=1).min())


def _prediction(
    digit: Digit,
    image: NDArray[np.uint8],
    logits: NDArray[np.float32],
    probabilities: NDArray[np.float64],
    reader: Reader,
    found: Found,
    scale: float,
) -> Prediction:
    # By the logits: two probabilities may be rounded to the same number.
    runner_up, best = map(int, logits.argsort()[-2:])
    confidence = float(probabilities[best])
    left, top, right, bottom = (round(side * scale) for side in digit.box)
    return Prediction(
        digit=best,
        label=reader.labels[best],
        confidence=confidence,
        probabilities=tuple(map(float, probabilities)),
        runner_up=runner_up,
        runner_up_label=reader.labels[runner_up],
        doubt=_doubt_of_place(digit, found)
        or doubt(image, confidence, reader.calibration.threshold),
        image=image,
        box=(left, top, right, bottom),
    )


def _doubt_of_place(digit: Digit, found: Found) -> str | None:
    if digit.doubt is not None:
        return digit.doubt
    if found.rival > _CLOSEST_RIVAL:
        return "something else on the picture looks as much like a digit"
    if digit.contrast < _LEAST_CONTRAST * found.grain:
        return "it is hardly darker than the grain of the paper"
    return None


def doubt(
    image: NDArray[np.uint8], confidence: float, threshold: float = UNCALIBRATED.threshold
) -> str | None:
    """Return why this is probably no digit, or not a single one; None if it may well be one.

    Letters that resemble a digit pass: a model that knows ten digits sees one in everything.

    Args:
        image: uint8 ``(28, 28)``, as :func:`mnistzoo.pictures.normalise` returns it.
        confidence: the model's, 0 to 1.
        threshold: below it the model is unsure.
    """
    ink = image / 255
    if ink.mean() < _LEAST_INK:
        return "there is less ink than any digit has"
    if ink.mean() > _MOST_INK:
        return "there is more ink than any digit has"
    mask = ink > 0.5
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = box.shape
    if width > _MOST_WIDTH * height:
        return "it is wider than any digit is"
    outline = np.concatenate([box[0], box[-1], box[:, 0], box[:, -1]])
    if min(height, width) >= 10 and outline.mean() > _MOST_OUTLINE:
        return "it fills the edges of its box, as no digit does"
    if confidence < threshold:
        return "the model is unsure"
    return None
