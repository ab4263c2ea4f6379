"""Groups without labels: k-means on the diffusion map of a model's codes.

Which codes are in one group is told by their neighbours, not by their distance from a middle:
A. Ng, M. Jordan, Y. Weiss, "On Spectral Clustering: Analysis and an Algorithm", 2001, with the
places of `diabolo.tasks.diffusion`. The code should not depend on what is no matter of groups: of
images, on how they are turned and shifted a little.

How many groups there are, where that is not given, is how many clusters HDBSCAN finds among the
places (R. Campello, D. Moulavi, J. Sander, "Density-Based Clustering Based on Hierarchical Density
Estimates", 2013).
"""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import InstanceOf
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.base import ClusterMixin, clone
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from diabolo import store
from diabolo.corruption import Affine
from diabolo.data.mapped import OnDisk
from diabolo.data.outside import brought
from diabolo.errors import InputError
from diabolo.estimator import Autoencoder, Estimator
from diabolo.inputs import as_rows, find_seed
from diabolo.params import Count, Parameters, Seed, to_config
from diabolo.tasks.diffusion import DiffusionMap
from diabolo.tasks.prefit import Prefit
from diabolo.train import prefixed

PREFIX = "clusterer "  # of a clusterer's tensors in a model file
TRIES = 5  # of k-means, of which the best is kept
LOOKED, SMALLEST, FEWEST = 10_000, 0.01, 15  # places that are counted; share of a cluster; samples
SIZE = 30  # numbers in a place, or two for each group
LEAST = 1e-6  # variance in a group, at least
SLANT = 0.2  # of the images that an own model undoes


class LatentClusterer(ClusterMixin, Prefit, Parameters):
    """Parts samples into groups by their codes, and says of new ones which group they are of.

    The codes are those of a `model`; where there is none, of an `Autoencoder` that, of images,
    undoes small turns, slants and shifts. A group is a component of a mixture
    sum_c w_c N(e; m_c, s^2 I) of the codes' places e on their diffusion map, found by k-means; a
    sample is of the one for which p(c | e) is largest. Group 0 has the most samples. No labels are
    used; all parts are seeded. Of more than 20,000 samples the map is of so many, drawn by the
    seed; the file keeps their codes and places.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(0, 0.1, (200, 6)).astype(np.float32)
    >>> X[:80] += 1
    >>> groups = LatentClusterer(groups=2, random_state=0).fit_predict(X)
    >>> bool((groups == (np.arange(200) < 80)).all())
    True
    """

    model: Annotated[InstanceOf[Estimator] | None, "The autoencoder; none: one of its own."] = (
        field(default=None, kw_only=False)
    )
    groups: Annotated[
        Count | Literal["auto"], "How many groups; auto: as many as there are dense clusters."
    ] = "auto"
    prefit: Annotated[bool, "Take the model as it is, already fitted."] = False
    random_state: Annotated[
        Seed | InstanceOf[np.random.RandomState] | InstanceOf[np.random.Generator] | None,
        "Seed of model, map and groups; none: a fresh one.",
    ] = None

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "means_")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the groups of X; `y` is ignored. After a failure nothing is changed.

        Raises `InputError` where X has fewer than three samples, or fewer than groups.
        """
        p, seed = self.validated(), find_seed(self.random_state)
        X = brought(X)
        model = self._as_it_is() if p.prefit else _new_model(self.model, X, seed).fit(X)
        z = model.transform(X)
        groups = None if p.groups == "auto" else p.groups
        fewest = max(3, groups or 0)
        if len(z) < fewest:
            raise InputError(f"X has {len(z)} samples, but there must be {fewest} or more.")
        size = max(SIZE, 2 * (groups or 0))
        diffusion = DiffusionMap.of(np.asarray(z), size, seed, groups=groups)
        places = diffusion(np.asarray(z))
        count = groups or clusters(places, seed)
        found = KMeans(count, n_init=TRIES, random_state=seed).fit(places)
        sizes = np.bincount(found.labels_, minlength=count)
        order = np.argsort(-sizes, kind="stable")
        variance = max(found.inertia_ / places.size, LEAST)
        law = found.cluster_centers_[order], sizes[order] / len(z), variance
        self._set(model, diffusion, *law)
        self.labels_ = np.argsort(order)[found.labels_]
        return self

    def _set(
        self,
        model: Estimator,
        diffusion: DiffusionMap,
        means: np.ndarray,
        weights: np.ndarray,
        variance: float,
    ) -> None:
        """Become the clusterer of these, and of the parameters as they are."""
        config = {name: value for name, value in to_config(self).items() if name != "model"}
        self.model_, self.fitted_config_, self.diffusion_ = model, config, diffusion
        self.means_, self.weights_, self.variance_ = means, weights, variance
        self.n_groups_ = len(means)

    def predict(self, X: Any) -> np.ndarray:
        """The group of each sample, (N,), from 0."""
        return self.joint(X).argmax(axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """p(c | e) of each sample and group, (N, C)."""
        return np.asarray(softmax(self.joint(X), axis=1))

    def joint(self, X: Any) -> np.ndarray:
        """log p(e, c) of each sample's place and each group, (N, C) nats."""
        check_is_fitted(self)
        places = self.diffusion_(np.asarray(self.model_.transform(brought(X))))
        squares = cdist(places, self.means_, "sqeuclidean") / self.variance_
        shift = places.shape[1] * np.log(2 * np.pi * self.variance_)
        with np.errstate(divide="ignore"):  # a group without samples
            return np.asarray(np.log(self.weights_) - (squares + shift) / 2)

    def save(self, path: str | Path) -> None:
        """Write clusterer and model to one .safetensors file; `diabolo.load` reads it."""
        check_is_fitted(self)
        config, tensors = self.model_.fitted_.contents()
        law = {"means": self.means_, "weights": self.weights_, "variance": self.variance_}
        own = {name: torch.as_tensor(value, dtype=torch.float64) for name, value in law.items()}
        tensors |= prefixed(PREFIX, own | self.diffusion_._asdict())
        entry = self.fitted_config_ | {"groups": self.n_groups_}
        store.write(path, config | {"clusterer": entry}, tensors)

    def _restore(self, model: Estimator, tensors: dict[str, Tensor]) -> None:
        """Become the fitted clusterer that `save` described; `load` calls this.

        Raises ValueError, in a sentence, where these do not fit each other.
        """
        p = self.validated()
        if p.groups == "auto":
            raise ValueError("its clusterer does not say how many groups it has.")
        _check(tensors, p.groups, model.code_size_)
        diffusion = DiffusionMap(tensors["codes"], tensors["places"])
        means, weights = tensors["means"].numpy(), tensors["weights"].numpy()
        self._set(model, diffusion, means, weights, float(tensors["variance"]))
        self.model, self.prefit = model, True


