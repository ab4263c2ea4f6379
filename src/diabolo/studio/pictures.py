"""Pictures on the wire: the bytes of a gray or RGB image, channel by channel, in base64."""

import base64
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from pydantic import BaseModel

from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.tasks.evaluation import pictured, shown

Side = Annotated[int, Ge(1), Le(4096)]


class Picture(BaseModel):
    """A picture: `shape` is (C, H, W), C 1 or 3, `pixels` C * H * W bytes in base64."""

    shape: tuple[Side, Side, Side]
    pixels: str


def pictures(model: Estimator, X: Any) -> list[Picture]:
    """Samples of a model as pictures, cut to the range that can be shown."""
    need_pictures(model)
    return [picture(image) for image in shown(model, X)]


def picture(image: np.ndarray) -> Picture:
    """An image (C, H, W) of values from 0 to 1."""
    pixels = np.rint(255 * image).astype(np.uint8)
    return Picture(shape=image.shape, pixels=base64.b64encode(pixels.tobytes()).decode())


def stored(model: Estimator, given: Picture) -> np.ndarray:
    """A picture as a sample (1, ...) in the type and the units of the model."""
    need_pictures(model)
    if given.shape != model.image_shape_:
        raise InputError(
            f"The picture has the shape {given.shape}, but the model takes {model.image_shape_}."
        )
    try:
        pixels = np.frombuffer(base64.b64decode(given.pixels, validate=True), np.uint8)
    except ValueError:
        raise InputError("The pixels of the picture are not base64.") from None
    if pixels.size != model.n_features_in_:
        raise InputError(f"The picture has {pixels.size} pixels, not {model.n_features_in_}.")
    sample = pixels.reshape(1, *model.sample_shape_)
    if model.dtype_ == "uint8":
        return sample
    low, high = model.net_.scaling.peak.tolist()
    values = low + sample.astype(np.float32) / 255 * (high - low)
    whole = model.dtype_ != "float32"
    return np.rint(values).astype(model.dtype_) if whole else values


def need_pictures(model: Estimator) -> None:
    """Raise `InputError` where samples cannot be shown."""
    if not pictured(model):
        raise InputError("This model is of a table or of other channels: it has no pictures.")
