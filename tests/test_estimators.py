"""One suite over every model and network, and what each way of using it wrong is answered."""

import copy
import shutil
import threading

import numpy as np
import pytest
import torch
from conftest import PLAIN, SMALL, floats
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from torch import nn

from diabolo import VAE, Autoencoder, load
from diabolo.corruption import GaussianNoise, Masking, SaltAndPepper
from diabolo.data import load_mnist
from diabolo.data.source import Batch
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.infer import BLOCK, block_of
from diabolo.models import MODELS
from diabolo.params import to_config
from diabolo.train import Epoch, Training, generator


def images(n=40, shape=(9, 7), seed=0):
    """Random uint8 images, some of them dark."""
    random = np.random.default_rng(seed)
    ceiling = random.integers(40, 256, size=(n, *[1] * len(shape)))
    return (random.random((n, *shape)) * ceiling).astype(np.uint8)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.net_.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def history(model):
    return {name: list(values) for name, values in model.history_.items() if name != "seconds"}


# ---- every model and network


SHAPES = [(20,), (7, 5), (28, 28), (29, 28), (3, 13, 9), (1, 1, 1), (1, 1), (1, 28, 28), (2, 1, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes_and_types(make_some, shape):
    X = images(20, shape)
    model = make_some(image_shape=(1, 4, 5) if len(shape) == 1 else None)
    assert model.fit(X) is model
    z, y, scores = model.transform(X), model.reconstruct(X), model.score_samples(X)
    assert (z.shape, y.shape, scores.shape) == ((20, 3), X.shape, (20,))
    assert model.inverse_transform(z).shape == X.shape
    for array in (z, y, scores, model.inverse_transform(z)):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert isinstance(model.score(X), float)
    assert model.n_features_in_ == X[0].size
    assert model.sample_shape_ == shape
    expected = {1: (1, 4, 5), 2: (1, *shape), 3: shape}[len(shape)]
    assert model.image_shape_ == expected
    assert (y.min() >= 0, y.max() <= 255) == (True, True)
    assert y.max() > 1, "in the units of the input"


def test_flat_rows_and_images_are_the_same_samples(make_some):
    X = images(20, (3, 5, 4))
    model = make_some().fit(X)
    flat = X.reshape(20, -1)
    np.testing.assert_array_equal(model.transform(flat), model.transform(X))
    assert model.reconstruct(flat).shape == flat.shape
    np.testing.assert_array_equal(model.reconstruct(flat), model.reconstruct(X).reshape(20, -1))
    from_flat = make_some(image_shape=(3, 5, 4)).fit(flat)
    assert same(weights(model), weights(from_flat))
    np.testing.assert_array_equal(from_flat.transform(X), model.transform(X))
    one_channel = make_some().fit(X[:, 0])
    np.testing.assert_array_equal(one_channel.transform(X[:, :1]), one_channel.transform(X[:, 0]))


def test_a_gradient_reaches_every_parameter(make):
    model = make(activation="elu", hidden=(6, 5)).fit(images())
    x = torch.from_numpy(images().reshape(40, -1))
    model.net_.zero_grad()
    model.net_.loss(Batch(x, x), generator(0, "noise"), 0).mean().backward()
    for name, parameter in model.net_.named_parameters():
        if parameter.requires_grad:  # a critic has a loss of its own
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
    assert not any(b.requires_grad for b in model.net_.scaling.buffers())


def test_training_lowers_the_loss_and_moves_every_parameter(make):
    plain = PLAIN | SMALL | {"activation": "elu", "epochs": 10, "learning_rate": 1e-2}
    model = make(**plain)
    states = []
    model.fit(images(), callback=lambda m: states.append(weights(m)))
    first, *later = model.history_["loss"]
    assert min(later) < first  # penalties of few samples are noisy
    for name, _ in model.net_.named_parameters():
        assert not torch.equal(states[0][name], states[-1][name]), name


def test_the_seed_decides_everything(make):
    X, options = images(), PLAIN | SMALL
    options |= {"corruption": GaussianNoise(0.3), "validation_fraction": 0.25}
    first, again, other = (make(**options | {"random_state": seed}).fit(X) for seed in (7, 7, 8))
    assert same(weights(first), weights(again))
    assert history(first) == history(again)
    np.testing.assert_array_equal(first.step_loss_, again.step_loss_)
    assert history(first)["loss"] != history(other)["loss"]
    changed = [
        n for n, p in first.net_.named_parameters() if not torch.equal(p, weights(other)[n])
    ]
    assert len(changed) == len(list(first.net_.parameters()))
    np.testing.assert_array_equal(
        first.corrupt(X, random_state=1), again.corrupt(X, random_state=1)
    )


def test_a_random_state_object_is_a_seed(make_some):
    X = images()
    for kind in (np.random.RandomState, np.random.default_rng):
        first, again = (make_some(random_state=kind(3)).fit(X) for _ in range(2))
        assert same(weights(first), weights(again))
    drawn = [make_some(random_state=None, epochs=1).fit(X).seed_ for _ in range(2)]
    assert drawn[0] != drawn[1]


def test_the_global_random_states_are_neither_used_nor_touched(make, untouched, tmp_path):
    X, found = images(), []
    for seed in (0, 1):
        np.random.seed(seed)
        torch.manual_seed(seed)
        with untouched():
            model = make(corruption=GaussianNoise(0.3), validation_fraction=0.2).fit(X)
            z = model.transform(X)
            model.inverse_transform(z)
            model.reconstruct(X)
            model.score(X)
            model.layers(X)
            noisy = model.corrupt(X, random_state=0)
            model.corrupt(X)
            if model.net_.bottleneck.prior() is not None:
                model.sample(3)
            model.save(tmp_path / "model.safetensors")
            load(tmp_path / "model.safetensors", device="cpu")
        found.append((weights(model), noisy))
    assert same(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_without_a_seed_they_are_not_touched_either(make_some, untouched):
    with untouched():
        make_some(random_state=None, epochs=1).fit(images())


def test_two_trainings_at_once_give_what_each_gives_alone(make_some):
    X = images()
    alone = [weights(make_some(random_state=seed, epochs=4).fit(X)) for seed in (0, 1)]
    models = [make_some(random_state=seed, epochs=4) for seed in (0, 1)]
    workers = [threading.Thread(target=model.fit, args=(X,)) for model in models]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for expected, model in zip(alone, models, strict=True):
        assert same(expected, weights(model))


def test_a_saved_model_is_the_same_to_the_bit(make, tmp_path):
    check_that_it_is_kept(make(**KEPT), images(40, (3, 5, 4)), tmp_path)


def test_a_saved_model_of_a_table_is_the_same_to_the_bit(make_some, tmp_path):
    check_that_it_is_kept(make_some(**KEPT, image_shape=(1, 4, 5)), floats(40, 20), tmp_path)


KEPT = {"corruption": SaltAndPepper(0.2), "device": "auto"}


def check_that_it_is_kept(model, X, folder):
    model.fit(X, X_val=X[:7])
    first, second, third = (folder / f"{i}.safetensors" for i in range(3))
    model.save(first)
    model.save(second)
    read = load(first)
    read.save(third)
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()
    assert type(read) is type(model)
    assert same(weights(read), weights(model))
    assert read.history_ == model.history_
    assert to_config(read) == to_config(model)
    np.testing.assert_array_equal(read.step_loss_, model.step_loss_)
    for use in ("transform", "reconstruct", "score_samples"):
        np.testing.assert_array_equal(getattr(read, use)(X), getattr(model, use)(X))
    z = model.transform(X)
    np.testing.assert_array_equal(read.inverse_transform(z), model.inverse_transform(z))
    np.testing.assert_array_equal(
        read.corrupt(X, random_state=0), model.corrupt(X, random_state=0)
    )
    assert read.score(X) == model.score(X)
    assert read.layers() == model.layers()
    for name in (
        "seed_",
        "dtype_",
        "sample_shape_",
        "image_shape_",
        "n_features_in_",
        "loss_unit_",
    ):
        assert getattr(read, name) == getattr(model, name), name
    assert not read.net_.training


def test_a_loaded_model_trains_on(make, tmp_path):
    X = images()
    model = make(warm_start=True).fit(X)
    model.save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors", device="cpu")
    for m in (model, read):
        m.fit(X)
    assert same(weights(read), weights(model))
    assert history(read) == history(model)


ODD_SIDES = pytest.param((9, 7), 32, marks=pytest.mark.stress)


@pytest.mark.parametrize(("size", "rows"), [((8, 8), 16), ODD_SIDES], ids=str)
def test_rows_do_not_depend_on_the_rows_beside_them(make, threads, size, rows):
    X = images(2 * BLOCK + 2, size)
    model = make(latent_dim=4).fit(X[:40])
    assert block_of(model.net_) == (BLOCK if model.network == "dense" else rows)
    order = np.random.default_rng(1).permutation(len(X))
    for use in (model.transform, model.reconstruct, model.score_samples):
        whole = use(X)
        np.testing.assert_array_equal(use(X[order]), whole[order])
        np.testing.assert_array_equal(use(X[: BLOCK + 1]), whole[: BLOCK + 1])
        np.testing.assert_array_equal(use(X[1:]), whole[1:])
        for row in (0, BLOCK - 1, BLOCK, len(X) - 1):
            np.testing.assert_array_equal(use(X[row : row + 1]), whole[row : row + 1])
    z = model.transform(X)
    whole = model.inverse_transform(z)
    np.testing.assert_array_equal(model.inverse_transform(z[order]), whole[order])
    np.testing.assert_array_equal(model.inverse_transform(z[5:6]), whole[5:6])


def test_torch_in_torch_out(make_some):
    X = images()
    model, tensor = make_some(corruption=Masking(0.3)).fit(X), torch.from_numpy(X)
    twin = make_some(corruption=Masking(0.3)).fit(tensor)
    assert same(weights(model), weights(twin))
    for use in (
        model.transform,
        model.reconstruct,
        model.score_samples,
        lambda x: model.corrupt(x, random_state=0),
    ):
        found = use(tensor)
        assert isinstance(found, torch.Tensor)
        assert not found.requires_grad
        assert isinstance(use(X), np.ndarray)
        np.testing.assert_array_equal(found.numpy(), use(X))
    z = model.transform(tensor)
    assert isinstance(model.inverse_transform(z), torch.Tensor)
    np.testing.assert_array_equal(
        model.inverse_transform(z).numpy(), model.inverse_transform(z.numpy())
    )
    assert model.score(tensor) == model.score(X)


def test_encoding_then_decoding_is_reconstructing(make_some):
    X = images(BLOCK + 1)
    model = make_some().fit(X)
    np.testing.assert_array_equal(
        model.inverse_transform(model.transform(X)), model.reconstruct(X)
    )
    np.testing.assert_array_equal(model.fit_transform(X), make_some().fit(X).transform(X))


@pytest.mark.parametrize("scaling", ["unit", "symmetric", "standard", None])
def test_encoder_and_decoder_stand_alone(make_some, scaling):
    X = images(BLOCK, (2, 9, 7))
    model = make_some(scaling=scaling).fit(X)
    scaled = model.net_.scaling(torch.from_numpy(X).flatten(1))
    if model.network != "dense":
        scaled = scaled.reshape(X.shape)
    with torch.inference_mode():
        z = model.encoder_(scaled)
        y = model.decoder_(z).flatten(1)
    rounding = 1e-6 * z.abs().max().item()
    np.testing.assert_allclose(z, model.transform(X), rtol=1e-5, atol=rounding)
    back = model.net_.scaling.inverse(y).reshape(X.shape).clamp(0, 255)
    np.testing.assert_allclose(back, model.inverse_transform(z.numpy()), rtol=1e-5, atol=1e-4)
    for part in (model.encoder_, model.decoder_):
        assert isinstance(part, nn.Module)
        assert not part.training
    limits = {"unit": (0, 1), "symmetric": (-1, 1)}.get(scaling, (-np.inf, np.inf))
    assert limits[0] <= y.min() <= y.max() <= limits[1]


def test_inputs_are_not_modified(make_some):
    for X in (images(), images().astype(np.float32) / 255, torch.from_numpy(images())):
        before = copy.deepcopy(X)
        model = make_some(corruption=SaltAndPepper(0.3)).fit(X, X_val=X)
        z = model.transform(X)
        codes = copy.deepcopy(z)
        model.inverse_transform(z)
        model.reconstruct(X)
        model.corrupt(X)
        model.score_samples(X)
        np.testing.assert_array_equal(X, before)
        np.testing.assert_array_equal(z, codes)
        if isinstance(X, np.ndarray):
            X.flags.writeable = False
            make_some().fit(X).transform(X)


KINDS = [(s, k) for s in ("unit", "symmetric") for k in ("float in [0, 1]", "float in [-3, 5]")]


@pytest.mark.parametrize(
    ("scaling", "kind"), [*KINDS, *((s, "uint8") for s in ("unit", "symmetric", "standard", None))]
)
def test_what_comes_back_is_clipped_to_the_range(make_some, scaling, kind):
    X = images().astype(np.float32) / 255
    low, high = 0.0, 1.0
    if kind == "uint8":
        X, high = images(), 255.0
    elif kind == "float in [-3, 5]":
        X, low, high = X / X.max() * 8 - 3, -3.0, 5.0
    model = make_some(scaling=scaling, output_activation="identity").fit(X)
    wild = model.inverse_transform(1e4 * np.random.default_rng(0).normal(size=(50, 3)))
    assert (wild.min(), wild.max()) == pytest.approx((low, high), abs=1e-5)
    assert model.reconstruct(X).dtype == np.float32
    fractions = model.reconstruct(X)
    assert not np.array_equal(fractions, fractions.round()), "never rounded"


TYPES = {
    "bool": (lambda x: x > 127, torch.bool, 1),
    "uint8": (lambda x: x, torch.uint8, 255),
    "uint16": (lambda x: x.astype(np.uint16) * 257, torch.uint16, 65535),
    "big-endian uint16": (
        lambda x: (x.astype(np.uint16) * 257).astype(">u2"),
        torch.uint16,
        65535,
    ),
    "float32": (lambda x: x.astype(np.float32) / 255, torch.float32, 1),
    "float64": (lambda x: x / 255, torch.float32, 1),
    "float16": (lambda x: (x / 255).astype(np.float16), torch.float32, 1),
}


@pytest.mark.parametrize("name", TYPES)
def test_stored_types_stay_as_they_are_in_memory(make_some, monkeypatch, name):
    convert, stored, top = TYPES[name]
    X, seen = convert(images()), []
    from diabolo import fitting

    def training(net, source, *others, validation, **options):
        seen.extend([source.x.dtype, validation.x.dtype])
        return Training(net, source, *others, validation=validation, **options)

    monkeypatch.setattr(fitting, "Training", training)
    model = make_some(validation_fraction=0.25).fit(X)
    assert seen == [stored, stored]
    y = model.reconstruct(X)
    assert y.dtype == np.float32
    assert 0 <= y.min() <= y.max() <= top
    assert y.mean() == pytest.approx(X.mean(dtype=float), abs=0.35 * top)
    assert model.net_.scaling.scale.item() == top


def test_a_tensor_of_half_precision_is_taken():
    for dtype in (torch.float16, torch.bfloat16):
        X = torch.from_numpy(floats()).to(dtype)
        model = Autoencoder(**SMALL).fit(X)
        assert model.transform(X).dtype == torch.float32
        np.testing.assert_array_equal(model.transform(X), model.transform(X.float()))


# ---- training


def test_the_history_counts_and_the_callback_sees_it(make_some):
    seen = []

    def callback(model):
        z = model.transform(images())
        seen.append((len(model.history_["epoch"]), z))

    model = make_some(epochs=3, validation_fraction=0.25).fit(images(), callback=callback)
    assert [n for n, _ in seen] == [1, 2, 3]
    assert not np.array_equal(seen[0][1], seen[1][1])
    assert model.history_["epoch"] == [1, 2, 3]
    assert {len(values) for values in model.history_.values()} == {3}
    assert all(value > 0 for value in model.history_["seconds"])
    assert len(model.step_loss_) == 3 * 2
    assert model.step_loss_.dtype == np.float32


def test_warm_start_continues(make_some):
    X = images()
    plain = PLAIN | SMALL | {"validation_fraction": 0.25}
    model = make_some(**plain, warm_start=True).fit(X)
    before, first = history(model), weights(model)
    model.fit(X)
    assert model.history_["epoch"] == [1, 2, 3, 4]
    assert history(model)["loss"][:2] == before["loss"]
    assert history(model)["val_loss"][:2] == before["val_loss"]
    assert len(model.step_loss_) == 4 * 2
    assert not same(first, weights(model))
    if model.kind not in {"AdversarialAutoencoder", "UMAPAutoencoder"}:  # whose loss changes
        assert model.history_["loss"][2] < model.history_["loss"][0]
    cold = model.set_params(warm_start=False).fit(X)
    assert history(cold) == before
    assert same(first, weights(cold))


def test_a_warm_start_of_another_network_is_refused_or_saved_as_it_is(make_some, tmp_path):
    X = images()
    model = make_some(warm_start=True).fit(X)
    model.set_params(latent_dim=5, hidden=(4, 4))
    try:
        model.fit(X)
    except InputError as error:
        assert "warm_start" in str(error)  # noqa: PT017
        return
    model.save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(read.transform(X), model.transform(X))


def test_validation_by_fraction_and_by_set(make_some):
    X = images()
    plain = make_some(linear=False).fit(X)
    assert plain.history_["val_loss"] == [None, None]
    watched = make_some(linear=False).fit(X, X_val=images(9, seed=1))
    assert same(weights(plain), weights(watched))
    assert all(np.isfinite(watched.history_["val_loss"]))
    held = make_some(linear=False, validation_fraction=0.25).fit(X)
    assert not same(weights(plain), weights(held))
    assert len(held.step_loss_) == 2 * 2
    assert len(plain.step_loss_) == 2 * 3


def test_the_validation_loss_is_that_of_the_held_out_rows():
    X = images()
    model = Autoencoder(**PLAIN | SMALL).fit(X, X_val=X[:9])
    per_pixel = np.mean((model.reconstruct(X[:9]) - X[:9].astype(float)) ** 2) / 255**2
    assert model.history_["val_loss"][-1] == pytest.approx(per_pixel, rel=1e-4)
    marked = X.copy()
    marked[:10] = 0
    order = torch.randperm(40, generator=generator(0, "split")).tolist()
    held = Autoencoder(**SMALL | {"validation_fraction": 0.25}).fit(X)
    by_hand = Autoencoder(**SMALL).fit(X[order[10:]], X_val=X[order[:10]])
    assert history(held) == history(by_hand)


@pytest.fixture
def make_steady(make_some):
    """As `make_some`, for a training whose first epochs do not depend on how many there are."""
    if make_some().kind == "UMAPAutoencoder":
        pytest.skip("its repulsion grows over the epochs")
    return make_some


def dark_and_bright():
    """Samples to train on, and others that every epoch of that makes worse."""
    random = np.random.default_rng(0)
    return tuple(
        (random.random((64, 4, 4)) * 0.1 + level).astype(np.float32) for level in (0.1, 0.8)
    )


def test_early_stopping_puts_the_best_weights_back(make_steady):
    dark, bright = dark_and_bright()
    states = []
    plain = PLAIN | SMALL | {"learning_rate": 1e-2}
    model = make_steady(**plain | {"early_stopping": 2, "epochs": 20}).fit(
        dark, X_val=bright, callback=lambda m: states.append(weights(m))
    )
    losses = model.history_["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 20
    assert same(weights(model), states[best])
    assert not same(weights(model), states[-1])
    without = make_steady(**plain | {"epochs": len(losses)}).fit(dark, X_val=bright)
    assert same(weights(without), states[-1])


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "best"),
    [
        ([3.0, 2.0, 1.0], 1, 3, 3),
        ([1.0, 2.0, 0.5], 1, 2, 1),
        ([3.0, 1.0, 2.0, 2.0, 0.5], 2, 4, 2),
        ([3.0, 1.0, 2.0, 0.5, 2.0], 2, 5, 4),
        ([1.0, 1.0, 1.0], 2, 3, 1),
        ([0.0, 1.0, 2.0, 3.0], 2, 3, 1),
        ([-1.0, -2.0, -1.5, -1.0], 2, 4, 2),
        ([2.0, float("nan"), float("nan"), 1.0], 2, 3, 1),
        ([2.0, float("nan"), 3.0, 1.0], 9, 4, 4),
    ],
)
def test_the_best_epoch_is_the_one_of_least_validation_loss(
    monkeypatch, losses, patience, epochs, best
):
    """The engine is replaced by one that marks the weights with the number of the epoch."""

    def marking(training):
        for number, loss in enumerate(losses, start=1):
            with torch.no_grad():
                training.module.decoder[-1].bias.fill_(number)
            yield Epoch(1.0, loss, 1.0, np.ones(1, np.float32))

    monkeypatch.setattr(Training, "__iter__", marking)
    plain = PLAIN | SMALL | {"early_stopping": patience}
    model = Autoencoder(**plain).fit(floats(), X_val=floats())
    assert len(model.history_["epoch"]) == epochs
    assert set(model.net_.decoder[-1].bias.tolist()) == {best}


def interrupt_at(epoch):
    def callback(model):
        if len(model.history_["epoch"]) == epoch:
            raise KeyboardInterrupt

    return callback


def test_an_interrupt_leaves_the_best_model_and_is_raised_again(make_steady, tmp_path):
    dark, bright = dark_and_bright()
    plain = PLAIN | SMALL | {"learning_rate": 1e-2}
    model = make_steady(**plain | {"epochs": 20})
    with pytest.raises(KeyboardInterrupt):
        model.fit(dark, X_val=bright, callback=interrupt_at(3))
    losses = model.history_["val_loss"]
    assert len(losses) == 3
    best = make_steady(**plain | {"epochs": 1 + int(np.argmin(losses))}).fit(dark)
    assert same(weights(model), weights(best))
    assert not model.net_.training
    np.testing.assert_array_equal(model.transform(dark), best.transform(dark))
    np.testing.assert_array_equal(model.code_range_, best.code_range_)
    model.save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(read.reconstruct(dark), best.reconstruct(dark))


def test_an_interrupt_within_an_epoch_leaves_the_last_finished_one(make_some, monkeypatch):
    from diabolo import fitting

    steps = []

    class Interrupting(fitting.Progress):
        def step(self, rows):
            steps.append(rows)
            if len(steps) == 8:
                raise KeyboardInterrupt

    X = images()
    plain = PLAIN | SMALL
    two = make_some(**plain | {"epochs": 2}).fit(X)
    monkeypatch.setattr(fitting, "Progress", Interrupting)
    model = make_some(**plain | {"epochs": 5})
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert model.history_["epoch"] == [1, 2]
    if model.kind != "UMAPAutoencoder":  # which pushes by how many epochs there are to be
        assert history(model) == history(two)
        assert same(weights(model), weights(two))
        np.testing.assert_array_equal(model.transform(X), two.transform(X))


def test_an_interrupt_in_the_first_epoch_leaves_a_usable_model(make_some, monkeypatch):
    from diabolo import fitting

    class Interrupting(fitting.Progress):
        def step(self, rows):
            raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "Progress", Interrupting)
    model = make_some()
    with pytest.raises(KeyboardInterrupt):
        model.fit(images())
    assert np.isfinite(model.transform(images())).all()
    assert model.history_["epoch"] == []


def test_an_error_in_a_callback_comes_through(make_some):
    def callback(model):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        make_some().fit(images(), callback=callback)


def test_drop_last_and_large_batches(make_some):
    X = images()
    assert len(make_some(drop_last=True).fit(X).step_loss_) == 2 * 2
    assert len(make_some(batch_size=41).fit(X).step_loss_) == 2
    assert len(make_some(batch_size=40, drop_last=True).fit(X).step_loss_) == 2
    with pytest.raises(InputError, match="40 samples for a batch_size of 41"):
        make_some(batch_size=41, drop_last=True).fit(X)


@pytest.mark.parametrize("schedule", ["constant", "one_cycle", "cosine", "trapezoid"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_schedule_and_optimizer_trains(schedule, optimizer):
    model = Autoencoder(**SMALL | {"epochs": 20, "schedule": schedule, "optimizer": optimizer})
    losses = model.set_params(learning_rate=1e-2).fit(images()).history_["loss"]
    assert losses[-1] < losses[0]


def test_bf16_trains_near_to_float32():
    plain, half = (Autoencoder(**SMALL, precision=p).fit(images()) for p in ("float32", "bf16"))
    np.testing.assert_allclose(plain.history_["loss"], half.history_["loss"], rtol=0.02)
    assert not same(weights(plain), weights(half))
    assert half.transform(images()).dtype == np.float32


@pytest.mark.parametrize("name", ["mse", "bce"])
def test_the_accepted_names_of_the_likelihoods(name):
    full = {"mse": "gaussian", "bce": "bernoulli"}[name]
    a, b = (Autoencoder(**SMALL, likelihood=n).fit(images()) for n in (name, full))
    assert same(weights(a), weights(b))
    assert a.loss_unit_.startswith(name.upper())
    assert VAE(**SMALL).fit(images()).loss_unit_ == "nats per sample"


def test_the_loss_of_the_history_is_the_fields_usual_one():
    X = images()
    model = Autoencoder(**SMALL | {"batch_size": 40, "epochs": 1, "learning_rate": 1e-12}).fit(X)
    error = (model.reconstruct(X) - X.astype(float)) / 255
    assert model.history_["loss"][0] == pytest.approx(np.mean(error**2), rel=1e-4)


def test_verbose_tells_each_epoch_on_stderr(capsys):
    Autoencoder(**SMALL | {"verbose": True}).fit(images(), X_val=images())
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert all("val_loss" in line and "remaining" in line for line in lines)
    Autoencoder(**SMALL).fit(images())
    assert capsys.readouterr() == ("", "")


# ---- what theory says


@pytest.mark.parametrize("scaling", [None, "standard"])
def test_a_linear_autoencoder_spans_the_subspace_of_pca(scaling):
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(10, 10)))[0]
    spread = np.array([3, 2.5, 2, *[0.3] * 7])
    X = (random.normal(size=(512, 10)) * spread) @ basis + random.normal(size=10)
    model = Autoencoder(
        latent_dim=3,
        hidden=(),
        output_activation="identity",
        scaling=scaling,
        epochs=150,
        batch_size=64,
        learning_rate=2e-2,
        schedule="one_cycle",
        validation_fraction=0.0,
        random_state=0,
        device="cpu",
    ).fit(X)
    scaled = (X - X.mean(0)) / X.std(0) if scaling else X
    pca = PCA(3).fit(scaled)
    decoder = model.net_.decoder[-1].weight.detach().numpy()
    angles = subspace_angles(decoder, pca.components_.T)
    assert np.degrees(angles).max() < 1
    other = np.linalg.qr(random.normal(size=(10, 3)))[0]
    assert np.degrees(subspace_angles(decoder, other)).max() > 20, "the test could not tell"
    best = np.mean((pca.inverse_transform(pca.transform(scaled)) - scaled) ** 2)
    reached = -2 * model.score(X) / 10
    assert best * 0.999 <= reached <= best * 1.05


def test_a_denoiser_learns_to_denoise(digits):
    model = Autoencoder(
        latent_dim=32,
        hidden=(64,),
        corruption=GaussianNoise(0.5),
        epochs=60,
        batch_size=32,
        learning_rate=3e-3,
        random_state=0,
        device="cpu",
    ).fit(digits)
    noisy, clean = model.corrupt(digits, random_state=1), digits.astype(float)
    before = np.mean((noisy - clean) ** 2) / 255**2
    after = np.mean((model.reconstruct(noisy) - clean) ** 2) / 255**2
    assert before == pytest.approx(0.1156, abs=0.01)
    assert after < 0.35 * before


def test_the_digits_that_ship(digits):
    (x_train, y_train), (x_test, y_test) = load_mnist()
    assert (x_train.shape, x_test.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    np.testing.assert_array_equal(x_test[:256], digits)
    model = Autoencoder(**SMALL | {"latent_dim": 8, "epochs": 3}).fit(x_train[:500])
    assert model.history_["loss"][-1] < 0.08
    assert model.transform(x_test[:100]).shape == (100, 8)
    assert len(y_train) + len(y_test) == 70_000


# ---- an own pair of modules


def pair(features=63, code=3, outputs=1):
    draw = torch.Generator().manual_seed(0)
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear(features, 5),
        nn.BatchNorm1d(5),
        nn.ReLU(),
        nn.Linear(5, outputs * code),
    )
    decoder = nn.Sequential(nn.Linear(code, features), nn.Unflatten(1, (1, 9, 7)))
    with torch.no_grad():
        for parameter in [*encoder.parameters(), *decoder.parameters()]:
            parameter.normal_(0, 0.3, generator=draw)
    return encoder, decoder


@pytest.mark.parametrize("name", MODELS)
def test_an_own_pair_is_fitted_saved_and_loaded(name, tmp_path):
    X = images()
    own = pair(outputs=MODELS[name](**SMALL)._plan().bottleneck.outputs)
    before = copy.deepcopy(own)
    model, twin = (MODELS[name](**SMALL | {"network": own}).fit(X) for _ in range(2))
    for mine, kept in zip(own, before, strict=True):
        assert same(mine.state_dict(), kept.state_dict()), "the pair that was given is left alone"
    assert same(weights(model), weights(twin))
    assert not same(model.net_.decoder.state_dict(), own[1].state_dict())
    assert model.net_.encoder[2].num_batches_tracked > 0
    assert model.transform(X).shape == (40, 3)
    assert model.reconstruct(X).shape == X.shape
    path = tmp_path / "model.safetensors"
    model.save(path)
    with pytest.raises(InputError, match=r"network of its own: give load\(..., network=pair\)"):
        load(path)
    read = load(path, network=own, device="cpu")
    for use in ("transform", "reconstruct", "score_samples"):
        np.testing.assert_array_equal(getattr(read, use)(X), getattr(model, use)(X))
    with pytest.raises(InputError):
        load(path, network=(nn.Linear(63, 3), nn.Linear(3, 63)))


def test_rows_of_an_own_pair_do_not_depend_on_the_rows_beside_them():
    X = floats(2 * BLOCK + 2, 63)
    encoder = nn.Sequential(nn.Linear(63, 6), nn.ReLU(), nn.Linear(6, 3))
    model = Autoencoder(**SMALL | {"network": (encoder, nn.Linear(3, 63))}).fit(X)
    order = np.random.default_rng(1).permutation(len(X))
    for use in (model.transform, model.reconstruct, model.score_samples):
        np.testing.assert_array_equal(use(X[order]), use(X)[order])
        np.testing.assert_array_equal(use(X[-1:]), use(X)[-1:])


# ---- mistakes


X2, X3 = floats(), images()


USES = ["transform", "reconstruct", "score_samples", "score", "corrupt"]


@pytest.mark.parametrize("use", [*USES, "inverse_transform"])
def test_use_before_fit(make_some, use):
    with pytest.raises(NotFittedError):
        getattr(make_some(), use)(X2)


@pytest.mark.parametrize("use", ["sample", "layers", "summary", "get_feature_names_out"])
def test_other_use_before_fit(make_some, use):
    with pytest.raises(NotFittedError):
        getattr(make_some(), use)()


@pytest.mark.parametrize("use", USES)
def test_data_in_other_units_are_refused(use):
    model = Autoencoder(**SMALL, corruption=GaussianNoise(0.1)).fit(X3)
    call = getattr(model, use)
    with pytest.raises(InputError, match=r"fitted on uint8 from 0 to 255.*multiply it by 255"):
        call(X3 / 255)
    with pytest.raises(InputError, match="fitted on uint8, not uint16"):
        call(X3.astype(np.uint16))
    with pytest.raises(InputError, match="fitted on uint8, not bool"):
        call(X3 > 100)
    np.testing.assert_array_equal(model.transform(X3.astype(float)), model.transform(X3))
    from_floats = Autoencoder(**SMALL, corruption=GaussianNoise(0.1)).fit(X3 / 255)
    with pytest.raises(InputError, match="fitted on floats, not uint8"):
        getattr(from_floats, use)(X3)


def test_the_base_class_is_no_model():
    assert Estimator not in MODELS.values()
    assert {"Autoencoder", "VAE"} <= set(MODELS)
    with pytest.raises(TypeError):
        Estimator()


class KeywordBias(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 6))
        self.bias = nn.Parameter(torch.full((2,), 5.0))

    def forward(self, x):
        return nn.functional.linear(x, self.weight, bias=self.bias)


