"""Autoencoders as scikit-learn estimators: a base class, and the plain `Autoencoder`."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import torch
from annotated_types import Ge
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from diabolo import doctor, fitting, intake, params, store, unlike
from diabolo.bottleneck import Bottleneck
from diabolo.condition import Condition
from diabolo.corruption import Corruption
from diabolo.data.mapped import OnDisk, streamed
from diabolo.data.outside import brought
from diabolo.data.samples import Samples
from diabolo.data.series import Windows
from diabolo.data.source import Source
from diabolo.defaults import AUTO, FOUND, suited
from diabolo.doctor import Finding
from diabolo.errors import InputError, Interrupted
from diabolo.fitted import Fitted, Plan
from diabolo.hub import Pushed
from diabolo.hyperparameters import Hyperparameters
from diabolo.infer import in_blocks, trace
from diabolo.inputs import as_codes, find_device, find_seed, like
from diabolo.intake import Intake
from diabolo.layers import Layer, as_text
from diabolo.names import is_frame
from diabolo.net import Net
from diabolo.params import Count
from diabolo.scaling import learn_scaling
from diabolo.store import Checkpoints
from diabolo.train import generator

Temperature = Annotated[float, Ge(0)]


class Estimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Pushed, Hyperparameters, ABC):
    """What every autoencoder shares: its parameters, `fit`, and the uses of a fitted model.

    X is `(N, D)`, `(N, H, W)`, `(N, C, H, W)` or `(N, C, D, H, W)`, numpy or torch, of bool,
    uint8, uint16 or float; what `data.read` gives; what lies on disk or elsewhere (see
    `diabolo.data.outside`); or, to fit, a `Source`. With `dimensions=1` it is signals, `(N, T)` or
    `(N, C, T)`. Results are float32 in the units of X; torch in, torch out. Mistakes raise
    `InputError` (a `ValueError`), use before `fit` scikit-learn's
    `NotFittedError`.

    A fitted model keeps one record, `fitted_`; whatever the record has is an attribute too, with
    an underscore behind: `history_`, `findings_`, `seed_`, `code_size_`, `net_`, ...
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.allow_nan = True
        kind = Condition.kinds().get(str(self.condition), type(self.condition))
        drawn = getattr(kind, "drawn", False)
        tags.target_tags.required = self.condition is not None and not drawn
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return "fitted_" in self.__dict__

    def __getattr__(self, name: str) -> Any:
        record = self.__dict__.get("fitted_")
        if record is None or not name.endswith("_") or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(record, name[:-1])

    # ---- what a model adds

    @abstractmethod
    def _bottleneck(self, p: Any) -> Bottleneck:
        """The kind of code, from the validated parameters."""

    # ---- training

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        X_noisy: Any = None,
        X_val: Any = None,
        callback: Callable[[Self], object] | None = None,
        checkpoint: str | Path | Checkpoints | None = None,
    ) -> Self:
        """Train on X. `X_val`, where given, is the validation set.

        `y` (N,) or (N, M) is the condition of each sample, where the model has one (`condition`);
        otherwise it is ignored. `X_val` may then be (X, y). Where a sample comes without its
        condition, later or in validation, the mean of those in training stands in.

        With `X_noisy`, of the shape and type of X, the model learns from pairs: the encoder sees
        the rows of X_noisy, and should give those of X, which alone teach the scaling. A
        `corruption` comes on top. `X_val` is then a pair too, (noisy, clean).

        `callback` is called after each epoch with an estimator like this one, usable and with the
        history so far. `checkpoint` is a folder in which the training is kept as it goes: whatever
        ended it, the same call with the same parameters and data goes on from there, and ends with
        the same weights to the bit (own modules that draw from torch's global generator, such as
        Dropout, excepted). An interrupt (Ctrl-C) leaves the best model so far in place and is
        raised again; after any other failure the estimator is as it was before.
        """
        plan = self._plan()
        if not (callback is None or callable(callback)):
            raise InputError(f"callback must be a function, but is {callback!r}.")
        start, columns = self.__dict__.get("fitted_") if plan.p.warm_start else None, None
        table, frame = plan.p.likelihood.tabular, dict[str, str]()
        if isinstance(X, Samples):
            y = X.labels if y is None else y
            X, X_noisy, columns, frame = X.array, X.noisy, X.columns, X.framing
            table |= is_frame(X)
        if isinstance(X, Windows) and X_val is None and plan.p.validation_fraction == AUTO:
            X, X_val = X.held_out()
        taken, source = self._samples(X, y, X_noisy, plan.p.condition, start, table=table)
        peak = 0.0 if start is None else start.peak
        validation = taken.validation(self, X_val, paired=X_noisy is not None, peak=peak)
        try:
            self.fitted_ = fitting.fit(
                plan,
                taken,
                source,
                validation,
                start=start,
                columns=columns,
                frame=frame,
                checkpoint=checkpoint,
                callback=None if callback is None else lambda r: callback(self._with(r)),
            )
        except Interrupted as stopped:
            self.fitted_ = stopped.result
            raise
        doctor.tell(self.findings_, aloud=self.verbose)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train on X for one epoch more, from where the model is; `y`: as for `fit`.

        For data that come in parts. The first call learns the shape and the scaling of samples.
        The learning rate is constant; the optimiser goes on from the last `partial_fit`.
        """
        plan, start = self._plan(), self.__dict__.get("fitted_")
        table = plan.p.likelihood.tabular
        taken, source = self._samples(X, y, None, plan.p.condition, start, table=table)
        self.fitted_ = fitting.fit_more(plan, taken, source, start)
        return self

    def _plan(self) -> Plan:
        """What the parameters ask for, checked."""
        p = self.validated()
        return Plan(p, params.to_config(self), self._bottleneck(p))

    def _with(self, record: Fitted) -> Self:
        """An estimator with these parameters and that record."""
        twin = copy.copy(self)
        twin.fitted_ = record
        return twin

    def _samples(
        self,
        X: Any,
        y: Any,
        X_noisy: Any,
        condition: Condition | None,
        start: Fitted | None,
        *,
        table: bool = False,
    ) -> tuple[Intake, Source]:
        """What samples are, and those to learn from; a `table` may have gaps later on."""
        if start is None:
            return intake.learn(
                self,
                X,
                y,
                X_noisy,
                condition=condition,
                image_shape=self.image_shape,
                dimensions=1 if isinstance(X, Windows) else self.dimensions,
                table=table,
            )
        return start.intake, start.intake.source(self, X, y, X_noisy, peak=start.peak)

    @property
    def encoder_(self) -> nn.Module:
        """Scaled batch, (B, D) or in a conv network (B, C, *sides) -> mean code (B, K)."""
        return nn.Sequential(self.net_.encoder, self.net_.bottleneck.mean_layer()).eval()

    @property
    def decoder_(self) -> nn.Module:
        """Code (B, K) -> scaled output, activation applied."""
        return nn.Sequential(self.net_.decoder, self.net_.likelihood.layer()).eval()

    # ---- use

    def transform(self, X: Any, *, condition: Any = None) -> Any:
        """Mean codes (N, K), float32; deterministic. `condition`: of each sample, or of all."""
        return self._mapped(X, self._net().encode, condition=condition, wide=True)

    def inverse_transform(self, X: Any, *, condition: Any = None) -> Any:
        """Samples (N, *shape of a sample) of codes X (N, K), in the units of the training data."""
        net, k = self._net(), self._n_features_out
        z = as_codes(X)
        if z.ndim != 2 or z.shape[1] != k:
            raise InputError(f"Codes must have shape (N, {k}), but have {tuple(z.shape)}.")
        y = in_blocks(net, net.decode, z, *self.given(condition, len(z)), wide=True)
        return self.fitted_.intake.samples(y, X)

    def reconstruct(self, X: Any, *, condition: Any = None) -> Any:
        """Decoded mean codes: an array of the shape and in the units of X."""
        return self._mapped(
            X, self._net().reconstruct, condition=condition, keep_shape=True, wide=True
        )

    def fill(self, X: Any, *, condition: Any = None) -> Any:
        """X with its gaps filled in, each from the rest of its row; nothing else is changed.

        Gaps are NaN. Images may have some where the model was trained with a corruption that
        erases.
        """
        net, X = self._net(), brought(X)
        if self.fitted_.intake.table is None and not net.fills:
            self.rows(X[:1] if isinstance(X, OnDisk) else X)
            return copy.copy(X)
        if isinstance(X, OnDisk):
            return streamed(self.fill, X, condition=condition)
        rows = self.rows(X)
        found = in_blocks(net, net.fill, rows, *self.given(condition, len(rows)))
        return self.fitted_.intake.fill(X, found)

    def corrupt(
        self,
        X: Any,
        *,
        corruption: Corruption | None = None,
        window: Any = None,
        random_state: Any = None,
    ) -> Any:
        """X as the encoder saw it in training: corrupted, in the units and the shape of X.

        By another `corruption` where one is given, in the scaled units of this model. `window`
        (N, 4): where in larger images the samples lie, as in a `Batch`. A `random_state` that is a
        generator of torch goes on from where it is.
        """
        net = self._net()
        if corruption is not None:
            corruption.validated()
            net = copy.copy(net)
            net.corruption = corruption
            net.check_corruption()
        if net.corruption is None:
            raise InputError("The model was trained without a corruption: there is none to apply.")
        draw = random_state
        if not isinstance(draw, torch.Generator):
            draw = generator(find_seed(random_state), "corrupt", device=self.net_.device.type)

        def corrupted(x: Tensor, *window: Tensor) -> Tensor:
            return net.scaling.inverse(net.corrupt(net.scaling(x), draw, *window))

        def some(X: Any) -> Any:
            return self.fitted_.intake.like(X, in_blocks(net, corrupted, self.rows(X), *beside))

        X, beside = brought(X), [] if window is None else [torch.as_tensor(window)]
        return streamed(some, X) if isinstance(X, OnDisk) else some(X)

    def score_samples(self, X: Any, *, condition: Any = None) -> Any:
        """Minus the negative log-likelihood of each sample, (N,) nats: larger is more normal.

        At the mean code; for a model with random codes its evidence lower bound, over a few draws
        of noise that are the same for every sample.
        """
        return self._mapped(X, self._net().score, condition=condition, wide=True)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`."""
        return float(np.mean(np.asarray(self.score_samples(X), dtype=np.float64)))

    def sample(
        self,
        n: int = 1,
        *,
        temperature: float = 1.0,
        condition: Any = None,
        random_state: Any = None,
    ) -> np.ndarray:
        """`n` new samples, decoded from codes of the prior; `InputError` where there is none.

        With a causal likelihood they are drawn pixel by pixel, and where it is not told of the
        code no prior is needed.

        `temperature` scales the codes, or of whole numbers divides the logarithms of their
        chances: below 1 samples are more alike, and at 0 they are the code 0, or the likeliest.
        `condition` is that of all, or of each; without one, labels are taken in turn.
        """
        n = params.check("n", Count, n)
        temperature = params.check("temperature", Temperature, temperature)
        draw = generator(find_seed(random_state), "prior")
        net = self._net()
        prior = net.bottleneck.prior()
        if prior is None and not net.likelihood.alone:
            raise InputError(
                f"{self.kind} has no prior to sample from: use a VAE, or a LatentSampler on its"
                " codes."
            )
        z = prior.sample(n, draw, temperature) if prior else torch.zeros(n, self._n_features_out)
        if condition is None and (learnt := self.fitted_.intake.condition) is not None:
            beside = [torch.from_numpy(learnt.examples(n))]
        else:
            beside = self.given(condition, n)
        if net.likelihood.draws:
            y = net.drawn(z, draw, *beside)
        else:
            y = in_blocks(net, net.decode, z, *beside)
        return self.fitted_.intake.samples(y)

    def unlike(self, X: Any, *, condition: Any = None) -> list[Finding]:
        """How X differs from what the model was trained on, where that is far: a finding, or none.

        By some of the samples and what the model makes of them. No use of a model asks this by
        itself: it would cost each call, and a pipeline makes many. Models of older files say
        nothing.
        """
        X = brought(X)
        if isinstance(X, OnDisk):  # of which as many are looked at as of samples in memory
            few = unlike.some_of(len(X))
            condition = condition if np.ndim(condition) == 0 else np.asarray(condition)[few]
            X = np.asarray(X[few])
        rows = self.rows(X)
        beside = self.given(condition, len(rows))
        return unlike.looked(self.fitted_.usual, self._net(), rows, *beside)

    def layers(self, X: Any = None) -> list[Layer]:
        """The layers of the fitted network, or of the one that samples like X would be given."""
        return trace(self._net() if X is None else self.planned(X))

    def suited(self, X: Any) -> Self:
        """A copy with values for the parameters that are "auto", those that X would give them."""
        plan = suited(self._plan(), *self._samples(X, None, None, None, None), validation=False)
        twin: Self = clone(self).set_params(**{name: getattr(plan.p, name) for name in FOUND})
        return twin

    def planned(self, X: Any) -> Net:
        """The untrained network that samples like X would be given, without a condition."""
        plan = self._plan()
        table = plan.p.likelihood.tabular
        taken, source = self._samples(X, None, None, None, None, table=table)
        plan = suited(plan, taken, source, validation=False)
        scaling = learn_scaling(plan.p.scaling, source, image=taken.pooled, table=taken.table)
        return plan.net(taken, scaling, torch.Generator().manual_seed(0))

    def given(self, condition: Any, n: int) -> list[Tensor]:
        """The conditions (n, M) of n samples, in a list: empty where there are none."""
        learnt = self.fitted_.intake.condition
        if condition is None:
            return []
        if learnt is None:
            raise InputError(
                f"This {self.kind} was fitted without a condition: leave condition out, or fit one"
                " with condition='labels' or 'values'."
            )
        return [torch.from_numpy(learnt.given(condition, n))]

    def summary(self, X: Any = None) -> str:
        """The table of `layers` as text, with output shapes and parameter counts."""
        table = self.layers(X)
        return as_text(table, self.sample_shape_ if X is None else np.shape(X)[1:])

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one .safetensors file; `diabolo.load` reads it."""
        self._net()
        store.write(path, *self.fitted_.contents())

    def load_record(self, config: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        """Become the fitted model of a file's header and tensors; `load` calls this.

        Raises ValueError, in a sentence, where the two do not fit each other.
        """
        record = Fitted.read(self._plan(), config, tensors)
        record.net.to(find_device(self.device))
        self.fitted_ = record
        return self

    def rows(self, X: Any) -> Tensor:
        """X as a tensor (N, D) of its stored type (integers beyond uint16 and floats: float32)."""
        gaps = self._net().fills
        return self.fitted_.intake.rows(self, X, self.fitted_.peak, gaps=gaps)

    @property
    def _n_features_out(self) -> int:
        return self.fitted_.code_size

    def _net(self) -> Net:
        check_is_fitted(self)
        return self.fitted_.net

    def _mapped(
        self,
        X: Any,
        function: Callable[..., Tensor],
        *,
        condition: Any = None,
        keep_shape: bool = False,
        wide: bool = False,
    ) -> Any:
        X = brought(X)
        if isinstance(X, OnDisk):
            options: Any = {"keep_shape": keep_shape, "wide": wide}
            each = partial(self._mapped, function=function, **options)
            return streamed(each, X, condition=condition)
        rows = self.rows(X)
        out = in_blocks(self._net(), function, rows, *self.given(condition, len(rows)), wide=wide)
        return self.fitted_.intake.like(X, out) if keep_shape else like(X, out)


class Autoencoder(Estimator):
    """The plain or denoising autoencoder: z = f(x~), minimising -log p(x | z).

    x~ is x itself, or x corrupted. Hinton and Salakhutdinov, "Reducing the Dimensionality of Data
    with Neural Networks", Science 2006; with a corruption Vincent et al., JMLR 2010.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = Autoencoder(latent_dim=2, hidden=(), epochs=3, random_state=0).fit(X)
    >>> model.transform(X).shape
    (200, 2)
    """

    def _bottleneck(self, p: Any) -> Bottleneck:
        return Bottleneck()
