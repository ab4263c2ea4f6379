"""Networks and the scaling: shapes for any size, initial weights, the articles' counts."""

import math

import numpy as np
import pytest
import torch
from conftest import PLAIN
from torch import nn

from diabolo import VAE, Autoencoder, networks
from diabolo.data.source import Rows
from diabolo.errors import InputError
from diabolo.networks import ACTIVATIONS, Sizes, base, build
from diabolo.networks.conv import Conv
from diabolo.networks.convmap import ConvMap
from diabolo.networks.dense import Dense
from diabolo.networks.subpixel import Subpixel
from diabolo.scaling import learn_scaling
from diabolo.train import generator

RELU = {"activation": "relu", "code_activation": "relu"}


def sizes(**changes):
    plain = {"shape": (1, 8, 8), "hidden": (4,), "latent": 3, "outputs": 1}
    return Sizes(**plain | {"activation": "relu", "code_activation": "identity"} | changes)


def made(network, init="glorot", seed=0, **changes):
    return build(network(), sizes(**changes), init, generator(seed, "init"))


# ---- shapes


@pytest.mark.parametrize(
    ("network", "depth"),
    [(Conv, 0), (ConvMap, 2), *((n, d) for n in (Conv, Subpixel) for d in (1, 2, 3))],
)
@pytest.mark.parametrize("latent", [None, 3])
def test_images_of_every_height_and_width_come_back(network, depth, latent):
    for height in range(1, 10):
        for width in (1, 2, 7, 8, 29):
            shape = (2, height, width)
            encoder, decoder = made(network, shape=shape, hidden=(3,) * depth, latent=latent)
            code = encoder(torch.rand(2, *shape))
            assert code.ndim == 2
            places = math.prod(-(-n // 4) for n in shape[1:]) if network is ConvMap else 1
            assert latent is None or code.shape == (2, places * latent)
            assert decoder(code).shape == (2, *shape)


def test_subpixel_has_no_convolution_at_full_resolution():
    encoder, decoder = made(Subpixel, shape=(1, 28, 28), hidden=(4, 6))
    seen = []
    for module in [*encoder.modules(), *decoder.modules()]:
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, x, y: seen.append((x[0].shape, y.shape)))
    y = decoder(encoder(torch.rand(1, 1, 28, 28)))
    assert len(seen) == 6
    assert max(size for x, y in seen for size in (*x[2:], *y[2:])) == 14
    assert y.min() < 0, "the decoder ends before an activation"


def test_subpixel_without_channels_says_so():
    with pytest.raises(InputError, match="at least one number of channels"):
        made(Subpixel, hidden=())


@pytest.mark.parametrize("hidden", [(), (5,), (6, 5)])
@pytest.mark.parametrize("outputs", [1, 2])
def test_dense_mirrors_itself(hidden, outputs):
    pair = made(Dense, shape=(2, 3, 2), hidden=hidden, outputs=outputs)
    encoder, decoder = ([m for m in part if isinstance(m, nn.Linear)] for part in pair)
    assert [m.in_features for m in encoder] == [12, *hidden]
    assert [m.out_features for m in encoder] == [*hidden, 3 * outputs]
    assert [m.in_features for m in decoder] == [3, *hidden[::-1]]
    assert [m.out_features for m in decoder] == [*hidden[::-1], 12]
    assert isinstance(pair[1][-1], nn.Linear)


def test_without_a_narrow_code_the_last_hidden_layer_is_the_code():
    encoder, decoder = made(Dense, hidden=(6, 5), latent=None)
    code = encoder(torch.randn(100, 64))
    assert code.shape == (100, 5)
    assert code.min() == 0, "the code has the hidden layers' activation"
    assert decoder(code).min() < 0, "the decoder ends before an activation"


def test_the_activations_are_the_declared_names():
    assert set(ACTIVATIONS) == set(networks.Activation.__args__)


# ---- initial weights


def fans(module):
    return nn.init._calculate_fan_in_and_fan_out(module.weight)


LAYERS = [
    nn.Linear(90, 70),
    nn.Conv2d(7, 24, 3, stride=2, padding=1),
    nn.ConvTranspose2d(24, 7, 3, stride=2, padding=1),
]


@pytest.mark.parametrize("default", LAYERS, ids=lambda m: type(m).__name__)
def test_torch_init_has_the_bound_of_torchs_own_default(default):
    twin = type(default)(**arguments(default))
    base._initialise(twin, "torch", generator(0, "init"))
    bound = 1 / math.sqrt(fans(default)[0])
    for module in (default, twin):
        largest = module.weight.abs().max().item()
        assert largest <= bound
        assert largest > 0.98 * bound
        assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert module.bias.abs().max().item() <= bound
        assert module.bias.abs().max().item() > 0.5 * bound


@pytest.mark.parametrize("default", LAYERS, ids=lambda m: type(m).__name__)
def test_glorot_init_has_its_bound_and_zero_biases(default):
    twin = type(default)(**arguments(default))
    base._initialise(twin, "glorot", generator(0, "init"))
    bound = math.sqrt(6 / sum(fans(default)))
    largest = twin.weight.abs().max().item()
    assert 0.98 * bound < largest <= bound
    assert twin.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert not twin.bias.any()


def arguments(module):
    if isinstance(module, nn.Linear):
        return {"in_features": module.in_features, "out_features": module.out_features}
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
    return {name: getattr(module, name) for name in names}


@pytest.mark.parametrize("init", ["glorot", "torch"])
@pytest.mark.parametrize("network", [Dense, Conv])
def test_weights_come_from_the_generator_alone(network, init, untouched):
    with untouched():
        first, again, other = (made(network, init, seed) for seed in (0, 0, 1))
    for a, b, c in zip(
        *(nn.ModuleList(p).parameters() for p in (first, again, other)), strict=True
    ):
        assert torch.equal(a, b)
        assert a.ndim == 1 or not torch.equal(a, c)
        assert torch.isfinite(a).all()
        assert a.device.type == "cpu"


# ---- the articles


ARTICLES = {
    "dae-32": (Autoencoder, {"hidden": (128, 64), "latent_dim": 32}, 222_384),
    "ae-36": (Autoencoder, {"hidden": (), "latent_dim": 36}, 57_268),
    "ae-32": (Autoencoder, {"hidden": (), "latent_dim": 32}, 50_992),
    "dae-64": (Autoencoder, {"hidden": (256, 128), "latent_dim": 64}, 484_944),
    "vae-conv": (VAE, {"network": "conv", "hidden": (32, 64), "latent_dim": 16}, 228_193),
}
PARTS = {"ae-32": (25_120, 25_872), "vae-conv": (119_200, 108_993)}


@pytest.mark.parametrize("name", ARTICLES)
def test_the_articles_networks_have_the_articles_parameters(name, digits):
    kind, parameters, total = ARTICLES[name]
    model = kind(**PLAIN | parameters, epochs=1, random_state=0, device="cpu")
    planned = model.layers(digits[:1])
    table = model.fit(digits[:8]).layers()
    assert planned == table
    assert sum(layer.parameters for layer in table) == total
    assert sum(p.numel() for p in model.net_.parameters()) == total
    if name in PARTS:
        for part, count in zip(("encoder", "decoder"), PARTS[name], strict=True):
            assert sum(la.parameters for la in table if la.part == part) == count


def test_the_layer_table_of_the_convolutional_vae(digits):
    kind, parameters, _ = ARTICLES["vae-conv"]
    table = kind(**PLAIN | parameters, device="cpu").layers(digits[:1])
    shapes = [la.shape for la in table if la.parameters or la.part == "code"]
    assert shapes == [
        (32, 14, 14),
        (64, 7, 7),
        (32,),
        (16,),
        (3136,),
        (64, 14, 14),
        (32, 28, 28),
        (1, 28, 28),
    ]
    assert table[-1].name == "Sigmoid"


# ---- scaling


def table_data():
    random = np.random.default_rng(0)
    x = random.normal(size=(50, 4)).astype(np.float32) * [1, 10, 0.1, 0] + [0, 5, -3, 0.1]
    return torch.tensor(x, dtype=torch.float32)


def whole(dtype, top):
    values = np.random.default_rng(0).integers(0, top, size=(30, 6), endpoint=True)
    return torch.from_numpy(values.astype(dtype))


INTEGERS = {
    "uint8": (whole(np.uint8, 255), 255.0),
    "uint8 that is dark": (whole(np.uint8, 9), 255.0),
    "uint16": (whole(np.uint16, 65535), 65535.0),
    "bool": (whole(np.bool_, 1), 1.0),
}


@pytest.mark.parametrize("image", [True, False])
@pytest.mark.parametrize("name", INTEGERS)
def test_unit_scaling_divides_integers_by_their_types_maximum(name, image):
    x, top = INTEGERS[name]
    scaling = learn_scaling("unit", Rows(x), image=image)
    assert (scaling.low, scaling.high) == (0, 1)
    np.testing.assert_allclose(scaling(x), x.numpy() / top, rtol=1e-6)
    assert scaling(x).dtype == torch.float32
    symmetric = learn_scaling("symmetric", Rows(x), image=image)
    assert (symmetric.low, symmetric.high) == (-1, 1)
    np.testing.assert_allclose(symmetric(x), 2 * (x.numpy() / top) - 1, atol=1e-6)


def test_unit_scaling_keeps_float_images_within_0_and_1():
    x = torch.rand(20, 6) * 0.5 + 0.2
    scaling = learn_scaling("unit", Rows(x), image=True)
    assert torch.equal(scaling(x), x)
    assert torch.equal(scaling.inverse(x), x)


@pytest.mark.parametrize("shift", [-0.5, 0.5, 100.0])
def test_unit_scaling_takes_other_float_images_by_their_global_range(shift):
    x = torch.rand(20, 6) + shift
    expected = (x - x.min()) / (x.max() - x.min())
    scaling = learn_scaling("unit", Rows(x), image=True)
    np.testing.assert_allclose(scaling(x), expected, atol=1e-6)
    symmetric = learn_scaling("symmetric", Rows(x), image=True)
    np.testing.assert_allclose(symmetric(x), 2 * expected - 1, atol=1e-4)


def test_unit_scaling_takes_tables_column_by_column():
    x = table_data()
    scaled = learn_scaling("unit", Rows(x), image=False)(x)
    low, high = x.amin(0), x.amax(0)
    np.testing.assert_allclose(scaled[:, :3], ((x - low) / (high - low))[:, :3], rtol=1e-5)
    assert scaled.amin(0).tolist() == [0, 0, 0, 0]
    assert scaled.amax(0)[:3].tolist() == [1, 1, 1]
    symmetric = learn_scaling("symmetric", Rows(x), image=False)(x)
    np.testing.assert_allclose(symmetric[:, :3], 2 * scaled[:, :3] - 1, atol=1e-5)


def test_standard_scaling_gives_mean_0_and_variance_1():
    x = table_data()
    scaled = learn_scaling("standard", Rows(x), image=False)(x).double()
    np.testing.assert_allclose(scaled.mean(0), np.zeros(4), atol=1e-5)
    np.testing.assert_allclose(scaled.var(0, correction=0)[:3], np.ones(3), rtol=1e-5)
    pixels = INTEGERS["uint8"][0]
    scaling = learn_scaling("standard", Rows(pixels), image=True)
    assert scaling.scale.ndim == 0
    assert scaling(pixels).double().mean().item() == pytest.approx(0, abs=1e-5)
    assert scaling(pixels).double().var(correction=0).item() == pytest.approx(1, rel=1e-5)


def test_no_scaling_changes_nothing():
    x = table_data()
    scaling = learn_scaling(None, Rows(x), image=False)
    assert torch.equal(scaling(x), x)
    assert torch.equal(scaling.inverse(10 * x), 10 * x)
    assert scaling.high == math.inf


@pytest.mark.parametrize("kind", ["unit", "symmetric", "standard", None])
@pytest.mark.parametrize("value", [0.0, 0.1, 5.0, -7.3])
def test_a_constant_column_stays_finite_and_comes_back(kind, value):
    x = torch.full((1000, 2), value)
    x[:, 0] = torch.linspace(0, 1, 1000)
    scaling = learn_scaling(kind, Rows(x), image=False)
    assert scaling(x)[:, 1].abs().max() <= max(1, abs(value))
    np.testing.assert_allclose(scaling.inverse(scaling(x)), x, atol=1e-6)
    assert scaling(x + 0.5)[:, 1].abs().max() < 10, "a small scale would blow up new values"


@pytest.mark.parametrize("image", [True, False])
@pytest.mark.parametrize("kind", ["unit", "symmetric", "standard", None])
@pytest.mark.parametrize("name", [*INTEGERS, "floats"])
def test_the_inverse_undoes_the_scaling(name, kind, image):
    x = table_data() if name == "floats" else INTEGERS[name][0]
    scaling = learn_scaling(kind, Rows(x), image=image)
    back, stored = scaling.inverse(scaling(x)), x.float()
    np.testing.assert_allclose(back, stored, rtol=1e-5, atol=1e-6 * stored.abs().max())
    if name != "floats":
        assert torch.equal(back.round(), stored)


@pytest.mark.parametrize(("kind", "low", "high"), [("unit", 0, 1), ("symmetric", -1, 1)])
def test_the_inverse_clips_to_the_range(kind, low, high):
    scaling = learn_scaling(kind, Rows(INTEGERS["uint8"][0]), image=True)
    assert scaling.inverse(torch.tensor([low - 9.0, high + 9.0])).tolist() == [0, 255]
