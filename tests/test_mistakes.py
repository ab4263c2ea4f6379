"""Every mistake we could think of, and the one sentence it gets.

`PYTHON` and `COMMANDS` are to be read as a document: what is done, and what is answered. The
sentence is whole, but for `about(...)`, where other libraries speak and their words vary. After
each mistake the models that were used answer as before, and no file has changed. `UNUSUAL` is
what looks like a mistake and is none.
"""

import os
import pickle
import resource
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PLAIN
from PIL import Image
from scipy import sparse
from sklearn.exceptions import NotFittedError
from torch import nn

from diabolo import VAE, Autoencoder, load
from diabolo.cli import main
from diabolo.commands.training import RESUMED, WHICH
from diabolo.corruption import Corruption, GaussianNoise, SaltAndPepper
from diabolo.data import load_mnist, read, write
from diabolo.errors import InputError
from diabolo.params import from_config

SMALL = {
    "latent_dim": 3,
    "hidden": (6,),
    "scaling": "unit",
    "epochs": 1,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "validation_fraction": 0.0,
    "early_stopping": None,
    "random_state": 0,
    "device": "cpu",
}
RANDOM = np.random.default_rng(0)
ROWS = RANDOM.random((40, 6), dtype=np.float32)
IMAGES = RANDOM.integers(0, 256, (40, 9, 7), dtype=np.uint8)
WIDE = RANDOM.random((40, 63), dtype=np.float32)
FRAME = pd.DataFrame(ROWS, columns=list("abcdef"))


class about(str):  # noqa: N801
    """A part of a sentence, where the rest varies with the version of a library."""


def fit(X=ROWS, X_val=None, **parameters):
    return Autoencoder(**SMALL | parameters).fit(X, X_val=X_val)


def new(**parameters):
    return Autoencoder(**SMALL | parameters)


@cache
def rows():
    return fit()


@cache
def images():
    return fit(IMAGES, corruption=GaussianNoise(0.1))


@cache
def frames():
    return fit(FRAME)


@cache
def vae():
    return VAE(**SMALL, corruption=GaussianNoise(0.1)).fit(ROWS)


def own(encoder, decoder):
    return fit(WIDE, network=(encoder, decoder))


def polars_frame(**columns):
    return pytest.importorskip("polars").DataFrame(columns)


def saved(name="model.safetensors"):
    """A model file in the working folder."""
    rows().save(name)
    return Path(name)


def changed(change):
    """A model file with other bytes, in the working folder."""
    path = saved()
    path.write_bytes(bytes(change(bytearray(path.read_bytes()))))
    return path


def flipped(content, place):
    content[place] ^= 0x10
    return content


def pickled():
    Path("model.safetensors").write_bytes(pickle.dumps(Bomb()))
    return load("model.safetensors")


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


@contextmanager
def full_disk():
    """No file may grow beyond 512 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def as_nobody():
    """As a user whom permissions bind, which they do not bind root."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip("this process may not become another user")
    try:
        yield
    finally:
        os.seteuid(0)


def on_full_disk(function):
    with full_disk():
        function()


SEED = (
    "random_state must be an integer of at least 0 and at most 9223372036854775807 or of type"
    " RandomState or of type Generator or None, but is {}."
)
USED_SEED = (
    "random_state must be an integer of at least 0 and at most 9223372036854775807, but is {}."
)
HIDDEN = "hidden must be a list, each an integer of at least 1 or 'auto' or None, but is {}."
ACTIVATION = about("activation must be one of ")
NETWORK = (
    "network must be one of 'conv', 'conv-map', 'dense', 'dictionary', 'gdn', 'residual',"
    " 'subpixel', 'unet' or 2 values, each of type Module"
)
CORRUPTION = f"corruption must be a Corruption ({', '.join(Corruption.kinds())}) or None, but is"
BERNOULLI = (
    "A bernoulli likelihood needs data in [0, 1] and a sigmoid output: use scaling='unit' and"
    " leave output_activation out."
)
BERNOULLI_X = (
    "A bernoulli likelihood needs data in [0, 1]: use scaling='unit', or scale X yourself."
)
BERNOULLI_X_VAL = (
    "Samples to validate on are outside the range of those to train on, which a bernoulli"
    " likelihood cannot take: use likelihood='gaussian' (recipe ae), or scale X to [0, 1]"
    " yourself, with scaling=None."
)
UNFITTED = (
    "This Autoencoder instance is not fitted yet. Call 'fit' with appropriate arguments before"
    " using this estimator."
)
NO_CONV = (
    "A conv network needs images: give X as (N, C, H, W), dimensions=1 if rows are signals, or"
    " image_shape for 6 columns."
)
CODES = "Codes must have shape (N, 3), but have {}."
NO_CODES = "Codes must be numbers of shape (N, K)."
NO_MODEL = "model.safetensors is not a model file of diabolo, or is cut off."
NO_DEVICE = "There is no device {!r} here: use 'auto' or 'cpu'."
NO_GENERAL = "{} must be an integer of at least 1, but is {}."
NO_COUNT = "{} must be an integer of at least 1 or 'auto', but is {}."
DENSE = "X has 5 features, but Autoencoder is expecting 63 features as input."
SPARSE = about("parse")

