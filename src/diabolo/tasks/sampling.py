"""New samples from codes, the ways between samples, and whether new samples are copies.

A model without a prior gets one afterwards: a Gaussian or a mixture of Gaussians p(z), fitted to
the codes of data, from which new codes are drawn and decoded (Ghosh et al., "From Variational to
Deterministic Autoencoders", 2020, section 4).
"""

import warnings
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
from annotated_types import Ge
from pydantic import InstanceOf
from scipy.linalg import solve_triangular  # type: ignore[import-untyped]
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from diabolo import params, store
from diabolo.errors import InputError
from diabolo.estimator import Estimator, Temperature
from diabolo.hub import Pushed
from diabolo.inputs import as_array, as_codes, as_rows, find_seed, like
from diabolo.nearest import blocks_of
from diabolo.nearest import nearest as rows_nearest
from diabolo.params import Count, Parameters, Seed, to_config
from diabolo.train import prefixed

RIDGE = 1e-4  # added to the variances of codes whose own are 1
TOLERANCE = 1e-2  # nats a sample, by which a step of EM must still improve
ROWS = 1024  # of a block of distances
WIDEST_CODE = 2048  # whose covariance is formed
NUMBERS = 1 << 25  # in all covariances of a mixture
PREFIX = "sampler "  # of a sampler's tensors in a model file
LARGEST = 1e15  # value whose square, summed over the features, is within float32


