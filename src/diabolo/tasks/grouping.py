"""Groups without labels: a mixture of Gaussians on codes in which neighbours are near.

R. McConville, R. Santos-Rodríguez, R. J. Piechocki, I. Craddock, "N2D: (Not Too) Deep Clustering
via Clustering the Local Manifold of an Autoencoded Embedding", 2020: autoencoder, UMAP, mixture.
Here the autoencoder is itself trained with UMAP's loss, so new samples have a group.

How many groups there are, where that is not given, is how many clusters HDBSCAN finds among the
codes (R. Campello, D. Moulavi, J. Sander, "Density-Based Clustering Based on Hierarchical Density
Estimates", 2013).
"""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import InstanceOf
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax
from sklearn.base import ClusterMixin, clone
from sklearn.cluster import HDBSCAN
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from diabolo import store
from diabolo.data.mapped import OnDisk
from diabolo.data.outside import brought
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.inputs import as_rows, find_seed
from diabolo.models.umap import UMAPAutoencoder
from diabolo.names import is_frame
from diabolo.params import Count, Parameters, Seed, to_config
from diabolo.tasks.prefit import Prefit
from diabolo.tasks.sampling import LatentSampler
from diabolo.train import prefixed

PREFIX = "clusterer "  # of a clusterer's tensors in a model file
TRIES = 5  # fits of the mixture, of which the best is kept
LOOKED, SMALLEST, FEWEST = 10_000, 0.01, 5  # codes that are counted; share of a cluster; samples
SIZE = 10  # numbers in a code of an own model


class LatentClusterer(ClusterMixin, Prefit, Parameters):
    """Parts samples into groups by their codes, and says of new ones which group they are of.

    The codes are those of a `model`, and where there is none of a `UMAPAutoencoder` with 10
    numbers or as many as a sample has. The groups are the components of a mixture of Gaussians
    p(z) = sum_c w_c N(z; m_c, S_c) on them, the best of five fits; a sample is of the one for
    which p(c | z) is largest. Group 0 has the most samples. No labels are used; all parts are
    seeded.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(0, 0.1, (200, 6)).astype(np.float32)
    >>> X[:80] += 1
    >>> model = UMAPAutoencoder(latent_dim=2, hidden=(16,), epochs=3)
    >>> groups = LatentClusterer(model, groups=2, random_state=0).fit_predict(X)
    >>> bool((groups == (np.arange(200) < 80)).all())
    True
    """

    model: Annotated[InstanceOf[Estimator] | None, "The autoencoder; none: a UMAPAutoencoder."] = (
        field(default=None, kw_only=False)
    )
    groups: Annotated[
        Count | Literal["auto"], "How many groups; auto: as many as there are dense clusters."
    ] = "auto"
    prefit: Annotated[bool, "Take the model as it is, already fitted."] = False
    random_state: Annotated[
        Seed | InstanceOf[np.random.RandomState] | InstanceOf[np.random.Generator] | None,
        "Seed of model and mixture; none: a fresh one.",
    ] = None

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "sampler_")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the groups of X; `y` is ignored. After a failure nothing is changed."""
        p, seed = self.validated(), find_seed(self.random_state)
        X = brought(X)
        model = self._as_it_is() if p.prefit else _new_model(self.model, X, seed).fit(X)
        z = np.asarray(model.transform(X), np.float64)
        count = clusters(z, seed) if p.groups == "auto" else p.groups
        sampler = LatentSampler(model, components=count, random_state=seed)
        sampler.fit_codes(z, tries=TRIES)
        found = sampler.joint_of(z).argmax(axis=1)
        order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
        sampler.arrange(order)
        self._set(sampler)
        self.labels_ = np.argsort(order)[found]
        return self

    def _set(self, sampler: LatentSampler) -> None:
        """Become the clusterer of this, and of the parameters as they are."""
        config = {name: value for name, value in to_config(self).items() if name != "model"}
        self.sampler_, self.fitted_config_ = sampler, config
        self.model_, self.n_groups_ = sampler.model_, len(sampler.mixture_.weights_)

    def predict(self, X: Any) -> np.ndarray:
        """The group of each sample, (N,), from 0."""
        return self.joint(X).argmax(axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """p(c | z) of each sample and group, (N, C)."""
        return np.asarray(softmax(self.joint(X), axis=1))

    def joint(self, X: Any) -> np.ndarray:
        """log p(z, c) of each sample and group, (N, C) nats."""
        check_is_fitted(self)
        return self.sampler_.joint(X)

    def save(self, path: str | Path) -> None:
        """Write clusterer and model to one .safetensors file; `diabolo.load` reads it."""
        check_is_fitted(self)
        config, tensors = self.model_.fitted_.contents()
        tensors |= prefixed(PREFIX, self.sampler_.tensors())
        entry = self.fitted_config_ | {"groups": self.n_groups_}
        store.write(path, config | {"clusterer": entry}, tensors)

    def _restore(self, model: Estimator, tensors: dict[str, Tensor]) -> None:
        """Become the fitted clusterer that `save` described; `load` calls this.

        Raises ValueError, in a sentence, where these do not fit each other.
        """
        p = self.validated()
        if p.groups == "auto":
            raise ValueError("its clusterer does not say how many groups it has.")
        sampler = LatentSampler(model, components=p.groups)
        sampler._restore(model, tensors)
        self._set(sampler)
        self.model, self.prefit = model, True


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
    """How many clusters HDBSCAN finds among codes (N, K), or among 10,000 of them; at least 1.

    A cluster has a hundredth of the codes or more.
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
        width = len(X.columns) if is_frame(X) else int(np.prod(_shape(X)[1:]))
        model = UMAPAutoencoder(latent_dim=min(SIZE, max(width, 1)), min_dist=0.0)
    new: Estimator = clone(model)
    return new if new.random_state is not None else new.set_params(random_state=seed)


def _shape(X: Any) -> tuple[int, ...]:
    return X.shape if isinstance(X, OnDisk) else tuple(as_rows(X, sure=True).shape)