# what is done: (how, the exception, its sentence)
PYTHON = {
    # hyperparameters: misspelt
    "a misspelt parameter": (lambda: Autoencoder(epoch=3), TypeError, about("'epoch'")),
    "set_params misspelt": (
        lambda: Autoencoder().set_params(epoch=3),
        ValueError,
        about("Invalid parameter 'epoch' for estimator Autoencoder"),
    ),
    "a parameter by position": (lambda: Autoencoder(32), TypeError, about("positional")),
    "from_config, misspelt": (
        lambda: from_config({"kind": "VAE", "epoch": 3}, {"VAE": VAE}),
        InputError,
        "There is no parameter 'epoch'; did you mean 'epochs'?",
    ),
    # hyperparameters: type and range
    "epochs=0": (lambda: fit(epochs=0), InputError, NO_COUNT.format("epochs", 0)),
    "epochs as text": (lambda: fit(epochs="32"), InputError, NO_COUNT.format("epochs", "'32'")),
    "epochs=2.5": (lambda: fit(epochs=2.5), InputError, NO_COUNT.format("epochs", 2.5)),
    "epochs=None": (lambda: fit(epochs=None), InputError, NO_COUNT.format("epochs", None)),
    "batch_size=True": (
        lambda: fit(batch_size=True),
        InputError,
        NO_COUNT.format("batch_size", True),
    ),
    "latent_dim=-1": (
        lambda: fit(latent_dim=-1),
        InputError,
        "latent_dim must be an integer of at least 1 or 'auto' or None, but is -1.",
    ),
    **{
        f"learning_rate={value}": (
            lambda value=value: fit(learning_rate=value),
            InputError,
            f"learning_rate must be a number above 0 or 'auto', but is {value}.",
        )
        for value in (0, -1.0, float("inf"), float("nan"))
    },
    "a layer of no units": (lambda: fit(hidden=(6, 0)), InputError, HIDDEN.format((6, 0))),
    "hidden as a number": (lambda: fit(hidden=6), InputError, HIDDEN.format(6)),
    "an unknown activation": (lambda: fit(activation="rellu"), InputError, ACTIVATION),
    "an unknown network": (
        lambda: fit(network="cnn"),
        InputError,
        f"{NETWORK}, but is 'cnn'.",
    ),
    "an unknown likelihood": (
        lambda: fit(likelihood="l1"),
        InputError,
        about("likelihood must be one of "),
    ),
    "a negative seed": (lambda: fit(random_state=-1), InputError, SEED.format(-1)),
    "a seed as text": (lambda: fit(random_state="x"), InputError, SEED.format("'x'")),
    "a corruption as text": (
        lambda: fit(corruption="gaussian"),
        InputError,
        f"{CORRUPTION} 'gaussian'.",
    ),
    "a corruption as class": (
        lambda: fit(corruption=GaussianNoise),
        InputError,
        f"{CORRUPTION} <class 'diabolo.corruption.noise.GaussianNoise'>.",
    ),
    "a corruption out of range": (
        lambda: fit(corruption=GaussianNoise(-1)),
        InputError,
        "std must be a number of at least 0, but is -1.",
    ),
    "a share above 1": (
        lambda: fit(corruption=SaltAndPepper(2)),
        InputError,
        "p must be a number of at least 0 and at most 1, but is 2.",
    ),
    "salt without a range": (
        lambda: fit(corruption=SaltAndPepper(0.2), scaling=None),
        InputError,
        "Salt and pepper need a range of values: use scaling='unit' or 'symmetric'.",
    ),
    "validation_fraction=1": (
        lambda: fit(validation_fraction=1.0),
        InputError,
        "validation_fraction must be a number of at least 0 and below 1 or 'auto', but is 1.0.",
    ),
    "verbose=2": (
        lambda: fit(verbose=2),
        InputError,
        "verbose must be True or False, but is 2.",
    ),
    "beta below 0": (
        lambda: VAE(**SMALL, beta=-1.0).fit(ROWS),
        InputError,
        "beta must be a number of at least 0, but is -1.0.",
    ),
    "an unknown device": (lambda: fit(device="gpu"), InputError, NO_DEVICE.format("gpu")),
    "a device that is not there": (
        lambda: fit(device="cuda:7"),
        InputError,
        NO_DEVICE.format("cuda:7"),
    ),
    # hyperparameters: combinations
    "a VAE without latent_dim": (
        lambda: VAE(**SMALL | {"latent_dim": None}).fit(ROWS),
        InputError,
        about("needs a latent_dim"),
    ),
    "a VAE with a code_activation": (
        lambda: VAE(**SMALL, code_activation="relu").fit(ROWS),
        InputError,
        about("takes no activation"),
    ),
    "nothing to learn": (
        lambda: fit(hidden=(), latent_dim=None),
        InputError,
        "The network has no parameters to learn: give hidden or latent_dim.",
    ),
    "bernoulli and tanh": (
        lambda: fit(likelihood="bce", output_activation="tanh"),
        InputError,
        BERNOULLI,
    ),
    "bernoulli and [-1, 1]": (
        lambda: fit(likelihood="bce", scaling="symmetric"),
        InputError,
        BERNOULLI,
    ),
    "bernoulli and standard": (
        lambda: fit(likelihood="bce", scaling="standard"),
        InputError,
        BERNOULLI,
    ),
    "bernoulli above 1": (
        lambda: fit(2 * ROWS, likelihood="bernoulli", scaling=None),
        InputError,
        BERNOULLI_X,
    ),
    "bernoulli below 0": (
        lambda: fit(ROWS - 0.5, likelihood="bce", scaling=None),
        InputError,
        BERNOULLI_X,
    ),
    "bernoulli, X_val above 1": (
        lambda: fit(ROWS, 3 * ROWS, likelihood="bce", scaling=None),
        InputError,
        BERNOULLI_X,
    ),
    "bernoulli, X_val beyond the range of X": (
        lambda: fit(ROWS, 3 * ROWS, likelihood="bce"),
        InputError,
        BERNOULLI_X_VAL,
    ),
    "conv on a table": (lambda: fit(network="conv"), InputError, NO_CONV),
    "image_shape of other size": (
        lambda: fit(image_shape=(1, 2, 2)),
        InputError,
        "image_shape (1, 2, 2) does not fit samples of shape (6,).",
    ),
    "image_shape turned": (
        lambda: fit(IMAGES, image_shape=(1, 7, 9)),
        InputError,
        "image_shape (1, 7, 9) does not fit samples of shape (9, 7).",
    ),
    "drop_last drops all": (
        lambda: fit(batch_size=41, drop_last=True),
        InputError,
        "drop_last leaves no batch: there are 40 samples for a batch_size of 41.",
    ),
    "stopping without validation": (
        lambda: fit(early_stopping=3),
        InputError,
        "early_stopping needs X_val or a validation_fraction.",
    ),
    "all to validation": (
        lambda: fit(ROWS[:2], validation_fraction=0.9),
        InputError,
        "A validation_fraction of 0.9 leaves none of 2 samples to train on: give more samples, or"
        " X_val.",
    ),
    "validation given twice": (
        lambda: fit(ROWS, ROWS, validation_fraction=0.5),
        InputError,
        "Give X_val or validation_fraction, not both.",
    ),
    "a loss that grows to infinity": (
        lambda: fit(**PLAIN | {"batch_size": 16, "learning_rate": 1e30}, epochs=9),
        InputError,
        "The loss stops being finite in step 2 of epoch 1, where it was 0.1049 a step before; the"
        " first layer that is not finite is encoder.0 (Linear). Use a lower learning_rate, or"
        " scale X.",
    ),
    "a callback that is none": (
        lambda: Autoencoder(**SMALL).fit(ROWS, callback="x"),
        InputError,
        "callback must be a function, but is 'x'.",
    ),
    "a checkpoint that is no folder": (
        lambda: Autoencoder(**SMALL).fit(ROWS, checkpoint=3),
        InputError,
        "checkpoint must be the name of a folder, but is 3.",
    ),
    "a checkpoint without a name": (
        lambda: Autoencoder(**SMALL).fit(ROWS, checkpoint=""),
        InputError,
        "checkpoint must be the name of a folder, but is ''.",
    ),
    "a warm start of another model": (
        lambda: fit(warm_start=True).set_params(latent_dim=5).fit(ROWS),
        InputError,
        "latent_dim cannot change in a warm start: set it back to 3, or set warm_start=False.",
    ),
    # a pair of modules of one's own
    "an encoder of other size": (
        lambda: own(nn.Linear(64, 3), nn.Linear(3, 63)),
        InputError,
        about("The encoder cannot take"),
    ),
    "a decoder of other size": (
        lambda: own(nn.Linear(63, 3), nn.Linear(4, 63)),
        InputError,
        about("The decoder cannot take codes"),
    ),
    "an output of other size": (
        lambda: own(nn.Linear(63, 3), nn.Linear(3, 64)),
        InputError,
        about("64 values a sample, but a sample has 63"),
    ),
    "a pair with its own sigmoid": (
        lambda: own(nn.Linear(63, 3), nn.Sequential(nn.Linear(3, 63), nn.Sigmoid())),
        InputError,
        "The decoder ends in Sigmoid: leave it out, output_activation adds it.",
    ),
    "a pair with its own tanh": (
        lambda: own(nn.Linear(63, 3), nn.Sequential(nn.Linear(3, 63), nn.Tanh())),
        InputError,
        "The decoder ends in Tanh: leave it out, output_activation adds it.",
    ),
    "half a pair": (
        lambda: fit(WIDE, network=(nn.Identity(),)),
        InputError,
        f"{NETWORK}, but is (Identity(),).",
    ),
    "classes for modules": (
        lambda: own(nn.Linear, nn.Linear),
        InputError,
        about(f"{NETWORK}, but is (<class"),
    ),
    "a pair with nothing to learn": (
        lambda: own(nn.Identity(), nn.Identity()),
        InputError,
        "The network has no parameters to learn: give hidden or latent_dim.",
    ),
    "a code that is an image": (
        lambda: own(nn.Unflatten(1, (3, 21)), nn.Sequential(nn.Flatten(), nn.Linear(63, 63))),
        InputError,
        about("code"),
    ),
    **{
        f"a VAE's pair with {outputs} outputs": (
            lambda outputs=outputs: VAE(
                **SMALL | {"network": (nn.Linear(63, outputs), nn.Linear(3, 63))}
            ).fit(WIDE),
            InputError,
            about(""),
        )
        for outputs in (1, 5)
    },
    # X in fit
    "no X": (lambda: new().fit(), TypeError, about("'X'")),
    "five dimensions": (
        lambda: fit(np.zeros((2, 1, 1, 1, 1, 1))),
        InputError,
        "X must have 2 to 5 dimensions, but has shape (2, 1, 1, 1, 1, 1).",
    ),
    "no rows": (
        lambda: fit(ROWS[:0]),
        InputError,
        "Found array with 0 sample(s) (shape=(0, 6)) while a minimum of 1 is required by"
        " Autoencoder.",
    ),
    "no images": (lambda: fit(IMAGES[:0]), InputError, about("0 sample(s) (shape=(0, 63))")),
    "no columns": (
        lambda: fit(ROWS[:, :0]),
        InputError,
        "Found array with 0 feature(s) (shape=(40, 0)) while a minimum of 1 is required by"
        " Autoencoder.",
    ),
    "no pixels": (lambda: fit(IMAGES[:, :0]), InputError, about("0 feature(s) (shape=(40, 0))")),
    "huge values": (
        lambda: fit(ROWS.astype(float) * 1e300),
        InputError,
        "X has values too large for float32: scale it down.",
    ),
    "a sparse matrix": (lambda: fit(sparse.csr_matrix(ROWS)), TypeError, SPARSE),
    "a sparse array": (lambda: fit(sparse.coo_array(ROWS)), TypeError, SPARSE),
    "a sparse tensor": (lambda: fit(torch.eye(4).to_sparse()), TypeError, SPARSE),
    # X in use
    **{
        f"{use} before fit": (lambda use=use: getattr(new(), use)(ROWS), NotFittedError, UNFITTED)
        for use in (
            *("transform", "inverse_transform", "reconstruct"),
            *("score_samples", "score", "corrupt"),
        )
    },
    **{
        f"{use} before fit": (lambda use=use: getattr(new(), use)(), NotFittedError, UNFITTED)
        for use in ("sample", "layers", "summary", "get_feature_names_out")
    },
    "save before fit": (lambda: new().save("m.safetensors"), NotFittedError, UNFITTED),
    **{
        f"{use}: images turned": (
            lambda use=use: getattr(images(), use)(IMAGES.transpose(0, 2, 1)),
            InputError,
            "The model was fitted on samples of shape (9, 7), not (7, 9).",
        )
        for use in ("transform", "reconstruct", "score_samples", "score", "corrupt")
    },
    "colour images": (
        lambda: images().transform(np.zeros((2, 3, 9, 7), np.uint8)),
        InputError,
        "The model was fitted on samples of shape (9, 7), not (3, 9, 7).",
    ),
    "images for rows": (
        lambda: rows().transform(IMAGES),
        InputError,
        "The model was fitted on samples of shape (6,), not (9, 7).",
    ),
    "too few columns": (
        lambda: images().transform(IMAGES.reshape(40, -1)[:, :5]),
        InputError,
        DENSE,
    ),
    "[0, 1] for 0 to 255": (
        lambda: images().transform(IMAGES / 255),
        InputError,
        "The model was fitted on uint8 from 0 to 255, but X is float within [0, 1]: multiply it"
        " by 255.",
    ),
    "uint16 for uint8": (
        lambda: images().transform(IMAGES.astype(np.uint16)),
        InputError,
        "The model was fitted on uint8, not uint16: convert X.",
    ),
    "bool for uint8": (
        lambda: images().transform(IMAGES > 9),
        InputError,
        "The model was fitted on uint8, not bool: convert X.",
    ),
    "uint8 for floats": (
        lambda: rows().transform((255 * ROWS).astype(np.uint8)),
        InputError,
        "The model was fitted on floats, not uint8: scale X as for fit.",
    ),
    "X_val with other columns": (
        lambda: fit(ROWS, ROWS[:, :5]),
        InputError,
        "X has 5 features, but Autoencoder is expecting 6 features as input.",
    ),
    "X_val of other size": (
        lambda: fit(IMAGES, IMAGES[:, :5]),
        InputError,
        "The model was fitted on samples of shape (9, 7), not (5, 7).",
    ),
    "X_val in other units": (
        lambda: fit(ROWS, (255 * ROWS).astype(np.uint8)),
        InputError,
        "The model was fitted on floats, not uint8: scale X as for fit.",
    ),
    "X_val empty": (lambda: fit(ROWS, ROWS[:0]), InputError, about("0 sample(s)")),
    "corrupt without a corruption": (
        lambda: rows().corrupt(ROWS),
        InputError,
        "The model was trained without a corruption: there is none to apply.",
    ),
    **{
        f"corrupt by the seed {seed!r}": (
            lambda seed=seed: vae().corrupt(ROWS, random_state=seed),
            InputError,
            USED_SEED.format(repr(seed)),
        )
        for seed in (-1, 1.5, "x")
    },
    # codes
    "codes of other size": (
        lambda: rows().inverse_transform(np.zeros((2, 4))),
        InputError,
        CODES.format((2, 4)),
    ),
    "one code": (
        lambda: rows().inverse_transform(np.zeros(3)),
        InputError,
        CODES.format((3,)),
    ),
    "codes with too many dimensions": (
        lambda: rows().inverse_transform(np.zeros((2, 3, 1))),
        InputError,
        CODES.format((2, 3, 1)),
    ),
    "text for codes": (
        lambda: rows().inverse_transform([["a", "b", "c"]]),
        InputError,
        NO_CODES,
    ),
    "sparse codes": (
        lambda: rows().inverse_transform(sparse.csr_matrix(np.ones((2, 3)))),
        InputError,
        NO_CODES,
    ),
    "sampling without a prior": (
        lambda: rows().sample(3),
        InputError,
        "Autoencoder has no prior to sample from: use a VAE, or a LatentSampler on its codes.",
    ),
    **{
        f"{n!r} samples": (
            lambda n=n: vae().sample(n),
            InputError,
            NO_GENERAL.format("n", repr(n)),
        )
        for n in (0, -1, 2.5, "3", True)
    },
    **{
        f"sample by the seed {seed!r}": (
            lambda seed=seed: vae().sample(2, random_state=seed),
            InputError,
            USED_SEED.format(repr(seed)),
        )
        for seed in (-1, 1.5, "x")
    },
    # model files
    "a model file that is not there": (
        lambda: load("none.safetensors"),
        InputError,
        about(
            "none.safetensors does not exist: give a .safetensors file, a run folder or a model"
        ),
    ),
    "a folder for a model file": (
        lambda: load("."),
        InputError,
        "model.safetensors cannot be read: No such file or directory.",
    ),
    "an empty model file": (lambda: load(changed(lambda b: b"")), InputError, NO_MODEL),
    "a model file cut in its header": (
        lambda: load(changed(lambda b: b[:100])),
        InputError,
        NO_MODEL,
    ),
    "a model file cut in its weights": (
        lambda: load(changed(lambda b: b[:-40])),
        InputError,
        about("model.safetensors is damaged: "),
    ),
    "text for a model file": (
        lambda: load(changed(lambda b: b"hello" * 99)),
        InputError,
        NO_MODEL,
    ),
    "a pickle for a model file": (pickled, InputError, NO_MODEL),
    "a model of one's own without its pair": (
        lambda: load(
            own(nn.Linear(63, 3), nn.Linear(3, 63)).save("m.safetensors") or "m.safetensors"
        ),
        InputError,
        "m.safetensors has a network of its own: give load(..., network=pair).",
    ),
    "saving onto a folder": (
        lambda: rows().save("."),
        InputError,
        ". is a folder: give the name of a file.",
    ),
    "saving onto a pipe": (
        lambda: (os.mkfifo("pipe"), rows().save("pipe")),
        InputError,
        "pipe is no file, and is left alone: write elsewhere.",
    ),
    "saving below a file": (
        lambda: (Path("file").touch(), rows().save("file/m.safetensors")),
        InputError,
        about("file/m.safetensors cannot be written: "),
    ),
    # files of samples
    "a source without a name": (
        lambda: read(""),
        InputError,
        about("The name of the source is empty: a source is mnist, mnist:test, "),
    ),
    "an array on a full disk": (
        lambda: on_full_disk(lambda: write("x.npy", np.zeros((99, 99)))),
        InputError,
        about("x.npy cannot be written: "),
    ),
}