class LatentSampler(Pushed, Parameters):
    """A prior for any fitted model: p(z) = sum_c w_c N(z; m_c, S_c), fitted to codes by EM.

    With full covariances S_c; "gaussian" is one component, the mean and the covariance of the
    codes. Code dimensions that never vary keep their value. At temperature T a code is
    m_c + T S_c^1/2 e, e ~ N(0, I): 1 is the law as fitted, 0 gives the means alone (Kingma and
    Dhariwal, "Glow", 2018, section 6).

    >>> import numpy as np
    >>> from diabolo import Autoencoder
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = Autoencoder(latent_dim=2, hidden=(), epochs=3, random_state=0).fit(X)
    >>> sampler = LatentSampler(model=model, law="gaussian", random_state=0).fit(X)
    >>> sampler.sample(5, random_state=0).shape
    (5, 8)
    """

    model: Annotated[InstanceOf[Estimator], "A fitted autoencoder; it is used as it is."] = field(
        kw_only=False
    )
    law: Annotated[Literal["gaussian", "mixture"], "Of the codes: one Gaussian, or several."] = (
        "mixture"
    )
    components: Annotated[Count, "Gaussians in a mixture."] = 32
    random_state: Annotated[
        Seed | InstanceOf[np.random.RandomState] | InstanceOf[np.random.Generator] | None,
        "Seed of where the fit of a mixture begins; none: a fresh one.",
    ] = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the law to the model's codes of X; `y` is ignored."""
        p = self.validated()
        check_is_fitted(p.model)
        components = p.components if p.law == "mixture" else 1
        _check_width(p.model.code_size_, components)
        z = _codes(p.model, X)
        if len(z) < 2 * components:
            raise InputError(_too_few(components, len(z)))
        center, scale = z.mean(axis=0), np.where(np.ptp(z, axis=0) > 0, z.std(axis=0), 0)
        if not scale.any():
            raise InputError(
                "The codes of X are all the same, so they have no law: give samples that"
                " differ, or look at model.findings_."
            )
        live = scale > 0
        units = (z - center)[:, live] / scale[live]
        mixture = _mixture(units, components, p.random_state)
        self._set(p.model, mixture, center, scale)
        return self

    def _set(
        self, model: Estimator, mixture: GaussianMixture, center: np.ndarray, scale: np.ndarray
    ) -> None:
        """Become the sampler of these, and of the parameters as they are."""
        config = {name: value for name, value in to_config(self).items() if name != "model"}
        self.model_, self.fitted_config_ = model, config
        self.mixture_, self.center_, self.scale_ = mixture, center, scale

    def sample(self, n: int = 1, *, temperature: float = 1.0, random_state: Any = None) -> Any:
        """`n` new samples (n, *shape of a sample), in the units of the training data."""
        z = self.sample_codes(n, temperature=temperature, random_state=random_state)
        return self.model_.inverse_transform(z)

    def sample_codes(
        self, n: int = 1, *, temperature: float = 1.0, random_state: Any = None
    ) -> np.ndarray:
        """`n` new codes (n, K), float32; a seed draws the same noise at every temperature."""
        check_is_fitted(self, "mixture_")
        n = params.check("n", Count, n)
        temperature = params.check("temperature", Temperature, temperature)
        draw, mixture = np.random.default_rng(find_seed(random_state)), self.mixture_
        component = draw.choice(len(mixture.weights_), size=n, p=mixture.weights_)
        noise = draw.standard_normal((n, mixture.means_.shape[1]))
        units = mixture.means_[component]
        for c in np.unique(component):
            rows = component == c
            units[rows] += (
                temperature * noise[rows] @ np.linalg.cholesky(mixture.covariances_[c]).T
            )
        z = np.tile(self.center_, (n, 1))
        live = self.scale_ > 0
        z[:, live] += self.scale_[live] * units
        return z.astype(np.float32)

    def score_samples(self, X: Any) -> Any:
        """log p(z) of the code of each sample, (N,) nats, over the dimensions that vary."""
        found = logsumexp(self.joint(X), axis=1)
        return like(X, torch.from_numpy(found.astype(np.float32)))

    def joint(self, X: Any) -> np.ndarray:
        """log w_c N(z; m_c, S_c) of the code of each sample and each component, (N, C) nats."""
        check_is_fitted(self, "mixture_")
        z = _codes(self.model_, X)
        live, mixture = self.scale_ > 0, self.mixture_
        units = (z - self.center_)[:, live] / self.scale_[live]
        found = np.tile(np.log(mixture.weights_), (len(units), 1))
        for c, root in enumerate(mixture.precisions_cholesky_):
            off = (units - mixture.means_[c]) @ root
            found[:, c] += np.log(np.diag(root)).sum() - np.square(off).sum(axis=1) / 2
        shift = np.log(self.scale_[live]).sum() + units.shape[1] * np.log(2 * np.pi) / 2
        return found - shift

    def save(self, path: str | Path) -> None:
        """Write sampler and model to one .safetensors file; `diabolo.load` reads it."""
        check_is_fitted(self, "mixture_")
        config, tensors = self.model_.fitted_.contents()
        tensors |= prefixed(PREFIX, self.tensors())
        store.write(path, config | {"sampler": self.fitted_config_}, tensors)

    def tensors(self) -> dict[str, Tensor]:
        """What was fitted, float64, by the name of its tensor."""
        mixture = self.mixture_
        law = {
            "weights": mixture.weights_,
            "means": mixture.means_,
            "covariances": mixture.covariances_,
            "center": self.center_,
            "scale": self.scale_,
        }
        return {name: torch.from_numpy(array) for name, array in law.items()}

    def _restore(self, model: Estimator, tensors: dict[str, Tensor]) -> None:
        """Become the fitted sampler that `save` described; `load` calls this.

        Raises ValueError, in a sentence, where these do not fit each other.
        """
        p = self.validated()
        components = p.components if p.law == "mixture" else 1
        law = {name: tensor.numpy() for name, tensor in tensors.items()}
        _check_law(law, components, model.code_size_)
        mixture = _restored(law["weights"], law["means"], law["covariances"])
        self._set(model, mixture, law["center"], law["scale"])


def interpolate(
    model: Estimator, first: Any, last: Any, steps: int, *, spherical: bool = False
) -> Any:
    """The way from sample `first` to sample `last`, (steps, ...), in equal steps of the code.

    The code goes along a line, or with `spherical` along an arc around 0 in equal angles, which
    stays where a Gaussian prior has its mass (White, "Sampling Generative Networks", 2016).
    """
    steps = params.check("steps", Annotated[int, Ge(2)], steps)
    a, b = (np.asarray(model.transform(as_array(sample)[None])) for sample in (first, last))
    if spherical:
        return model.inverse_transform(slerp(a[0], b[0], steps))
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    return model.inverse_transform((1 - share) * a + share * b)


