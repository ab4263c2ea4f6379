"""Plots of a fitted model, for notebooks: those of its report, drawn alone or on axes of yours.

Each gives the figure, which a notebook shows by itself; with `ax=` it draws there, as
scikit-learn's displays do.
"""

from io import BytesIO
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from sklearn.utils.validation import check_is_fitted

from diabolo import figures
from diabolo.data import Samples
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.report import pictures
from diabolo.tasks import evaluation
from diabolo.tasks.embedding import plane


def plot_loss(model: Estimator, *, ax: Axes | None = None) -> Figure:
    """The loss over the epochs of the training, and that of the validation where there is one."""
    check_is_fitted(model)
    with figures.theme():
        return pictures.loss(model, ax)


def plot_reconstructions(
    model: Estimator, X: Any, *, n: int = 10, ax: Axes | None = None
) -> Figure:
    """The first `n` samples of X beside what the model makes of them.

    Images with their codes, rows of a table as colours, signals as lines, of volumes the middle
    slices. Raises `InputError` for images of two channels or more than three.
    """
    check_is_fitted(model)
    few = X[:n]
    names = [str(number) for number in range(len(few))]
    with figures.theme():
        test = Samples(few, names, "npy")
        picture = pictures.compared(model, test, evaluation.outcome(model, few), n)
        if picture is None:
            raise InputError(
                "Images are drawn with one channel or three: give some of them alone."
            )
        return picture.figure if ax is None else _pasted(picture.figure, ax)


def plot_codes(model: Estimator, X: Any, labels: Any = None, *, ax: Axes | None = None) -> Figure:
    """Each sample of X where its code is, in two dimensions, in the colour of its label (N,)."""
    points, names = plane(np.asarray(model.transform(X)))
    shown = None if labels is None else np.asarray(labels)
    with figures.theme():
        return figures.latent(points, shown, axes=names, on=ax)


def plot_errors(model: Estimator, X: Any, *, ax: Axes | None = None) -> Figure:
    """How many samples of X have which mean squared error, with mean and percentiles."""
    check_is_fitted(model)
    with figures.theme():
        errors = evaluation.errors(model, X)
        unit = "mean squared error"
        return figures.error_histogram(errors, unit=unit, title="", on=ax)


def _pasted(figure: Figure, ax: Axes) -> Figure:
    """A picture of fixed size, as an image on other axes."""
    ax.imshow(imread(BytesIO(figures.to_png(figure))))
    ax.set_axis_off()
    return cast(Figure, ax.figure)