NAN = "X contains NaN: fill it in, or drop those samples."
INFINITE = (
    "X contains infinity or values too large for float32: scale it down, or drop those samples."
)
TEXT = "X holds text: encode it as numbers."
DATES = "X holds dates or times: convert them to numbers."
COLUMN = 'The column "b" of X is not numeric: drop it or encode it.'
RAGGED = "X is ragged: its samples differ in size, give them all the same."
DIMENSIONS = "Reshape your data to 2 to 5 dimensions, one sample as X[None]: X has shape {}."
WILD = "Codes hold NaN, infinity or values too large for float32: give finite ones."
PYTHON |= {
    "text in use": (
        lambda: rows().transform(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})),
        InputError,
        COLUMN,
    ),
    "NaN in images": (lambda: fit(np.full((4, 3, 3), np.nan)), InputError, NAN),
    "NaN in use": (lambda: images().transform(np.full((2, 9, 7), np.nan)), InputError, NAN),
    "NaN in X_val": (lambda: fit(ROWS, ROWS * np.nan), InputError, NAN),
    "None among objects": (
        lambda: fit(np.array([[1, None], [2, 3]], object)),
        InputError,
        NAN,
    ),
    "infinity": (lambda: fit(np.where(ROWS > 0.9, np.inf, ROWS)), InputError, INFINITE),
    "text": (lambda: fit(np.array([["a", "b"]])), InputError, TEXT),
    "text among objects": (lambda: fit(np.array([[1, "x"]], object)), InputError, TEXT),
    "dates": (lambda: fit(np.zeros((4, 2), "datetime64[D]")), InputError, DATES),
    "durations": (lambda: fit(np.zeros((4, 2), "timedelta64[s]")), InputError, DATES),
    "complex numbers": (
        lambda: fit(ROWS * 1j),
        InputError,
        "Complex data not supported: give real numbers, such as np.abs(X).",
    ),
    "masked values": (
        lambda: fit(np.ma.masked_array(ROWS, mask=ROWS > 0.9)),
        InputError,
        "X is a masked array with masked values: fill them in, such as X.filled(0).",
    ),
    "named fields": (
        lambda: fit(np.zeros(3, [("a", float), ("b", float)])),
        InputError,
        "X has named fields: give a plain array of numbers.",
    ),
    "ragged rows": (lambda: fit([[1, 2], [3]]), InputError, RAGGED),
    "images of different size": (
        lambda: fit([np.zeros((3, 3)), np.zeros((4, 4))]),
        InputError,
        RAGGED,
    ),
    "one row without its dimension": (lambda: fit(ROWS[0]), InputError, DIMENSIONS.format((6,))),
    "an empty list": (lambda: fit([]), InputError, DIMENSIONS.format((0,))),
    "a number": (lambda: fit(3.0), InputError, DIMENSIONS.format(())),
    "a series": (lambda: fit(pd.Series([1.0, 2.0])), InputError, DIMENSIONS.format((2,))),
    "None": (lambda: fit(None), InputError, "X must be an array of numbers, but is None."),
    "one image": (
        lambda: fit(Image.fromarray(IMAGES[0])),
        InputError,
        "X is one image of Pillow: give a list of images, or an array.",
    ),
    "a name of a folder": (
        lambda: fit("photos/"),
        InputError,
        "X must be an array of numbers, but is a text: read it with diabolo.data.read.",
    ),
    "a dictionary": (
        lambda: fit({"x": ROWS}),
        InputError,
        "X must be an array of numbers, but is of type dict.",
    ),
    "a generator": (
        lambda: fit(row for row in ROWS),
        InputError,
        "X must be an array of numbers, but is of type generator.",
    ),
    "a tensor without values": (
        lambda: fit(torch.empty(4, 4, device="meta")),
        InputError,
        "X is a tensor of device 'meta', which has no values: give one that has.",
    ),
    "other names of columns": (  # scikit-learn's own words: its checks ask for them
        lambda: frames().transform(FRAME.rename(columns={"a": "z"})),
        InputError,
        about("The feature names should match those that were passed during fit."),
    ),
    "NaN in codes": (lambda: rows().inverse_transform(np.full((2, 3), np.nan)), InputError, WILD),
    "huge codes": (lambda: rows().inverse_transform(np.full((2, 3), 1e300)), InputError, WILD),
    "ragged codes": (lambda: rows().inverse_transform([[1, 2, 3], [1]]), InputError, RAGGED),
    "complex codes": (
        lambda: rows().inverse_transform(np.ones((2, 3)) * 1j),
        InputError,
        NO_CODES,
    ),
    "dates for codes": (
        lambda: rows().inverse_transform(np.zeros((2, 3), "datetime64[D]")),
        InputError,
        NO_CODES,
    ),
    "masked codes": (
        lambda: rows().inverse_transform(np.ma.masked_array(np.ones((2, 3)), mask=True)),
        InputError,
        "X is a masked array with masked values: fill them in, such as X.filled(0).",
    ),
    "a fraction that is no sample": (
        lambda: fit(ROWS[:5], validation_fraction=0.01),
        InputError,
        "A validation_fraction of 0.01 leaves none of 5 samples to validate on: give more samples,"
        " or X_val.",
    ),
    "a device without values": (lambda: fit(device="meta"), InputError, NO_DEVICE.format("meta")),
    "loading onto a device that is gone": (
        lambda: load(saved(), device="cuda:7"),
        InputError,
        NO_DEVICE.format("cuda:7"),
    ),
    "loading onto an unknown device": (
        lambda: load(saved(), device="gpu"),
        InputError,
        NO_DEVICE.format("gpu"),
    ),
    "loading onto a number": (
        lambda: load(saved(), device=3),
        InputError,
        "device must be a text, but is 3.",
    ),
    "a model file with a flipped bit": (
        lambda: load(changed(lambda b: flipped(b, -9))),
        InputError,
        about("model.safetensors is damaged: "),
    ),
    "a model file with a flipped bit in its header": (
        lambda: load(changed(lambda b: flipped(b, 300))),
        InputError,
        about("model.safetensors is "),
    ),
    "a model file on a full disk": (
        lambda: on_full_disk(lambda: rows().save("model.safetensors")),
        InputError,
        about("model.safetensors cannot be written: "),
    ),
}
MULTILINE = {"other names of columns"}
LEFT = ("model.safetensors", "m.safetensors", "file", "pipe")  # made by the entries