def slerp(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    """Codes (steps, K) from a to b (K,): (sin((1 - t) w) a + sin(t w) b) / sin w.

    w is the angle between them (Shoemake, "Animating Rotation with Quaternion Curves", 1985).
    Where they point the same way or opposite ways, or one is 0, the codes lie on a line.
    """
    if np.ndim(a) != 1 or np.shape(a) != np.shape(b) or steps < 2:
        shapes = f"{np.shape(a)} and {np.shape(b)}, and steps is {steps}"
        raise InputError(f"Two codes (K,) and 2 steps or more are needed: codes have {shapes}.")
    ends = np.stack([a, b]).astype(np.float64)
    t = np.linspace(0, 1, steps)
    shares = np.stack([1 - t, t], axis=1)
    norms = np.linalg.norm(ends, axis=1, keepdims=True)
    if norms.all():
        u, v = ends / norms
        angle = 2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
        if np.sin(angle) > 1e-6:
            shares = np.sin(shares * angle) / np.sin(angle)
    return (shares @ ends).astype(np.float32)


def combine(model: Estimator, plus: Sequence[Any], minus: Sequence[Any] = ()) -> Any:
    """The sample whose code is the sum of the codes of `plus` less the sum of those of `minus`.

    Arithmetic between samples: Radford, Metz and Chintala, "Unsupervised Representation Learning
    with Deep Convolutional Generative Adversarial Networks", 2016, section 6.3.2.
    """
    if not len(plus):
        raise InputError("plus has no samples: give at least one.")
    z = _sum(model, plus) - (_sum(model, minus) if len(minus) else 0)
    return model.inverse_transform(z[None])[0]


class Nearest(NamedTuple):
    """For each of some samples the number of the nearest in a set, and the distance to it."""

    indices: np.ndarray
    distances: np.ndarray


def nearest(samples: Any, X: Any) -> Nearest:
    """The nearest in X of each of the samples, by Euclidean distance, both in the same units.

    It is found by |a - b|^2 = |a|^2 - 2 a'b + |b|^2 in float32, so of several that are equally
    near but for rounding it is any; its distance is then computed in float64.
    """
    a, x = _flat(samples), _flat(X)
    if a.shape[1] != x.shape[1]:
        raise InputError(
            f"The samples have {a.shape[1]} features, but those of X have {x.shape[1]}: compare"
            " samples of one shape."
        )
    found = rows_nearest(torch.from_numpy(a.astype(np.float32)), blocks_of(x), 1).indices
    index = found[:, 0].numpy().astype(np.intp)
    return Nearest(index, _distances(a, x, index))


def copies(samples: Any, x_train: Any, x_test: Any) -> dict[str, float]:
    """How near new samples are to training samples, beside how near test samples are.

    `samples_median` and `test_median` are medians of the distance to the nearest training sample,
    `near` is the distance below which one of a hundred test samples has it, and `share_near` the
    share of the new samples that have it there. It is about 0.01 for new samples that are as
    different from the training set as test samples are, and about 1 for copies. Blur brings
    samples nearer to all others: for a model that blurs, also give reconstructed test samples.
    """
    return compare(nearest(samples, x_train).distances, nearest(x_test, x_train).distances)


def compare(new: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """What `copies` says, from the distances of new and of test samples."""
    near = np.quantile(test, 0.01)
    return {
        "samples_median": float(np.median(new)),
        "test_median": float(np.median(test)),
        "near": float(near),
        "share_near": float(np.mean(new < near)),
    }


def _too_few(components: int, samples: int) -> str:
    """What is said where there are less than two samples for each component."""
    what = "A Gaussian" if components == 1 else f"A mixture of {components} components"
    what += f" needs at least {2 * components} samples, but X has {samples}: give more"
    return what + ("." if components == 1 else ", or fewer components.")


def _mixture(units: np.ndarray, components: int, random_state: Any) -> GaussianMixture:
    """Gaussians fitted to codes (N, K) of mean 0 and variance 1."""
    seed = np.random.SeedSequence(find_seed(random_state)).generate_state(1)[0]
    draw: Any = np.random.RandomState(seed)
    mixture = GaussianMixture(components, reg_covar=RIDGE, tol=TOLERANCE, random_state=draw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what it has by then is as good
        return mixture.fit(units)


def _restored(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> GaussianMixture:
    """The mixture that was fitted, from its parameters."""
    mixture = GaussianMixture(len(weights), reg_covar=RIDGE, tol=TOLERANCE)
    mixture.weights_, mixture.means_, mixture.covariances_ = weights, means, covariances
    unit = np.eye(means.shape[1])
    mixture.precisions_cholesky_ = np.stack(
        [solve_triangular(root, unit, lower=True).T for root in np.linalg.cholesky(covariances)]
    )
    return mixture


def _check_law(law: dict[str, np.ndarray], components: int, k: int) -> None:
    """Raise ValueError where tensors are not those of a mixture on codes of k numbers."""
    live = int(np.count_nonzero(law.get("scale", np.empty(0))))
    wanted = {
        "weights": (components,),
        "means": (components, live),
        "covariances": (components, live, live),
        "center": (k,),
        "scale": (k,),
    }
    if not live or {name: array.shape for name, array in law.items()} != wanted:
        raise ValueError("the tensors of its sampler do not fit its law.")
    if not all(a.dtype == np.float64 and np.isfinite(a).all() for a in law.values()):
        raise ValueError("its sampler has values that are none.")
    if (law["scale"] < 0).any():
        raise ValueError("the scale of its sampler is negative.")
    weights, covariances = law["weights"], law["covariances"]
    if (weights < 0).any() or abs(weights.sum() - 1) > 1e-9:
        raise ValueError("the weights of its sampler are no probabilities.")
    if not np.allclose(covariances, covariances.transpose(0, 2, 1), rtol=1e-9, atol=1e-12):
        raise ValueError("the covariances of its sampler are not symmetric.")
    if np.linalg.eigvalsh(covariances).min() <= 0:
        raise ValueError("the covariances of its sampler are not positive definite.")


def _check_width(k: int, components: int) -> None:
    """Refuse codes whose covariances would take too much memory."""
    if k > WIDEST_CODE or components * k * k > NUMBERS:
        many = f"{components} full covariances" if components > 1 else "a full covariance"
        raise InputError(
            f"Codes of {k} numbers are too wide for {many}: use a model with a smaller"
            " latent_dim, or fewer components."
        )


def _codes(model: Estimator, X: Any) -> np.ndarray:
    return as_codes(model.transform(X)).numpy().astype(np.float64)


def _sum(model: Estimator, samples: Sequence[Any]) -> np.ndarray:
    """The sum (K,) of the codes of samples."""
    X = as_rows([np.asarray(as_array(sample)) for sample in samples])
    return np.asarray(model.transform(X)).sum(axis=0, dtype=np.float64)


def _flat(X: Any) -> np.ndarray:
    """Samples as rows of numbers, (N, D)."""
    array = np.asarray(as_rows(X))
    if not array.size:
        raise InputError(f"X has no values: its shape is {array.shape}.")
    if array.dtype.kind == "O":
        array = array.astype(np.float64)
    if array.dtype.kind == "f" and not max(array.max(), -array.min()) < LARGEST:
        raise InputError(
            f"X holds NaN, infinity or values above {LARGEST:g}: leave those samples out."
        )
    return array.reshape(len(array), -1)


def _distances(a: np.ndarray, x: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The distance of each sample to the one in x that has its index, (N,)."""
    found = np.empty(len(a))
    for start in range(0, len(a), ROWS):
        part = slice(start, start + ROWS)
        found[part] = np.linalg.norm(a[part].astype(np.float64) - x[index[part]], axis=1)
    return found