def _check(tensors: dict[str, Tensor], groups: int, k: int) -> None:
    """Raise ValueError where tensors are not those of a clusterer on codes of k numbers."""
    m, size = tensors.get("places", torch.empty(0, 0)).shape
    wanted = {
        "codes": ((m, k), torch.float32),
        "places": ((m, size), torch.float32),
        "means": ((groups, size), torch.float64),
        "weights": ((groups,), torch.float64),
        "variance": ((), torch.float64),
    }
    found = {name: (tuple(t.shape), t.dtype) for name, t in tensors.items()}
    if found != wanted or not m or not all(bool(t.isfinite().all()) for t in tensors.values()):
        raise ValueError("its clusterer's tensors are not those of its groups and its codes.")
    if not float(tensors["variance"]) > 0 or bool((tensors["weights"] < 0).any()):
        raise ValueError("its clusterer has a variance or a weight that is none.")


class Members(NamedTuple):
    """Of a group the numbers of its samples: typical ones, and those on the border to others."""

    typical: np.ndarray
    borderline: np.ndarray


def members(joint: np.ndarray, n: int) -> list[Members]:
    """Up to `n` members of each group from `joint` (N, C): those most likely in it, first the
    likeliest, and those that another group would have nearly as well, first the nearest."""
    groups, top = joint.argmax(axis=1), joint.max(axis=1)
    second = np.partition(joint, -2, axis=1)[:, -2] if joint.shape[1] > 1 else -top
    found = []
    for c in range(joint.shape[1]):
        own = np.flatnonzero(groups == c)
        typical = own[np.argsort(-top[own], kind="stable")]
        border = own[np.argsort((top - second)[own], kind="stable")]
        found.append(Members(typical[:n], border[:n]))
    return found


def clusters(z: np.ndarray, seed: int) -> int:
    """How many clusters HDBSCAN finds among places (N, K), or among 10,000 of them; at least 1.

    A cluster has a hundredth of the places or more.
    """
    few = np.random.default_rng(seed).permutation(len(z))[:LOOKED]
    smallest = max(FEWEST, round(SMALLEST * len(few)))
    if len(few) < 2 * smallest:
        return 1
    found = HDBSCAN(min_cluster_size=smallest, copy=True).fit_predict(z[few])
    return max(int(found.max()) + 1, 1)


def agreement(labels: Any, groups: Any) -> dict[str, float]:
    """How groups agree with labels (N,) that they were not made from.

    `accuracy`: the share of samples whose label is that of their group, where groups are given
    labels one to one in the best way (H. W. Kuhn, "The Hungarian Method", 1955); `nmi`: the
    mutual information of both, divided by the mean of their entropies.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    if labels.shape != groups.shape or labels.ndim != 1 or not len(labels):
        raise InputError(
            f"Labels and groups are (N,) each, but have shapes {labels.shape} and {groups.shape}."
        )
    table = contingency_matrix(labels, groups)
    accuracy = table[linear_sum_assignment(-table)].sum() / len(labels)
    return {
        "accuracy": float(accuracy),
        "nmi": float(normalized_mutual_info_score(labels, groups)),
    }


def _new_model(model: Estimator | None, X: Any, seed: int) -> Estimator:
    """The model to fit, seeded."""
    if model is None:
        shape = X.shape if isinstance(X, OnDisk) else as_rows(X, sure=True).shape
        model = Autoencoder(corruption=Affine(shear=SLANT) if len(shape) > 2 else None)
    new: Estimator = clone(model)
    return new if new.random_state is not None else new.set_params(random_state=seed)