def answers():
    """What the models of this file say, to the bit."""
    return [m.transform(x).tobytes() for m, x in ((rows(), ROWS), (images(), IMAGES))]


def contents(folder):
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def check(found, expected):
    if isinstance(expected, about):
        assert expected in found
    else:
        assert found == expected


@pytest.mark.parametrize("name", PYTHON)
def test_a_mistake_in_python_raises_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    do, kind, sentence = PYTHON[name]
    before = answers()
    with pytest.raises(kind) as error:
        do()
    message = str(error.value)
    check(message, sentence)
    assert message
    assert "\n" not in message or name in MULTILINE
    assert type(error.value) is kind or kind in (ValueError, TypeError)
    assert answers() == before
    assert {p.name for p in tmp_path.iterdir()} <= set(LEFT)


# ---- the command line

FORMS = (
    "a source is mnist, mnist:test, mnist:test:100 or mnist:test:3-7, an image, a folder of"
    " images, .npy, .npz, .h5, .zarr, IDX, or a table: .csv, .tsv, .txt, .parquet, .arrow,"
    " .feather or .xlsx, or a folder of .parquet or .arrow files"
)
RANGE = "asks for no images or for some that are not there: there are 10000, numbered 0 to 9999"
EXISTS = "exists: give another --out, or --force to replace it."
WRITABLE = (
    "o.xyz names no kind that can be written: end it in an image suffix, .npy, .npz, .csv,"
    " .parquet or .idx, or in none for a folder of images"
)
ONE_IMAGE = "o.png is one image and there are {} samples: give a folder, a path without suffix"
RECIPES = (
    "ae, ae-32, ae-32-fast, ae-36, ae-36-fast, conv-dae, dae, dae-32, dae-32-fast, dae-64,"
    " dae-64-fast, digits, digits-lossy, embed-2, embed-32, map, one-class, photo, photo-codec,"
    " photo-dae, photo-lossless, vae, vae-conv, watermark, watermark-photo."
)
ABSENT = (
    "does not exist: give a .safetensors file, a run folder or a model that comes with diabolo"
    " (digits, photo, photo-codec, photo-lossless)."
)
FOREIGN = "is not a model file of diabolo, or is cut off."
OTHER = "X has 3 features, but Autoencoder is expecting 784 features as input."
LIMIT = "--limit must be an integer of at least 1, but is {}; see diabolo fit --help."
STEPS = "--steps must be an integer of at least 2, but is {}; see diabolo {} --help."