def test_an_own_module_may_give_its_bias_by_name():
    X = floats(20, 6)
    own = (KeywordBias(), nn.Linear(2, 6))
    model = Autoencoder(**SMALL | {"network": own, "latent_dim": 2}).fit(X)
    with torch.inference_mode():
        expected = model.encoder_(model.net_.scaling(torch.from_numpy(X)))
    np.testing.assert_allclose(model.transform(X), expected, rtol=1e-5)


def test_values_out_of_range_are_never_the_most_likely():
    X = floats(200, 6)
    model = Autoencoder(**SMALL | {"likelihood": "bce", "epochs": 20}).fit(X)
    assert model.score(X + 20) < model.score(X)
    assert model.score_samples(X + 20).max() <= 0


def test_a_failed_fit_leaves_nothing_fitted():
    for wrong in ({"drop_last": True, "batch_size": 100}, {"learning_rate": 1e30, "epochs": 9}):
        model = Autoencoder(**SMALL | wrong)
        with pytest.raises(InputError, match=r"drop_last|not finite"):
            model.fit(floats(40, 6))
        with pytest.raises(NotFittedError):
            model.transform(floats(40, 6))


@pytest.mark.stress
@pytest.mark.filterwarnings("ignore")  # of the compiler
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
@pytest.mark.parametrize(
    ("name", "network"),
    [*((name, "dense") for name in MODELS), ("VAE", "conv"), ("ContractiveAutoencoder", "conv")],
)
def test_a_compiled_training_is_that_of_a_plain_one(name, network):
    given = {"network": network, "corruption": SaltAndPepper(0.2), "validation_fraction": 0.2}
    plain, compiled = (
        MODELS[name](**SMALL | given, compile=one).fit(images(40, (8, 8))) for one in (False, True)
    )
    np.testing.assert_allclose(compiled.history_["loss"], plain.history_["loss"], rtol=1e-4)
    assert compiled.net_.encoder._compiled_call_impl is None
