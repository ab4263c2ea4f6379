"""Each finding where something is wrong, none just beside it, and true figures in its words."""

import math
import warnings

import numpy as np
import pytest
import torch
from conftest import BROKEN, PLAIN
from torch import nn
from torch.distributions import Normal, kl_divergence

from diabolo import VAE, Autoencoder, doctor, examining, load
from diabolo.corruption import GaussianNoise
from diabolo.data.source import Batch
from diabolo.doctor import DoctorWarning, Finding
from diabolo.errors import InputError
from diabolo.posterior import GaussianCode


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_a_finding_reads_as_a_sentence_and_its_fix():
    finding = Finding("dead code units", "3 of 8 never change.", "Use init='glorot'.")
    assert str(finding) == "dead code units: 3 of 8 never change. Use init='glorot'."
    assert doctor.found(None, finding, None) == [finding]
    assert issubclass(doctor.DoctorWarning, UserWarning)


# ---- data


def test_unscaled_input():
    x = np.tile(np.array([0.0, 30.0]), (4, 3))
    finding = doctor.unscaled(x)
    assert "from 0 to 30 (root mean square 21.2)" in finding.what
    assert "scaling='unit'" in finding.fix
    assert doctor.unscaled(x * 0.47) is None  # 9.97
    assert doctor.unscaled(x * 0.48).name == "unscaled input"  # 10.2
    assert doctor.unscaled(draw(500, 4)) is None


def test_input_that_is_too_small():
    x = torch.full((3, 4), 0.0099)
    assert "scaling='standard'" in doctor.unscaled(x).fix
    assert doctor.unscaled(x * 1.02) is None
    assert doctor.unscaled(x * 0) is None  # constant, which is another finding


def test_constant_columns_are_counted_and_named():
    x = draw(50, 9)
    assert doctor.constant_columns(x) is None
    x[:, 4] = 7
    assert (
        "1 of the 9 columns has the same value in all 50 rows" in doctor.constant_columns(x).what
    )
    x[:, :7] = 7
    finding = doctor.constant_columns(x)
    assert finding.what.startswith("7 of the 9 columns have ")
    assert "number 3, number 4 and 2 more, counted from 0" in finding.what
    assert "rows: a, b, c, d, e and 2 more." in doctor.constant_columns(x, "abcdefghi").what
    x[49, :7] += 1e-9
    assert doctor.constant_columns(x) is None
    assert doctor.constant_columns(x[:1]) is None  # one row says nothing


# ---- the code


def test_wide_code():
    assert doctor.wide_code(7, 8, restrained=False) is None
    assert doctor.wide_code(8, 8, restrained=True) is None
    finding = doctor.wide_code(8, 8, restrained=False)
    assert "A code of 8 numbers can copy a sample of 8" in finding.what
    assert "a latent_dim below 8, or a corruption" in finding.fix


def test_dead_units():
    z = draw(100, 36)
    assert doctor.dead_units(z) is None
    z[:, 3] = 0
    assert "1 of the 36 numbers of the code never changes." in doctor.dead_units(z).what
    z[:, 10:19] = np.float32(0.1) * (1 + 1e-8 * draw(100, 9))  # alive only by rounding
    assert "10 of the 36 numbers of the code never change." in doctor.dead_units(z).what
    z[0, :] = 1  # each was active once
    assert doctor.dead_units(z) is None
    assert "4 of the 4" in doctor.dead_units(np.zeros((5, 4))).what
    assert doctor.dead_units(np.zeros((1, 4))) is None


def test_one_dead_unit_in_a_hundred_is_no_finding():
    z = draw(20, 200)
    z[:, :2] = 0
    assert doctor.dead_units(z) is None
    z[:, 2] = 0
    assert doctor.dead_units(z).what.startswith("3 of the 200")


def test_dead_units_of_a_network_whose_code_is_cut_off(digits):
    model = Autoencoder(
        latent_dim=8, hidden=(), code_activation="relu", epochs=1, random_state=0
    ).fit(digits)
    assert doctor.dead_units(model.transform(digits)) is None
    with torch.no_grad():
        model.net_.encoder[0].bias[:3] = -1e3
    assert "3 of the 8" in doctor.dead_units(model.transform(digits)).what