# the words after `diabolo`: the sentence after `diabolo: `
COMMANDS = {
    # commands and flags
    "": "The following arguments are required: COMMAND; see diabolo --help.",
    "fti": "There is no command 'fti'; did you mean 'fit'?",
    "--foo recipes": "There is no option '--foo'; known are --help, --version, -V, -h.",
    "fit": WHICH,
    "fit --data t.csv --out o": WHICH,
    "fit --data t.csv --epochs 3": WHICH,
    "detect score dae d.npy --out o --fdr 5": (
        "--fdr must be a number between 0 and 1, but is '5'; see diabolo detect score --help."
    ),
    "completion basch": (
        "bash|zsh|fish must be one of bash, zsh, fish, but is 'basch'; see diabolo completion"
        " --help."
    ),
    "compare tab tab --out o.png --data t.csv": (
        "tab takes no images, so nothing is drawn: leave --out away."
    ),
    "fit --resume": "Argument --resume: a value is missing; see diabolo fit --help.",
    "fit --resume none": "none holds no run to resume: it has no config.toml.",
    "fit --resume none --epochs 3": RESUMED,
    "fit dae-32 --resume none": RESUMED,
    "fit dae-32 more": "'more' is one argument too many; see diabolo fit --help.",
    "fit dae-32 --epoch 3": "There is no option '--epoch'; did you mean '--epochs'?",
    "fit dae-32 --epochs": "Argument --epochs: a value is missing; see diabolo fit --help.",
    "fit dae-32 --out": "Argument --out: a value is missing; see diabolo fit --help.",
    "fit dae-32 --data": "Argument --data: a value is missing; see diabolo fit --help.",
    "recipes a b": "'b' is one argument too many; see diabolo recipes --help.",
    "reconstruct dae mnist:test:2": (
        "The following arguments are required: --out; see diabolo reconstruct --help."
    ),
    "interpolate vae mnist:test:0-0 --out o.png": (
        "The following arguments are required: B; see diabolo interpolate --help."
    ),
    "encode dae d.npy --out o.npy --seed 1": about("There is no option '--seed'"),
    "evaluate dae --jsno": "There is no option '--jsno'; did you mean '--json'?",
    # values of flags
    "fit dae-32 --epochs 0": "epochs must be an integer of at least 1 or 'auto', but is '0'.",
    "fit dae-32 --epochs many": NO_COUNT.format("epochs", "'many'"),
    "fit dae-32 --epochs 1.5": "epochs must be an integer of at least 1 or 'auto', but is '1.5'.",
    "fit dae-32 --learning-rate nan": (
        "learning_rate must be a number above 0 or 'auto', but is 'nan'."
    ),
    "fit dae-32 --hidden 64,x": (
        "hidden must be a list, each an integer of at least 1 or 'auto' or None, but is '64,x'."
    ),
    "fit dae-32 --network cnn": (
        "network must be one of 'conv', 'conv-map', 'dense', 'dictionary', 'gdn', 'residual',"
        " 'subpixel', 'unet', but is 'cnn'."
    ),
    "fit dae-32 --drop-last maybe": "drop_last must be True or False, but is 'maybe'.",
    "fit dae-32 --seed -1": (
        "seed must be an integer of at least 0 and at most 9223372036854775807 or None, but is"
        " '-1'."
    ),
    "fit dae-32 --seed none": "A run needs a seed that can be repeated: give --seed a number.",
    "fit dae-32 --limit 0": LIMIT.format("'0'"),
    "fit dae-32 --limit -3": LIMIT.format("'-3'"),
    "fit dae-32 --limit abc": LIMIT.format("'abc'"),
    "fit dae-32 --corruption gausian": (
        "There is no corruption 'gausian'; did you mean 'gaussian'?"
    ),
    "fit dae-32 --corruption.std -1": "std must be a number of at least 0, but is '-1'.",
    "fit dae-32 --corruption.p 0.5": "There is no parameter 'p'; known are std.",
    "fit ae-32 --corruption.std 0.3": (
        "--corruption.std needs a kind: give --corruption as well."
    ),
    "fit dae-32 --limit 9 --device cudda": NO_DEVICE.format("cudda"),
    "fit dae-32 --limit 9 --device cuda:7": NO_DEVICE.format("cuda:7"),
    "fit dae-32 --limit 9 --likelihood bce --scaling symmetric": BERNOULLI,
    "fit dae-32 --limit 9 --early-stopping 3": (
        "early_stopping needs X_val or a validation_fraction."
    ),
    "fit dae-32 --limit 9 --drop-last": (
        "drop_last leaves no batch: there are 9 samples for a batch_size of 64."
    ),
    "fit ae-32 --limit 3": "3 samples are too few to train and to validate on: give more.",
    "generate vae -n 0 --out o.npy": (
        "-n must be an integer of at least 1, but is '0'; see diabolo generate --help."
    ),
    "generate vae -n x --out o.npy": (
        "-n must be an integer of at least 1, but is 'x'; see diabolo generate --help."
    ),
    "generate vae --seed -1 --out o.npy": (
        "--seed must be an integer of at least 0, but is '-1'; see diabolo generate --help."
    ),
    "interpolate vae one.png one.png --steps 1 --out o.png": STEPS.format("'1'", "interpolate"),
    "traverse vae one.png --steps 0 --out o.png": STEPS.format("'0'", "traverse"),
    "bench --limit 0": (
        "--limit must be an integer of at least 1, but is '0'; see diabolo bench --help."
    ),
    "bench dae-32 --rounds 0": (
        "--rounds must be an integer of at least 1, but is '0'; see diabolo bench --help."
    ),
    # recipes
    "fit dae32": "There is no recipe 'dae32'; did you mean 'dae-32'?",
    "fit model.safetensors": f"There is no recipe 'model.safetensors'; known are {RECIPES}",
    "recipes dae-33": "There is no recipe 'dae-33'; did you mean 'dae-32'?",
    "recipes ''": f"There is no recipe ''; known are {RECIPES}",
    "summary vea": "There is no recipe 'vea'; did you mean 'vae'?",
    "bench dae-33": "There is no recipe 'dae-33'; did you mean 'dae-32'?",
    "fit none.toml": "none.toml cannot be read: No such file or directory.",
    "fit folder.toml": "folder.toml cannot be read: Is a directory.",
    "fit bytes.toml": "bytes.toml is not a text file.",
    "fit syntax.toml": about("syntax.toml is not valid TOML: "),
    "fit no-model.toml": (
        'no-model.toml needs a [model] with a kind, such as kind = "Autoencoder".'
    ),
    "fit dotted.toml": "dotted.toml is not valid TOML: it is too deeply nested.",
    "fit nested.toml": "nested.toml is not valid TOML: it is too deeply nested.",
    "fit named.toml": (
        "named.toml: the name '../../evil' must be of letters, digits, -, _ and dots."
    ),
    "encode dae loop.npy --out o.npy": about("loop.npy"),
    "fit ae --data void.npy": about("void.npy is not a NumPy array that can be read: its values"),
    "fit ae --epochs 9999999999": "epochs is 9999999999, too large a number.",
    "fit watermark --corruption.scale 300,300": (
        "scale must be 2 values, each a number above 0 and at most 10, but is '300,300'."
    ),
    "encode link d.npy --out o.npy": "link is neither a file nor a folder.",
    "fit no-table.toml": "no-table.toml: model must be a table, but is 5.",
    "fit kind.toml": "There is no kind 'VEA'; did you mean 'VAE'?",
    "fit parameter.toml": "There is no parameter 'latentdim'; did you mean 'latent_dim'?",
    "fit text.toml": "epochs must be an integer of at least 1 or 'auto', but is '3'.",
    "fit part.toml": "There is no kind 'gausian'; did you mean 'gaussian'?",
    "fit no-part.toml": f"{CORRUPTION} 'gaussian'.",
    "fit key.toml": "There is no key in key.toml: 'modle'; did you mean 'model'?",
    "fit data.toml": "There is no key in data.toml, [data]: 'sorce'; did you mean 'source'?",
    "fit validation.toml": ('validation.toml: validation must be "test" or like "first 20%".'),
    "fit limit.toml": "limit.toml, [data]: limit must be at least 1, but is -5.",
    "fit true.toml": "true.toml, [data]: limit must be an integer, but is True.",
    "fit columns.toml": "columns.toml, [report]: columns must be at least 1, but is 0.",
    "fit base.toml": "There is no recipe 'ae36'; did you mean 'ae-36'?",
    "fit base-36.toml": "base-36.toml: base must be a text, but is 36.",
    # data
    "fit dae-32 --data nowhere": f"nowhere does not exist: {FORMS}",
    "fit dae-32 --data ''": "--data needs a name, but is empty; see diabolo fit --help.",
    "fit dae-32 --data t.csv --test none.csv": f"none.csv does not exist: {FORMS}",
    "fit dae-32 --data a.xyz": f"a.xyz is of no kind that can be read: {FORMS}",
    "fit dae-32 --data empty": "empty is a folder without images",
    "fit dae-32 --data text": "text is a folder without images",
    "fit dae-32 --data broken": (
        "none of the 1 images in broken can be used; the first: a.png is not an image that can"
        " be read"
    ),
    "fit dae-32 --data bad.png": "bad.png is not an image that can be read",
    "fit dae-32 --data one.png": (
        "One sample is too few to train and to test on: give more, or --test."
    ),
    "fit dae-32 --data two.npz": 'two.npz has the arrays a, b; name the one to read "x"',
    "fit dae-32 --data none.npy": "none.npy holds no samples: its shape is (0, 28, 28)",
    "fit dae-32 --data vector.npy": (
        "vector.npy has 1 dimensions, shape (3,); expected (N, D), (N, H, W),"
        " (N, C, H, W) or (N, C, D, H, W)"
    ),
    "fit dae-32 --data complex.npy": (
        "complex.npy holds complex128 values; expected bool, integers or floats"
    ),
    "fit dae-32 --data pickle.npy": (
        "pickle.npy is not a NumPy array that can be read: it does not begin like one, or it"
        " holds Python objects, which are not loaded"
    ),
    "fit dae-32 --data cut.npy": about("cut.npy is not a NumPy array that can be read: "),
    "fit dae-32 --data cut-idx3-ubyte": (
        "cut-idx3-ubyte is cut off: 3 dimensions need 12 bytes of sizes, 2 follow"
    ),
    "fit dae-32 --data words.csv": (
        'words.csv holds cells that do not fit: column "b" holds numbers, but "two" in line 2;'
        ' column "c" holds numbers, but "x" in line 4; correct or empty them'
    ),
    "fit dae-32 --data dates.csv": (
        'dates.csv holds cells that do not fit: column "a" holds dates, but "soon" in line 4;'
        " correct or empty them"
    ),
    "fit dae-32 --data t.csv --label d": about("There is no column 'd'; "),
    "fit dae-32 --data d.npy --index d": (
        "d.npy is no table: leave the names of its index and label out."
    ),
    "fit dae-32 --data ragged.csv": (
        "ragged.csv has rows with more cells than its header, which has 3: line 3 (4): give each"
        " row as many cells"
    ),
    "fit dae-32 --data wide.csv --test t.csv": (
        "The test samples of t.csv have shape (3,), those to train on (4,)."
    ),
    "fit dae-32 --data empty.csv": (
        "empty.csv cannot be read as a table: No columns to parse from file"
    ),
    "fit dae-32 --data header.csv": (
        "header.csv holds no samples: there are no rows below its header"
    ),
    "fit dae-32 --data bytes.csv": about("bytes.csv cannot be read as a table: "),
    "fit dae-32 --data mnist:tset": (
        "mnist:tset is not understood: write mnist, mnist:train, mnist:test, mnist:test:100 (the"
        " first hundred) or mnist:test:3-7"
    ),
    "reconstruct dae mnist:test:0 --out o.npy": f"mnist:test:0 {RANGE}",
    "fit vae-conv --data t.csv": (
        "A conv network needs images: give X as (N, C, H, W), dimensions=1 if rows are signals, or"
        " image_shape for 3 columns."
    ),
    "fit ae-32 --test small.npy": (
        "The test samples of small.npy have shape (20, 28), those to train on (28, 28)."
    ),
    "fit ae-32 --test floats.npy": "The test samples of floats.npy are float64, not uint8.",
    # models
    "summary runs/none": f"runs/none {ABSENT}",
    "summary empty": "empty is not a run folder: it has no model.safetensors.",
    "summary t.csv": f"t.csv {FOREIGN}",
    "summary pickle.npy": f"pickle.npy {FOREIGN}",
    "evaluate none.safetensors": f"none.safetensors {ABSENT}",
    "evaluate dae-32": f"dae-32 {ABSENT}",
    "evaluate model.safetensors": (
        "model.safetensors is not in a run folder: say what to test it on with --data."
    ),
    "report none": f"none {ABSENT}",
    "report empty": "empty is not a run folder: it has no model.safetensors.",
    "report model.safetensors": "model.safetensors is not a run folder: it has no config.toml.",
    "reconstruct dae-32 d.npy --out o.npy": f"dae-32 {ABSENT}",
    "reconstruct key.toml d.npy --out o.npy": f"key.toml {FOREIGN}",
    "reconstruct one.png d.npy --out o.npy": f"one.png {FOREIGN}",
    "reconstruct empty.safetensors d.npy --out o.npy": f"empty.safetensors {FOREIGN}",
    "reconstruct header.safetensors d.npy --out o.npy": f"header.safetensors {FOREIGN}",
    "reconstruct cut.safetensors d.npy --out o.npy": about("cut.safetensors is damaged: "),
    # data of another kind than the model's
    "reconstruct dae small.npy --out o.npy": (
        "The model was fitted on samples of shape (28, 28), not (20, 28)."
    ),
    "reconstruct dae floats.npy --out o.npy": (
        "The model was fitted on uint8 from 0 to 255, but X is float within [0, 1]: multiply it"
        " by 255."
    ),
    "reconstruct dae deep.npy --out o.npy": (
        "The model was fitted on uint8, not uint16: convert X."
    ),
    "reconstruct dae empty --out o.npy": "empty is a folder without images",
    "reconstruct dae '' --out o.npy": f"The name of the source is empty: {FORMS}",
    "reconstruct dae t.csv --out o.npy": OTHER,
    "evaluate dae --data t.csv": OTHER,
    "reconstruct tab other.csv --out o.csv": (
        "The table other.csv lacks 'c' and has 'd', which the model does not know: give the"
        " columns of the training."
    ),
    "denoise vae d.npy --out o.npy": (
        "vae was not trained to denoise: use reconstruct, or fit dae."
    ),
    "reconstruct vae d.npy --out o.npy --corrupt": (
        "The model was trained without a corruption: there is none to apply."
    ),
    "decode dae codes-7.npy --out o.npy": "Codes must have shape (N, 3), but have (2, 7).",
    "decode dae one.png --out o.npy": "Codes must have shape (N, 3), but have (1, 28, 28).",
    "decode dae none.csv --out o.npy": f"none.csv does not exist: {FORMS}",
    "generate dae --out o.npy": (
        "dae is in no run folder that knows its training data: give --data INPUT."
    ),
    "interpolate vae empty one.png --out o.png": "empty is a folder without images",
    "interpolate vae mnist:test:2 one.png --out o.png": (
        "mnist:test:2 has 2 samples: give one, such as mnist:test:3-3."
    ),
    "interpolate tab row.csv row.csv --out o.png": (
        "There is no picture of this model's samples: they are no images."
    ),
    "traverse vae mnist:test:2 --out o.png": (
        "mnist:test:2 has 2 samples: give one, such as mnist:test:3-3."
    ),
    # results
    "reconstruct dae d.npy --out o.xyz": WRITABLE,
    "generate vae --out o.xyz": WRITABLE,
    "generate vae --out o.jpg": "The picture is written as .png, not 'o.jpg'.",
    "interpolate vae one.png one.png --out o.npy": (
        "The picture is written as .png, not 'o.npy'."
    ),
    "traverse vae one.png --out o.jpg": "The picture is written as .png, not 'o.jpg'.",
    "encode dae d.npy --out o.png": "Codes go to .npy, .npz, .csv or .parquet, not 'o.png'.",
    "encode dae d.npy --out o": "Codes go to .npy, .npz, .csv or .parquet, not 'o'.",
    "reconstruct dae d.npy --out o.png": ONE_IMAGE.format(5),
    "reconstruct tab t.csv --out o": (
        "samples of shape (3,) are no images, which are (H, W), (1, H, W) or (3, H, W): write"
        " .npy, .npz or a table"
    ),
    "reconstruct dae d.npy --out ''": (
        "--out needs a name, but is empty; see diabolo reconstruct --help."
    ),
    "reconstruct dae d.npy --out mine.npy": f"mine.npy {EXISTS}",
    "encode dae d.npy --out mine.npy": f"mine.npy {EXISTS}",
    "decode dae d.npy --out mine.npy": f"mine.npy {EXISTS}",
    "generate vae --out mine.npy": f"mine.npy {EXISTS}",
    "reconstruct dae d.npy --out text": f"text {EXISTS}",
    "reconstruct dae d.npy --out text --force": (
        "text has other files in it, such as mine.txt: it is left alone."
    ),
    "reconstruct dae one.png --out one.png --force": (
        "one.png holds the input: give another --out."
    ),
    "interpolate vae one.png small.png --out small.png --force": (
        "small.png holds the input: give another --out."
    ),
    "generate vae --out vae --force": "vae holds the input: give another --out.",
    "reconstruct dae d.npy --out mine.npy/o.npy": about("mine.npy/o.npy cannot be written: "),
    "reconstruct dae d.npy --out /proc/none/o.npy": about("/proc/none/o.npy cannot be written: "),
    "reconstruct dae d.npy --out pipe --force": (
        "pipe is no file, and is left alone: give another --out."
    ),
    "fit dae-32 --limit 9 --out pipe --force": (
        "pipe is no file, and is left alone: give another --out."
    ),
    "fit dae-32 --limit 9 --out dae": f"dae {EXISTS}",
    "fit dae-32 --limit 9 --out text --force": (
        "text is not a run folder: it is left alone, give another --out."
    ),
    "fit dae-32 --limit 9 --out mine.npy --force": (
        "mine.npy is a file, not a run folder: give another --out."
    ),
    "fit dae-32 --limit 9 --out mine.npy/run": about("cannot be written: "),
    "fit dae-32 --limit 9 --out /proc/none/run": about("cannot be written: "),
}
TO_LAW = "give --law mixture or gaussian"
COMMANDS |= {
    "detect": (
        "The following arguments are required: fit|score|feedback; see diabolo detect --help."
    ),
    "detect guess": "There is no command 'detect guess'; did you mean 'detect score'?",
    "detect fit ae row.csv --out o.safetensors": (
        "X has n_samples=1: give two or more, of which some are held out."
    ),
    "detect fit dae empty --out o.safetensors": "empty is a folder without images",
    "detect fit dae d.npy --out o.npy": ("A detector goes to a .safetensors file, not 'o.npy'."),
    "detect fit dae nan.npy --out o.safetensors": NAN,
    "detect fit dae d.npy --out o.safetensors --false-alarm-rate 5": (
        "--false-alarm-rate must be a number between 0 and 1, such as 0.05, but is '5'; see"
        " diabolo detect fit --help."
    ),
    "detect score dae d.npy --out o": (
        "dae is a model and no detector: make one with diabolo detect fit dae DATA."
    ),
    "neighbours dae mnist:test:2 --in d.npy": (
        "mnist:test:2 has 2 samples: give one, such as mnist:test:3-3."
    ),
    "neighbours dae one.png --in nan.npy": NAN,
    "neighbours tab row.csv --in t.csv --out o.png": (
        "There is no picture of this model's samples, which are no images: leave --out away for"
        " the table alone."
    ),
    "map dae d.npy --by label --out o.png": ("d.npy has no labels to colour by: give --by error."),
    "map dae d.npy --by size --out o.png": (
        "--by must be one of label, error, but is 'size'; see diabolo map --help."
    ),
    "map tab gap.csv --out o.png": NAN,
    "size d.npy --sizes 2,0 --out o": (
        "--sizes must be an integer of at least 1, but is '0'; see diabolo size --help."
    ),
    "size kinds.csv --out o": (
        "Sizes of the code are tried on numbers alone, and this table has categories, dates or"
        " gaps: fit it with --latent-dim of each size, and compare the runs."
    ),
    "size row.csv --out o": (
        "One sample is too few to train and to test on: give more, or --test."
    ),
    "generate dae --law prior --out o.npy": f"dae has no prior: {TO_LAW}.",
    "generate vae --save l.safetensors --out o.npy": (
        f"--save keeps a fitted law: {TO_LAW} as well."
    ),
    "generate vae --save l.txt --out o.npy": ("A law goes to a .safetensors file, not 'l.txt'."),
    "arithmetic vae one.png one.png --out o.png": (
        "The following arguments are required: C; see diabolo arithmetic --help."
    ),
    "arithmetic vae one.png one.png small.png --out small.png --force": (
        "small.png holds the input: give another --out."
    ),
    "arithmetic vae one.png one.png one.png --out o.jpg": (
        "The picture is written as .png, not 'o.jpg'."
    ),
    "arithmetic tab row.csv row.csv row.csv --out o.png": (
        "There is no picture of this model's samples: they are no images."
    ),
    "fit dae-32 --data gap.csv": (
        "A table with categories or gaps has no one output activation: leave output_activation"
        " out, or use the recipe ae."
    ),
    "fit dae-32 --data infinite.csv": INFINITE,
    "reconstruct dae nan.npy --out o.npy": NAN,
    "reconstruct tab gap.csv --out o.csv": NAN,
    "decode dae codes-nan.npy --out o.npy": WILD,
    "fit dae-32 --limit 9 --device meta": NO_DEVICE.format("meta"),
    "fit dae-32 --limit 5 --validation-fraction 0.01": (
        "A validation_fraction of 0.01 leaves none of 5 samples to validate on: give more samples,"
        " or X_val."
    ),
    "reconstruct flipped.safetensors d.npy --out o.npy": about("flipped.safetensors is damaged: "),
    "summary cut.safetensors": about("cut.safetensors is "),
}