@pytest.mark.parametrize(("active", "total"), [(0, 8), (0, 2), (1, 16), (2, 32)])
def test_collapse(active, total):
    means = 0.05 * draw(500, total)  # variance 0.0025
    means[:, :active] *= 20
    moments = torch.cat([torch.as_tensor(means), torch.zeros(500, total)], 1)
    found = GaussianCode(beta=1.0).measures(nn.Identity(), moments)
    finding = doctor.collapse(found["active_units"], total, 0.002)
    assert f"{active} of the {total} numbers of the code" in finding.what
    assert "0.002 nats per dimension" in finding.what
    means[:, active] *= 20
    moments = torch.cat([torch.as_tensor(means), torch.zeros(500, total)], 1)
    found = GaussianCode(beta=1.0).measures(nn.Identity(), moments)
    assert doctor.collapse(found["active_units"], total, 0.002) is None


def test_a_unit_is_active_above_a_variance_of_a_hundredth():
    signs = torch.tensor([[1.0], [-1.0]]).repeat(50, 1)
    for size, active in ((0.099, 0), (0.101, 1)):  # unbiased variances .0099 and .0103
        moments = torch.cat([size * signs, torch.zeros(100, 1)], 1)
        assert GaussianCode(beta=1.0).measures(nn.Identity(), moments) == {"active_units": active}
    assert doctor.collapse(0, 1, 0.0) is not None
    assert doctor.collapse(1, 1, 0.0) is None


def test_a_vae_under_a_great_beta_collapses(digits):
    def examined(beta):
        model = VAE(
            **PLAIN | {"learning_rate": 0.01},
            latent_dim=4,
            hidden=(32,),
            beta=beta,
            epochs=40,
            random_state=0,
        ).fit(digits)
        net, rows = model.net_, model.rows(digits)
        batch = Batch(rows, rows)
        return examining.of_code(net, batch, torch.from_numpy(model.transform(digits)))

    assert examined(1.0) is None
    assert "0 of the 4 numbers of the code are active" in examined(100.0).what


# ---- the kl of a code