TOML = {
    "dotted": ".".join(["a"] * 20_000) + " = 1",
    "nested": "a = " + "[" * 100_000,
    "named": 'name = "../../evil"\n[model]\nkind = "Autoencoder"',
    "syntax": "[model",
    "no-model": 'title = "x"',
    "no-table": "model = 5",
    "kind": '[model]\nkind = "VEA"',
    "parameter": '[model]\nkind = "VAE"\nlatentdim = 3',
    "text": '[model]\nkind = "VAE"\nepochs = "3"',
    "part": '[model]\nkind = "VAE"\ncorruption = {kind = "gausian"}',
    "no-part": '[model]\nkind = "VAE"\ncorruption = "gaussian"',
    "key": '[model]\nkind = "VAE"\n[modle]\nepochs = 3',
    "data": '[model]\nkind = "VAE"\n[data]\nsorce = "mnist"',
    "validation": '[model]\nkind = "VAE"\n[data]\nvalidation = "last"',
    "limit": '[model]\nkind = "VAE"\n[data]\nlimit = -5',
    "true": '[model]\nkind = "VAE"\n[data]\nlimit = true',
    "columns": '[model]\nkind = "VAE"\n[report]\ncolumns = 0',
    "base": 'base = "ae36"',
    "base-36": "base = 36",
}
CSV = {
    "words": "a,b,c\n1,two,3\n1,2,3\n1,2,x\n1,2,3\n",
    "dates": "a,b,c\n2020-01-01,2,3\n2020-01-02,2,3\nsoon,2,3\n",
    "ragged": "a,b,c\n1,2,3\n1,2,3,4\n",
    "other": "a,b,d\n1,2,3\n",
    "wide": "a,b,c,d\n1,2,3,4\n5,6,7,8\n",
    "empty": "",
    "header": "a,b,c\n",
    "row": "a,b,c\n1,2,3\n",
    "kinds": "a,b,c\n" + "1,x,3\n2,y,4\n" * 9,
    "gap": "a,b,c\n" + "1,,3\n1,2,3\n" * 9,
    "infinite": "a,b,c\n" + "1,inf,3\n" * 9,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three small models, and with all that is used wrongly."""
    room = tmp_path_factory.mktemp("room")
    digits = load_mnist()[1][0][:60]
    for folder in ("empty", "text", "broken", "folder.toml", "dae", "vae", "tab"):
        (room / folder).mkdir()
    small = SMALL | {"hidden": (4,)}
    model = Autoencoder(**small, corruption=GaussianNoise(0.1)).fit(digits)
    model.save(room / "dae/model.safetensors")
    VAE(**small).fit(digits).save(room / "vae/model.safetensors")
    table = Autoencoder(**small).fit(RANDOM.random((40, 3)))
    table.fitted_ = replace(table.fitted_, columns=["a", "b", "c"])
    table.save(room / "tab/model.safetensors")
    write_files(room, digits)
    whole = (room / "dae/model.safetensors").read_bytes()
    for name, content in {
        "model": whole,
        "empty": b"",
        "header": whole[:500],
        "cut": whole[:-40],
        "flipped": flipped(bytearray(whole), -9),
    }.items():
        (room / f"{name}.safetensors").write_bytes(content)
    return room


@pytest.fixture(scope="module")
def copied(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it, with a pipe, and a link to itself."""
    path = tmp_path_factory.mktemp("copied") / "room"
    shutil.copytree(built, path)
    os.mkfifo(path / "pipe")
    (path / "link").symlink_to("pipe")
    (path / "loop.npy").symlink_to("loop.npy")
    return path


@pytest.fixture
def room(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy, to work in: every test leaves it as it was."""
    monkeypatch.chdir(copied)
    return copied


VOID = b"\x93NUMPY\x01\x00F\x00" + (
    b"{'descr': '|V0', 'fortran_order': False, 'shape': (100000000000,)}".ljust(69) + b"\n"
)  # of a hundred thousand million values that have no bytes


def write_files(room: Path, digits: np.ndarray) -> None:
    arrays = {
        "d": digits[:5],
        "small": digits[:2, :20],
        "floats": digits[:2] / 255,
        "deep": digits[:2].astype(np.uint16),
        "nan": np.full((2, 28, 28), np.nan),
        "none": digits[:0],
        "vector": np.zeros(3),
        "complex": np.zeros((3, 3), complex),
        "pickle": np.array([[Bomb()]], object),
        "codes-7": np.zeros((2, 7)),
        "codes-nan": np.full((2, 3), np.nan),
    }
    for name, array in arrays.items():
        np.save(room / f"{name}.npy", array, allow_pickle=True)
    np.savez(room / "two.npz", a=digits, b=digits)
    np.savetxt(room / "t.csv", RANDOM.random((40, 3)), delimiter=",", header="a,b,c", comments="")
    Image.fromarray(digits[0]).save(room / "one.png")
    Image.fromarray(digits[0][:20]).save(room / "small.png")
    for name, text in TOML.items():
        (room / f"{name}.toml").write_text(text)
    for name, text in CSV.items():
        (room / f"{name}.csv").write_text(text)
    for name, content in {
        "cut.npy": (room / "d.npy").read_bytes()[:-50],
        "cut-idx3-ubyte": b"\0\0\x08\x03\0\0",
        "bad.png": b"no image",
        "broken/a.png": b"no image",
        "text/mine.txt": b"mine",
        "mine.npy": b"mine",
        "a.xyz": b"hello",
        "void.npy": VOID,
        "bytes.toml": b"\xff\xfe\0",
        "bytes.csv": b"a,b\n\xff,1\n",
    }.items():
        (room / name).write_bytes(content)


def said(capsys: pytest.CaptureFixture[str], room: Path, *words: str) -> str:
    """The one sentence that a mistaken command leaves on stderr, and nothing in the room."""
    before = contents(room)
    capsys.readouterr()
    assert main(words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("diabolo: ")
    assert contents(room) == before
    return lines[0].removeprefix("diabolo: ").replace(f"{room}/", "")


@pytest.mark.parametrize("words", COMMANDS)
def test_a_mistake_on_the_command_line_gets_one_sentence(words, room, capsys):
    check(said(capsys, room, *shlex.split(words)), COMMANDS[words])


# ---- what the machine refuses

DENIED = {
    "encode dae d.npy --out closed/o.npy": (
        "closed/o.npy cannot be written: Permission denied; write elsewhere."
    ),
    "reconstruct dae d.npy --out closed/o": (
        "closed/o cannot be written: Permission denied; write elsewhere."
    ),
    "generate vae -n 3 --out closed/o.png": (
        "closed/o.png cannot be written: Permission denied; write elsewhere."
    ),
    "fit dae-32 --limit 9 --out closed/run": (
        "closed/run/model.safetensors cannot be written: Permission denied; write elsewhere."
    ),
    "encode dae secret.npy --out o.npy": "secret.npy cannot be read: Permission denied",
    "encode dae secret.png --out o.npy": "secret.png cannot be read: Permission denied",
    "encode dae secret --out o.npy": "secret cannot be read: Permission denied",
    "encode dae secret.csv --out o.npy": (
        "secret.csv cannot be read as a table: Permission denied"
    ),
    "summary secret.safetensors": "secret.safetensors cannot be read: Permission denied.",
    "fit secret.toml": "secret.toml cannot be read: Permission denied.",
}


@pytest.fixture(scope="module")
def open_room(built: Path) -> Iterator[Path]:
    """The room where another user may come in, with things that are closed to that user."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        shutil.copytree(built, path, dirs_exist_ok=True)
        path.chmod(0o777)
        (path / "closed").mkdir()
        (path / "closed").chmod(0o555)
        for secret, like in [
            *(("secret.npy", "d.npy"), ("secret.png", "one.png"), ("secret.csv", "t.csv")),
            *(("secret.safetensors", "model.safetensors"), ("secret.toml", "key.toml")),
        ]:
            shutil.copy(path / like, path / secret)
            (path / secret).chmod(0)
        (path / "secret").mkdir(0)
        yield path


@pytest.mark.parametrize("words", DENIED)
def test_what_is_not_permitted_is_said(words, open_room, capsys, monkeypatch):
    monkeypatch.chdir(open_room)
    before = contents(open_room) if os.geteuid() == 0 else None
    main(["summary", "dae"])
    capsys.readouterr()
    with as_nobody():
        assert main(shlex.split(words)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.replace(f"{open_room}/", "") for line in lines] == [f"diabolo: {DENIED[words]}"]
    assert before is None or contents(open_room) == before


@pytest.mark.parametrize(
    "words",
    [
        "encode dae mnist:test:999 --out o.npy",
        "reconstruct dae d.npy --out o.npy --force",
        "reconstruct dae d.npy --out mine.npy --force",
        "encode dae mnist:test:999 --out o.csv",
        "generate vae -n 9 --out o",
        "generate vae -n 9 --out o.png",
    ],
)
def test_a_full_disk_is_said_and_nothing_is_half_written(words, room, capsys):
    before = contents(room)
    with full_disk():
        assert main(shlex.split(words)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    path = shlex.split(words)[shlex.split(words).index("--out") + 1]
    assert line.startswith(f"diabolo: {path} cannot be written: File too large")
    assert contents(room) == before


# ---- unusual, and right

CONSTANT = np.column_stack([ROWS, np.full(40, 7.0)])
UNUSUAL = {
    "one row": lambda: (fit(ROWS[:1]), ROWS[:1]),
    "one image": lambda: (fit(IMAGES[:1]), IMAGES[:1]),
    "one feature": lambda: (fit(ROWS[:, :1]), ROWS[:, :1]),
    "one pixel": lambda: (fit(IMAGES[:, :1, :1], network="conv"), IMAGES[:, :1, :1]),
    "one row, standard": lambda: (fit(ROWS[:1], scaling="standard"), ROWS[:1]),
    "a constant column": lambda: (fit(CONSTANT), CONSTANT),
    "a constant column, standard": lambda: (fit(CONSTANT, scaling="standard"), CONSTANT),
    "only zeros": lambda: (fit(0 * ROWS), 0 * ROWS),
    "only zeros, bernoulli": lambda: (fit(0 * IMAGES, likelihood="bce"), 0 * IMAGES),
    "a batch larger than the data": lambda: (fit(batch_size=10**6), ROWS),
    "a code larger than the data": lambda: (fit(latent_dim=100), ROWS),
    "a list of lists": lambda: (fit(ROWS.tolist()), ROWS.tolist()),
    "a list of images": lambda: (fit(list(IMAGES)), list(IMAGES)),
    "numbers as objects": lambda: (fit(ROWS.astype(object)), ROWS.astype(object)),
    "integers": lambda: (fit(IMAGES.astype(int)), IMAGES.astype(int)),
    "negative values": lambda: (fit(-5 * ROWS), -5 * ROWS),
    "the largest floats": lambda: (fit(ROWS * np.float32(3e37)), ROWS * np.float32(3e37)),
    "the smallest floats": lambda: (fit(ROWS * np.float32(1e-38)), ROWS * np.float32(1e-38)),
    "not contiguous": lambda: (fit(ROWS[::-2, ::-1]), ROWS[::-2, ::-1]),
    "read-only": lambda: (fit(np.broadcast_to(ROWS[:1], (9, 6))), ROWS[:1]),
    "a masked array without masked values": lambda: (
        fit(np.ma.masked_array(ROWS)),
        np.ma.masked_array(ROWS),
    ),
    "a frame": lambda: (fit(FRAME), FRAME),
    "a polars frame": lambda: (fit(polars_frame(a=[1.0, 2.0])), polars_frame(a=[1.0, 2.0])),
    "a tensor that wants its gradient": lambda: (
        fit(torch.tensor(ROWS, requires_grad=True)),
        torch.tensor(ROWS, requires_grad=True),
    ),
    "labels that mean nothing": lambda: (new().fit(ROWS, [-1, "x", None]), ROWS),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_the_unusual_works(name):
    model, X = UNUSUAL[name]()
    z = model.transform(X)
    for result in (z, model.reconstruct(X), model.inverse_transform(z), model.score_samples(X)):
        assert np.isfinite(np.asarray(result)).all()
    assert np.isfinite(model.history_["loss"]).all()