def test_kl_is_torchs():
    moments = torch.randn(20, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, log_variance = moments.chunk(2, dim=1)
    law = Normal(mean, (0.5 * log_variance).exp())
    expected = kl_divergence(law, Normal(torch.zeros(()), torch.ones(()))).sum(1)
    weight, kl = GaussianCode(beta=3.0)(nn.Identity(), moments).terms["kl"]
    assert weight == 3.0
    torch.testing.assert_close(kl, expected, rtol=1e-12, atol=1e-12)


def test_a_plain_code_has_no_terms_and_no_measures(digits):
    net = Autoencoder(latent_dim=2, hidden=(), epochs=1, random_state=0).fit(digits).net_
    assert net.probe == (2, ())
    assert net.bottleneck.measures(net.encoder, torch.zeros(2, 784)) == {}
    assert net.bottleneck.prior() is None


@pytest.mark.parametrize("mean", [-1e4, 0.0, 1e4])
@pytest.mark.parametrize("log_variance", [-1e4, 1e4])
def test_kl_and_its_gradient_stay_finite(mean, log_variance):
    moments = torch.tensor([[mean, mean, log_variance, log_variance]], requires_grad=True)
    code = GaussianCode(beta=1.0)(nn.Identity(), moments, torch.Generator().manual_seed(0))
    kl = code.terms["kl"][1]
    (kl + code.z.sum()).sum().backward()
    assert kl.isfinite().all()
    assert code.z.isfinite().all()
    assert moments.grad.isfinite().all()


# ---- the output


def test_mean_output():
    x = draw(400, 20).clip(-2, 2)
    mean = np.tile(x.mean(0), (400, 1))
    finding = doctor.flat_output(x, mean)
    assert finding.name == "mean output"
    assert "have none of the samples' variance" in finding.what
    followed = mean + 0.02 * (x - mean)  # variance 0.0004 of the samples'
    assert "have 0.04% of the samples' variance" in doctor.flat_output(x, followed).what
    assert doctor.flat_output(x, mean + 0.032 * (x - mean)) is None  # 0.00102
    assert doctor.flat_output(x, x) is None
    assert doctor.flat_output(mean, mean) is None  # the samples are alike themselves
    assert doctor.flat_output(x[:1], mean[:1]) is None


def test_constant_output():
    x = draw(400, 20)
    assert (
        doctor.flat_output(x, np.full_like(x, 0.3)).name == "mean output"
    )  # 0.09 of the variance
    assert doctor.flat_output(x, np.full_like(x, 0.4)).name == "constant output"  # 0.16


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_black_output(digits, low):
    x = low + digits.reshape(256, -1) / 255 * (1 - low)
    finding = doctor.flat_output(x, np.full_like(x, low), low)
    assert finding.name == "black output"
    assert f"the lower bound, {low:g}, where the samples' mean is {x.mean():.3g}" in finding.what
    dim = low + 0.2 * (x.mean() - low)
    assert doctor.flat_output(x, np.full_like(x, dim), low).name != "black output"
    assert doctor.flat_output(x, np.full_like(x, low)).name != "black output"  # no bound
    black = np.full_like(x, low)
    assert doctor.flat_output(black, black, low) is None
    assert doctor.flat_output(x, np.tile(x.mean(0), (256, 1)), low).name == "mean output"


# ---- beside the linear method


def test_worse_than_linear():
    numbers = {"test": {"mse": 0.0213}, "linear": {"mse": 0.02, "full_rank_mse": 0.01}}
    finding = doctor.worse_than_linear(numbers)
    assert (
        "is 0.0213, that of the best linear method with the same code size 0.02." in finding.what
    )
    assert "beta" not in finding.fix
    numbers["test"]["kl"] = 3.0
    assert "a smaller beta" in doctor.worse_than_linear(numbers).fix
    numbers["test"]["mse"] = 0.0203
    assert doctor.worse_than_linear(numbers) is None
    assert doctor.worse_than_linear({"test": {"mse": 0.5}}) is None
    assert doctor.worse_than_linear({"test": {"mse": 1e-9}, "linear": {"mse": 1e-30}}) is None


# ---- the loss


def test_rising_validation_loss():
    epochs = np.arange(1, 21)
    valley = 0.1 + 0.001 * (epochs - 12.0) ** 2
    finding = doctor.rising_validation(valley.tolist())
    assert "was lowest in epoch 12, 0.1, and is 0.164 after epoch 20." in finding.what
    assert "epochs=12" in finding.fix
    sharp = 0.1 + 0.05 * np.abs(epochs - 12)
    assert doctor.rising_validation(sharp[:14]) is None  # too soon to say
    assert "lowest in epoch 12, 0.1, and is 0.25" in doctor.rising_validation(sharp[:15]).what
    assert doctor.rising_validation(valley[:12].tolist()) is None
    assert doctor.rising_validation([*valley[:19], 0.1]) is None  # back again
    assert doctor.rising_validation(0.1 + 1e-5 * (epochs - 12.0) ** 2) is None  # within 2 %
    assert doctor.rising_validation([]) is None


@pytest.mark.parametrize("fall", [0.0, 5.0])
def test_noise_is_no_rising_validation_loss(fall):
    trend = 1 + fall * np.exp(-np.arange(20) / 3)
    fired = [
        doctor.rising_validation(trend + 0.1 * draw(20, seed=seed)) is not None
        for seed in range(300)
    ]
    assert np.mean(fired) < 0.04


def test_a_rise_through_the_noise_is_found():
    epochs = np.arange(1, 41)
    noisy = 1 + 0.01 * np.abs(epochs - 20) + 0.01 * draw(40)
    best = int(noisy.argmin()) + 1
    assert abs(best - 20) < 4
    assert f"lowest in epoch {best}, " in doctor.rising_validation(noisy).what


def test_loss_that_is_not_finite():
    steps = np.array([3.0, 5.0, 4e8, np.inf, np.nan, 1.0])
    finding = doctor.not_finite(2, steps, layer="decoder.2 (Linear)")
    assert (
        "stops being finite in step 4 of epoch 2, where it was 4e+08 a step before" in finding.what
    )
    assert finding.what.endswith("the first layer that is not finite is decoder.2 (Linear).")
    assert "where it was 7 a step before" in doctor.not_finite(3, [math.nan, 1.0], before=7.0).what
    assert doctor.not_finite(1, [math.nan]).what == (
        "The loss stops being finite in step 1 of epoch 1."
    )
    assert doctor.not_finite(2, steps[:3]) is None


def test_exploding_epochs():
    steps = [1.0] * 20
    finding = doctor.exploding([5.0, 0.5, 0.4, 4.1], steps, math.inf)
    assert finding.what == "The loss of epoch 4 is 4.1, where it had been 0.4."
    assert doctor.exploding([5.0, 0.5, 0.4, 3.9], steps, math.inf) is None
    assert doctor.exploding([1.0, 1e-9, 2e-8], steps, math.inf) is None, "converged"
    assert doctor.exploding([3.0], steps, math.inf) is None


def test_exploding_beyond_any_guess():
    steps = np.r_[np.full(90, 1.0), np.full(10, 201.0)]
    finding = doctor.exploding([2.0], steps, 2.0)
    assert finding.what == "In epoch 1 the loss grows from 1 to 201."
    assert doctor.exploding([2.0], steps, 2.02) is None
    assert doctor.exploding([2.0], np.r_[20.2, steps[1:]], 2.0) is None, "it began high"
    assert doctor.exploding([2.0], steps[:90], 2.0) is None
    outlier = np.r_[np.full(95, 1.0), 1e9, np.full(4, 1.0)]
    assert doctor.exploding([2.0], outlier, 2.0) is None, "a batch is no trend"
    assert doctor.exploding([2.0], steps, 0.0) is None, "constant samples"


@pytest.mark.parametrize("learning_rate", [1.0, 10.0, 1e3, 1e30])
def test_a_training_that_explodes(digits, learning_rate):
    parts = {"latent_dim": 4, "hidden": (16,), "output_activation": "identity", "batch_size": 16}
    parts |= {"learning_rate": learning_rate}
    model = Autoencoder(**PLAIN | parts, epochs=1, random_state=0)
    with pytest.raises(InputError, match=r"the loss grows from 0|stops being finite"):
        model.fit(digits)


MANY = [pytest.param(size, 12, marks=pytest.mark.stress) for size in (1, 8, 64)]


@pytest.mark.parametrize(("batch_size", "seeds"), [(1, 1), (8, 3), *MANY])
def test_training_on_sparse_or_heavy_tailed_rows_is_no_explosion(batch_size, seeds):
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        sparse = (random.random((160, 10)) < 0.02) * random.normal(size=(160, 10))
        heavy = random.standard_t(2, size=(160, 10))
        small = random.normal(size=(160, 10)) * np.where(random.random((160, 1)) < 0.4, 0.01, 1)
        for X, scaling in ((sparse, "standard"), (heavy, "standard"), (small, None)):
            model = Autoencoder(
                latent_dim=2,
                hidden=(8,),
                epochs=2,
                batch_size=batch_size,
                scaling=scaling,
                random_state=seed,
            ).fit(X)
            assert "exploding loss" not in [finding.name for finding in model.findings_]


# ---- layers


def pair():
    encoder = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    return nn.ModuleDict({"encoder": encoder, "decoder": nn.Sequential(nn.Linear(2, 6))})


def broken(module, x):
    return examining.broken_layer(module, lambda: module["decoder"](module["encoder"](x)))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_first_broken_layer(bad):
    module, x = pair(), torch.ones(3, 6)
    assert broken(module, x) is None
    with torch.no_grad():
        module["decoder"][0].weight[0, 0] = bad
    assert broken(module, x) == "decoder.0 (Linear)"
    with torch.no_grad():
        module["encoder"][2].bias[1] = bad
    assert broken(module, x) == "encoder.2 (Linear)"
    assert broken(module, x * bad) == "encoder.0 (Linear)"


def test_a_layer_whose_output_overflows_is_broken():
    module = pair()
    with torch.no_grad():
        module["encoder"][0].weight.fill_(1e20)
        module["encoder"][2].weight.fill_(1e20)
    assert broken(module, torch.ones(3, 6)) == "encoder.2 (Linear)"
    assert not any(leaf._forward_hooks for leaf in module.modules())


@pytest.mark.parametrize("Model", [Autoencoder, VAE])
def test_the_broken_layer_of_a_net(Model, digits):
    parameters = {"latent_dim": 2, "hidden": (8,), "linear": False, "epochs": 1}
    net = Model(**parameters, random_state=0).fit(digits).net_
    x = torch.from_numpy(digits[:8].reshape(8, -1))
    assert examining.broken_layer(net, lambda: net.decode(net.encode(x))) is None
    with torch.no_grad():
        net.decoder[0].weight.fill_(math.nan)
    assert examining.broken_layer(net, lambda: net.decode(net.encode(x))) == "decoder.0 (Linear)"


# ---- in fit


def names(model):
    return [finding.name for finding in model.findings_]


def test_a_healthy_training_says_nothing(digits, capsys):
    options = {"latent_dim": 16, "hidden": (64,), "epochs": 30, "batch_size": 16, "device": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = Autoencoder(**options, random_state=0).fit(digits)
        vae = VAE(**options, beta=0.05, random_state=0).fit(digits)
    assert model.findings_ == vae.findings_ == []
    assert capsys.readouterr() == ("", "")


def test_a_finding_warns_and_travels_with_the_file(tmp_path, capsys):
    x = draw(100, 6)
    x[:, 2] = 5
    options = PLAIN | {"batch_size": "auto", "learning_rate": "auto", "epochs": 30}
    model = Autoencoder(**options, latent_dim=8, hidden=(16,), random_state=0)
    with pytest.warns(DoctorWarning) as warned:
        model.fit(x)
    assert names(model) == ["constant columns", "wide code"]
    assert [str(w.message) for w in warned] == [str(finding) for finding in model.findings_]
    assert {w.filename for w in warned} == {__file__}, "they point at the call of fit"
    model.save(tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").findings_ == model.findings_
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(verbose=True, epochs=1).fit(x)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:] == [f"Warning: {finding}" for finding in model.findings_]


@pytest.mark.parametrize(("rate", "name"), [(3.0, "exploding loss"), (None, "loss not finite")])
def test_a_training_that_goes_wrong_stops_with_its_last_good_weights(digits, rate, name):
    options = {"latent_dim": 4, "hidden": (16,), "output_activation": "identity", "epochs": 20}
    options |= {"learning_rate": rate or 1e-3, "schedule": "one_cycle", "batch_size": 16}
    model = Autoencoder(**PLAIN | options, random_state=0, device="cpu")
    after = []

    def callback(model):
        after.append({n: t.clone() for n, t in model.net_.state_dict().items()})
        if rate is None and len(after) == 3:
            with torch.no_grad():
                model.net_.encoder[0].weight[0, 0] = math.nan

    with pytest.warns(DoctorWarning, match=name):
        model.fit(digits, callback=callback)
    assert names(model)[0] == name
    assert 1 < len(after) == len(model.history_["epoch"]) < 20
    now = model.net_.state_dict()
    assert all(torch.equal(now[n], after[-1][n]) for n in now)
    assert np.isfinite(model.transform(digits)).all()
    if rate is None:
        assert "in step 1 of epoch 4" in model.findings_[0].what
        assert "first layer that is not finite is encoder.0 (Linear)" in model.findings_[0].what


def test_a_loss_that_is_never_finite_is_refused_and_located(digits):
    model = Autoencoder(**PLAIN | {"learning_rate": 1e30}, hidden=(16,), random_state=0)
    with pytest.raises(InputError, match=r"in step 2 of epoch 1.*encoder\.\d \(Linear\)"):
        model.fit(digits)


def test_overfitting_is_found_unless_training_stops_early():
    x, held = draw(40, 20), draw(200, 20, seed=1)
    options = {"latent_dim": 4, "hidden": (128, 128), "epochs": 60, "learning_rate": 5e-3}
    options |= {"scaling": "standard", "batch_size": 8}
    model = Autoencoder(**PLAIN | options, random_state=0)
    with pytest.warns(DoctorWarning, match="rising validation loss"):
        model.fit(x, X_val=held)
    model.set_params(early_stopping=3).fit(x, X_val=held)
    assert names(model) == ["worse than linear"]  # noise has nothing beside


# ---- beside plain methods


def test_worse_than_the_mean_or_than_nothing():
    finding = doctor.worse_than_mean(0.25, 0.08)
    assert "is 0.25; it would be 0.08 if every output were the mean" in finding.what
    assert doctor.worse_than_mean(0.0815, 0.08) is None
    assert doctor.worse_than_mean(math.nan, 0.08) is None
    assert doctor.worse_than_mean(1e-9, 0.0) is None
    finding = doctor.worse_than_nothing(0.02, 0.0003)
    assert "outputs is 0.02, that of the corrupted samples themselves 0.0003" in finding.what
    assert doctor.worse_than_nothing(0.0003, 0.0003) is None


def test_exploding_output():
    x = draw(200, 5)
    room = 10 * (x.max() - x.min())
    output = x.copy()
    output[:2, 0] = x.max() + 1.1 * room
    assert doctor.exploding_output(x, output) is None  # a hundredth
    output[2, 0] = math.nan
    assert "3 of 200 outputs have values up to" in doctor.exploding_output(x, output).what
    output[:3, 0] = x.max() + 0.9 * room
    assert doctor.exploding_output(x, output) is None


def test_what_is_broken():
    x = draw(400, 20)
    broken = {
        doctor.flat_output(x, np.tile(x.mean(0), (400, 1))).name,
        doctor.flat_output(x, np.full_like(x, 0.4)).name,
        doctor.flat_output(abs(x), np.zeros_like(x), 0.0).name,
        doctor.exploding_output(x, 100 * x).name,
        doctor.worse_than_mean(2, 1).name,
    }
    assert len(broken) == 5
    assert broken == BROKEN
    assert not Finding("worse than linear", "", "").broken


@pytest.mark.usefixtures("judged")
def test_only_a_broken_model_is_refused():
    worse = Finding("worse than the mean", "It is.", "Do more.")
    assert doctor.refusal([Finding("dead code units", "Some.", "Use others.")]) == []
    assert doctor.refusal([Finding("a", "b", "c"), worse]) == [
        "The model is broken, so it is not saved (with --force it is): worse than the mean: It is."
        " Do more."
    ]


def found_in(X, **parameters):
    options = PLAIN | {"latent_dim": 2, "hidden": (), "scaling": None, "random_state": 0}
    options |= {"batch_size": "auto", "learning_rate": "auto"}
    model = Autoencoder(**options | {"output_activation": "identity"} | parameters).fit(X)
    return {finding.name: finding for finding in model.findings_}


def subspace(n=400, d=10, noise=0.01):
    return (draw(n, 2) @ draw(2, d, seed=1) + noise * draw(n, d, seed=2)).astype(np.float32)


def test_every_fit_is_judged_beside_the_mean_and_pca():
    """Rows in a plane, which PCA finds exactly: a network that has not learnt is worse."""
    X = subspace()
    assert "worse than the mean" in found_in(X, epochs=1, learning_rate=1e-9)
    half = found_in(X, epochs=12)
    assert "worse than the mean" not in half
    assert "that of the best linear method with the same code size 8.34e-05" in (
        half["worse than linear"].what
    )
    wide = subspace(noise=0.3)
    assert found_in(wide, epochs=80, learning_rate=0.01, schedule="one_cycle") == {}


def test_a_denoiser_is_judged_beside_doing_nothing():
    weak = found_in(subspace(noise=1.0), epochs=40, corruption=GaussianNoise(0.01))
    assert "themselves 9.9e-05." in weak["worse than doing nothing"].what
    strong = found_in(subspace(), epochs=60, learning_rate=0.01, corruption=GaussianNoise(1.0))
    assert "worse than doing nothing" not in strong


def test_validation_samples_are_what_a_fit_is_judged_on():
    X = subspace()
    mean = np.square(3 * X - X.mean(0)).mean()
    options = {"output_activation": "identity", "learning_rate": 1e-9, "epochs": 1}
    model = Autoencoder(**PLAIN | options | {"scaling": None}, latent_dim=2, random_state=0)
    found = {finding.name: finding for finding in model.fit(X, X_val=3 * X).findings_}
    assert f"it would be {mean:.3g} if" in found["worse than the mean"].what


# ---- unlike


def test_data_unlike_those_of_the_training(digits, tmp_path):
    model = Autoencoder(latent_dim=8, hidden=(32,), epochs=20, random_state=0).fit(digits[:128])
    held = digits[128:]
    assert model.unlike(held) == []
    assert [model.unlike(held[i : i + 1]) for i in range(0, 128, 8)] == [[]] * 16
    (finding,) = model.unlike(255 - held)
    assert finding.name == "unlike the training data"
    assert "the mean value is 0.8" in finding.what
    assert "the reconstruction error is" in finding.what
    assert "the spread is" in model.unlike(held // 8)[0].what
    model.save(tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    assert loaded.unlike(255 - held) == [finding]
    object.__setattr__(loaded.fitted_, "usual", {})
    assert loaded.unlike(255 - held) == []  # a file of before


@pytest.mark.stress
def test_a_model_s_own_test_samples_are_not_unlike_it():
    """Over twenty splits of three data sets."""
    odd, rate = 0, 0.02
    for seed in range(20):
        for X in (subspace(120), draw(120, 6), np.random.default_rng(1).random((120, 8))):
            order = np.random.default_rng(seed).permutation(120)
            options = {"latent_dim": 2, "hidden": (8,), "epochs": 5, "batch_size": 20}
            model = Autoencoder(**options, linear=False, random_state=seed).fit(X[order[:60]])
            odd += bool(model.unlike(X[order[60:]]))
    assert odd <= rate * 60
