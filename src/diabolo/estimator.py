"""Autoencoders as scikit-learn estimators: a base class, and the plain `Autoencoder`."""

import copy
import math
import platform
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Lt
from pydantic import InstanceOf
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from diabolo import __version__, doctor, infer, networks, params, store
from diabolo.corruption import Corruption
from diabolo.doctor import DoctorWarning, Finding
from diabolo.errors import InputError, Interrupted
from diabolo.fitting import Fit
from diabolo.infer import check_pair, trace
from diabolo.inputs import (
    as_array,
    as_codes,
    as_float32,
    as_rows,
    in_a_sentence,
    like,
    stored_type,
)
from diabolo.layers import Layer, as_text
from diabolo.likelihood import Bernoulli, Gaussian
from diabolo.net import (
    Bottleneck,
    Likelihood,
    Net,
    Scaling,
    learn_scaling,
)
from diabolo.optim import make_optimizer
from diabolo.params import Parameters
from diabolo.progress import Progress
from diabolo.store import Checkpoints, Contents
from diabolo.train import Best, Epoch, Rows, Training, generator

Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
Temperature = Annotated[float, Ge(0)]
OUTPUTS = {"unit": "sigmoid", "symmetric": "tanh"}
TRAINING = {  # the parameters that may change in a warm start
    "epochs",
    "batch_size",
    "drop_last",
    "optimizer",
    "learning_rate",
    "epsilon",
    "schedule",
    "validation_fraction",
    "early_stopping",
    "warm_start",
    "device",
    "precision",
    "compile",
    "random_state",
    "verbose",
}
EXAMINED, FEW = 2048, 256  # training samples that a model is looked at with; for a checkpoint
HISTORY = ("epoch", "loss", "val_loss", "seconds")
HIDDEN = {
    "dense": (256, 128),
    "conv": (32, 64),
    "subpixel": (32, 64),
    "residual": (64, 64, 64, 64, 64),
}


class Estimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Parameters, ABC):
    """What every autoencoder shares: its parameters, `fit`, and the uses of a fitted model.

    X is `(N, D)`, `(N, H, W)` or `(N, C, H, W)`, numpy or torch, of bool, uint8, uint16 or float.
    Results are float32 in the units of X; torch in, torch out. Mistakes raise `InputError` (a
    `ValueError`), use before `fit` scikit-learn's `NotFittedError`.
    """

    latent_dim: Annotated[Count | None, "K, numbers in a code; none: the last hidden layer."] = 32
    hidden: Annotated[
        tuple[Count, ...] | None,
        "Units (not dense: channels) of the encoder's layers; the decoder mirrors them.",
    ] = None
    network: Annotated[
        Literal["dense", "conv", "subpixel", "residual"]
        | tuple[InstanceOf[nn.Module], InstanceOf[nn.Module]],
        "Kind of network, or your own pair (encoder, decoder) without the output activation.",
    ] = "dense"
    image_shape: Annotated[
        tuple[Count, Count, Count] | None,
        "C,H,W of an image, of flat input to a convolutional network.",
    ] = None
    activation: Annotated[networks.Activation, "After every hidden layer."] = "relu"
    code_activation: Annotated[networks.Activation, "After the code."] = "identity"
    output_activation: Annotated[
        networks.Activation | None,
        "After the last layer; none: sigmoid for unit scaling, tanh for symmetric, else identity;"
        " a residual network always has identity.",
    ] = None
    init: Annotated[
        Literal["glorot", "torch"], "Glorot uniform with zero biases, or PyTorch's default."
    ] = "glorot"
    likelihood: Annotated[
        Literal["gaussian", "bernoulli", "mse", "bce"],
        "Of the data: gaussian (also: mse) or bernoulli (also: bce).",
    ] = "gaussian"
    scaling: Annotated[
        Literal["unit", "symmetric", "standard"] | None,
        "To [0, 1], to [-1, 1], to mean 0 and variance 1, or none.",
    ] = "unit"
    corruption: Annotated[
        InstanceOf[Corruption] | None, "What the input suffers in training; none: nothing."
    ] = None
    epochs: Annotated[Count, "Passes over the training data."] = 20
    batch_size: Annotated[Count, "Samples in a step."] = 128
    drop_last: Annotated[bool, "Leave out an epoch's last, partial batch."] = False
    optimizer: Annotated[Literal["adam", "adamw", "sgd"], "SGD has momentum 0.9."] = "adam"
    learning_rate: Annotated[
        Annotated[float, Gt(0)], "Step size; the peak of a schedule that varies."
    ] = 1e-3
    epsilon: Annotated[
        Annotated[float, Gt(0)], "Adam's epsilon, for the loss in nats per feature."
    ] = 1e-8
    schedule: Annotated[
        Literal["constant", "one_cycle", "cosine"], "Learning rate over the whole training."
    ] = "constant"
    validation_fraction: Annotated[
        Annotated[float, Ge(0), Lt(1)], "Share of the samples, drawn by the seed, for validation."
    ] = 0.0
    early_stopping: Annotated[
        Count | None, "Epochs without a better validation loss to stop after; none: never."
    ] = None
    warm_start: Annotated[bool, "Continue from the weights of the last fit."] = False
    device: Annotated[str, "auto (CUDA where there is one), cpu, cuda, cuda:1, ..."] = "auto"
    precision: Annotated[
        Literal["float32", "tf32", "bf16"], "Of the products in training; tf32 on CUDA only."
    ] = "float32"
    compile: Annotated[bool, "Compile the loss with torch.compile."] = False
    random_state: Annotated[
        Seed | InstanceOf[np.random.RandomState] | InstanceOf[np.random.Generator] | None,
        "Seed of everything random; none: a fresh one.",
    ] = None
    verbose: Annotated[bool, "Show the progress of training."] = False

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

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
        """Train on X; `y` is ignored. `X_val`, where given, is the validation set.

        With `X_noisy`, of the shape and type of X, the model learns from pairs: the encoder sees
        the rows of X_noisy, and should give those of X, which alone teach the scaling. A
        `corruption` comes on top. `X_val` is then a pair too, (noisy, clean).

        `callback` is called with the estimator, usable and with its history so far, after each
        epoch. `checkpoint` is a folder in which the training is kept as it goes: whatever ended
        it, the same call with the same parameters and data goes on from there, and ends with the
        same weights to the bit (own modules that draw from torch's global generator, such as
        Dropout, excepted). An interrupt (Ctrl-C) leaves the best model so far in place and is
        raised again; after any other failure the estimator is as it was before.
        """
        with self._as_before_failure():
            p = self.validated()
            if not (callback is None or callable(callback)):
                raise InputError(f"callback must be a function, but is {callback!r}.")
            checkpoints = _checkpoints(checkpoint)
            kept = None if checkpoints is None else checkpoints.read()
            fresh = not (p.warm_start and hasattr(self, "net_"))
            if fresh:
                self.__dict__.pop("net_", None)
            x = self._pairs(X, X_noisy, "X_noisy", reset=fresh)
            x_val = self._validation(X_val, paired=X_noisy is not None)
            self.data_ = _fingerprint(x, x_val)
            seed = p.random_state if kept is None else _kept_seed(kept)
            x, x_val = self._begin(x, x_val, p, fresh, seed)
            fit = self._fit(x, x_val, p, checkpoints=checkpoints)
            if kept is not None:
                self._go_on(fit, kept)
            codes = self._train(fit, x, p, callback)
            self.findings_ = doctor.found(fit.stopped, *self._examine(x, codes, p))
        self._tell()
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train on X for one epoch more, from where the model is; `y` is ignored.

        For data that come in parts. The first call learns the shape and the scaling of samples.
        The learning rate is constant; the optimiser goes on from the last `partial_fit`.
        """
        with self._as_before_failure():
            p = self.validated()
            p.epochs, p.schedule, p.validation_fraction, p.early_stopping = 1, "constant", 0, None
            fresh = not hasattr(self, "net_")
            moments = {} if fresh else self._moments
            x, _ = self._begin(Rows(self.rows(X, reset=fresh)), None, p, fresh, p.random_state)
            self.data_ = {}
            fit = self._fit(x, None, p, guess=math.inf)
            optimizer = {
                f"{p.optimizer} {n}": t for n, t in fit.training.optimizer.tensors().items()
            }
            for name in optimizer.keys() & moments.keys():
                optimizer[name].copy_(moments[name])
            self._train(fit, x, p)
            self._moments: dict[str, Tensor] = optimizer
        return self

    @contextmanager
    def _as_before_failure(self) -> Iterator[None]:
        """After a failure of the block, be what it was before."""
        before = self.__dict__.copy()
        try:
            yield
        except Interrupted:
            raise
        except BaseException:
            self.__dict__ = before
            raise

    def _begin(
        self, x: Rows, x_val: Rows | None, p: Any, fresh: bool, random_state: Any
    ) -> tuple[Rows, Rows | None]:
        """Set up the network to train, anew or as it is; the samples to train and validate on."""
        if fresh:
            self.seed_ = find_seed(random_state)
        else:
            self._check_same_model()
        x, x_val = self._split(x, x_val, p)
        device = find_device(p.device)
        if fresh:
            self.net_ = self._new_net(x.x, p)
            self.columns_: list[str] | None = None
            self.history_: dict[str, list[Any]] = {name: [] for name in HISTORY}
            self.step_loss_ = np.empty(0, np.float32)
        else:
            self.net_ = copy.deepcopy(self.net_)
            self.history_ = {name: list(values) for name, values in self.history_.items()}
        self.fitted_config_ = params.to_config(self)
        self.versions_ = _versions()
        self.metrics_: dict[str, Any] = {}
        self.findings_ = []
        self._moments = {}
        self._check_range(x, x_val)
        self.net_.check_corruption()
        self.net_.to(device)
        return x.to(device), None if x_val is None else x_val.to(device)

    def _fit(
        self,
        x: Rows,
        x_val: Rows | None,
        p: Any,
        *,
        checkpoints: Checkpoints | None = None,
        guess: float | None = None,
    ) -> Fit:
        """The fit that the parameters describe; `guess`: see `doctor.exploding`."""
        net, factor, first = self.net_, self._loss_factor(), len(self.history_["epoch"])
        if guess is None:
            scaled = net.scaling(x.x[:EXAMINED])
            guess = factor * float(net.likelihood.nll(torch.zeros_like(scaled), scaled).mean())
        training = Training(
            net,
            x,
            make_optimizer(p.optimizer, net, p.epsilon),
            epochs=p.epochs,
            batch_size=p.batch_size,
            learning_rate=p.learning_rate,
            seed=self.seed_,
            validation=x_val,
            schedule=p.schedule,
            drop_last=p.drop_last,
            divisor=net.features,
            first_epoch=first,
            precision=p.precision,
            compiled=p.compile,
        )

        def contents() -> Contents:
            self._learn_codes(x.seen[:FEW])
            return self._contents()

        def trouble(epoch: Epoch) -> Finding | None:
            steps, losses = epoch.steps * factor, self.history_["loss"][first:]
            if np.isfinite(steps).all():
                return doctor.exploding([*losses, epoch.loss * factor], steps, guess)
            before = float(self.step_loss_[-1]) if self.step_loss_.size else None
            layer = doctor.broken_layer(net, lambda: net.decode(net.encode(x.seen[:2])))
            return doctor.not_finite(len(self.history_["epoch"]) + 1, steps, before, layer)

        best = Best(net, p.early_stopping)
        return Fit(
            net, training, best, checkpoints=checkpoints, contents=contents, trouble=trouble
        )

    def _go_on(self, fit: Fit, kept: Contents) -> None:
        """Take up the training of a checkpoint where it was left."""
        config, tensors = kept
        if "training" not in config:
            raise InputError("The file is a model and no checkpoint: give another folder.")
        try:
            fit.resume(kept, params.to_config(self), self.data_)
            self.history_ = {name: config["history"][name] for name in HISTORY}
            self.columns_ = config["columns"]
            self.step_loss_ = tensors["step_loss"].numpy()
        except (KeyError, TypeError, RuntimeError) as error:
            raise InputError(f"The checkpoint does not fit model or device: {error}.") from None

    def _train(
        self,
        fit: Fit,
        x: Rows,
        p: Any,
        callback: Callable[[Self], object] | None = None,
    ) -> Tensor:
        """Train to the end; gives the codes of some of the training samples."""
        rows, first = len(fit.training.losses), fit.training.first_epoch
        progress = Progress(
            p.epochs,
            p.epochs * rows,
            epoch=len(self.history_["epoch"]) - first,
            done=fit.training.trained,
            what="rows" if self.image_shape_ is None else "images",
            shown=p.verbose,
        )
        epochs = fit.epochs(progress)
        with progress, closing(epochs):
            try:
                for epoch in epochs:
                    self._record(epoch)
                    loss, val_loss = self.history_["loss"][-1], self.history_["val_loss"][-1]
                    progress.epoch_done(loss, val_loss, rows / epoch.seconds)
                    if callback is not None:
                        self._learn_codes(x.seen)
                        callback(self)
            except KeyboardInterrupt:
                fit.best.put_back()
                if not self.net_.finite:
                    raise
                self._learn_codes(x.seen)
                raise Interrupted from None
        if p.early_stopping:
            fit.best.put_back()
        return self._learn_codes(x.seen)

    def _examine(self, x: Rows, codes: Tensor, p: Any) -> list[Finding]:
        """What is wrong with the model, looking at some of the training samples."""
        columns, losses = None, self.history_["val_loss"]
        if self.image_shape_ is None and self.dtype_ == "float32":
            columns = self.columns_ or [str(n) for n in getattr(self, "feature_names_in_", [])]
        return doctor.examine(
            self.net_,
            x.x[:EXAMINED],
            codes,
            noisy=None if x.noisy is None else x.noisy[:EXAMINED],
            vectors=p.latent_dim is not None,
            columns=columns,
            val_losses=[] if p.early_stopping or None in losses else losses,
        )

    def _tell(self) -> None:
        """Show the findings: in the terminal beside the progress, otherwise as warnings."""
        for finding in self.findings_:
            if self.verbose:
                print(f"Warning: {finding}", file=sys.stderr)
            else:
                warnings.warn(str(finding), DoctorWarning, stacklevel=3)

    def _check_same_model(self) -> None:
        """Refuse a warm start of a model other than the fitted one."""
        for name, value in params.to_config(self).items():
            fitted = self.fitted_config_.get(name)
            if name not in TRAINING and value != fitted:
                raise InputError(
                    f"{name} cannot change in a warm start: set it back to {fitted!r}, or set"
                    " warm_start=False."
                )

    def _check_range(self, x: Rows, x_val: Rows | None) -> None:
        """Refuse values that a Bernoulli likelihood has no probability for."""
        if not isinstance(self.net_.likelihood, Bernoulli):
            return
        scaling = copy.deepcopy(self.net_.scaling).cpu()
        for samples in (x.x, None if x_val is None else x_val.x):
            values = None if samples is None or samples.dtype == torch.uint8 else scaling(samples)
            if values is None or (values.min() >= -1e-6 and values.max() <= 1 + 1e-6):
                continue
            if self.fitted_config_["scaling"] == "unit":
                raise InputError(
                    "Samples to validate on are outside the range of those to train on, which a"
                    " bernoulli likelihood cannot take: use likelihood='gaussian' (recipe ae), or"
                    " scale X to [0, 1] yourself, with scaling=None."
                )
            raise InputError(
                "A bernoulli likelihood needs data in [0, 1]: use scaling='unit', or scale X"
                " yourself."
            )

    def _learn_codes(self, x: Tensor) -> Tensor:
        """The size of a code, and the range (2, K) in which nearly all of some codes lie.

        Gives these codes.
        """
        self.net_.eval()
        z = infer.in_blocks(self.net_, self.net_.encode, x[:EXAMINED], wide=True)
        self.code_size_ = z.shape[1]
        self.code_range_ = np.quantile(z.numpy(), [0.01, 0.99], axis=0).astype(np.float32)
        return z

    def _record(self, epoch: Epoch) -> None:
        """Add an epoch to the history, in the unit `loss_unit_`."""
        factor = self._loss_factor()
        history = self.history_
        history["epoch"].append(len(history["epoch"]) + 1)
        history["loss"].append(epoch.loss * factor)
        val_loss = math.nan if epoch.val_loss is None else epoch.val_loss * factor
        history["val_loss"].append(val_loss if math.isfinite(val_loss) else None)
        history["seconds"].append(epoch.seconds)
        steps = (epoch.steps * factor).astype(np.float32)
        self.step_loss_ = np.concatenate([self.step_loss_, steps])

    @property
    def loss_unit_(self) -> str:
        """The unit of the losses in `history_`: the usual loss, or nats where there is a KL."""
        penalised = self.net_.bottleneck.penalised
        return "nats per sample" if penalised else self.net_.likelihood.unit

    def _loss_factor(self) -> float:
        if self.net_.bottleneck.penalised:
            return 1.0
        return self.net_.likelihood.per_feature(1.0, self.net_.features)

    def _split(self, x: Rows, x_val: Rows | None, p: Any) -> tuple[Rows, Rows | None]:
        """Training and validation samples."""
        share = p.validation_fraction
        if x_val is not None:
            if share:
                raise InputError("Give X_val or validation_fraction, not both.")
            return x, x_val
        if share == 0:
            if p.early_stopping:
                raise InputError("early_stopping needs X_val or a validation_fraction.")
            return x, None
        held = round(len(x) * share)
        if held in (0, len(x)):
            raise InputError(
                f"A validation_fraction of {share:g} leaves none of {len(x)} samples to"
                f" {'train' if held else 'validate'} on: give more samples, or X_val."
            )
        order = torch.randperm(len(x), generator=generator(self.seed_, "split"))
        return x.at(order[held:]), x.at(order[:held])

    # ---- the network

    def _new_net(self, x: Tensor, p: Any) -> Net:
        image = self.image_shape_ is not None
        scaling = learn_scaling(p.scaling, x, image=image)
        net = self._assemble(p, scaling, torch.Generator().manual_seed(self.seed_))
        if isinstance(p.network, tuple):
            check_pair(net)
        if not any(parameter.requires_grad for parameter in net.parameters()):
            raise InputError("The network has no parameters to learn: give hidden or latent_dim.")
        return net

    def _assemble(self, p: Any, scaling: Any, draw: torch.Generator | None) -> Net:
        """The network that the parameters describe, for the shape of sample that was seen.

        Without a generator its weights have no memory yet.
        """
        bottleneck = self._bottleneck(p)
        shape = self.image_shape_ or self.sample_shape_
        if isinstance(p.network, tuple):
            encoder, decoder = copy.deepcopy(p.network)
            _check_last(decoder)
        else:
            if p.network != "dense" and self.image_shape_ is None:
                raise InputError(
                    f"A {p.network} network needs images: give X as (N, C, H, W), or"
                    f" image_shape for {self.n_features_in_} columns."
                )
            encoder, decoder = networks.build(
                getattr(networks, p.network),
                p.init,
                draw,
                shape=shape,
                hidden=HIDDEN[p.network] if p.hidden is None else p.hidden,
                latent=p.latent_dim,
                activation=p.activation,
                code_activation=p.code_activation,
                outputs=bottleneck.outputs,
            )
        flat = p.network == "dense"
        return Net(
            encoder,
            decoder,
            bottleneck=bottleneck,
            likelihood=_likelihood(p),
            corruption=copy.deepcopy(self.corruption),
            scaling=scaling,
            input_shape=(math.prod(shape),) if flat else shape,
            image_shape=self.image_shape_,
        ).eval()

    @property
    def encoder_(self) -> nn.Module:
        """Scaled batch, (B, D) or in a conv network (B, C, H, W) -> mean code (B, K)."""
        return nn.Sequential(self.net_.encoder, self.net_.bottleneck.mean_layer()).eval()

    @property
    def decoder_(self) -> nn.Module:
        """Code (B, K) -> scaled output, activation applied."""
        return nn.Sequential(self.net_.decoder, self.net_.likelihood.activation).eval()

    # ---- use

    def transform(self, X: Any) -> Any:
        """Mean codes (N, K), float32; deterministic."""
        return self._mapped(X, self._net().encode, wide=True)

    def inverse_transform(self, X: Any) -> Any:
        """Samples (N, *shape of a sample) of codes X (N, K), in the units of the training data."""
        net, k = self._net(), self._n_features_out
        z = as_codes(X)
        if z.ndim != 2 or z.shape[1] != k:
            raise InputError(f"Codes must have shape (N, {k}), but have {tuple(z.shape)}.")
        y = infer.in_blocks(net, net.decode, z, wide=True)
        return like(X, y.reshape(-1, *self.sample_shape_))

    def reconstruct(self, X: Any) -> Any:
        """Decoded mean codes: an array of the shape and in the units of X."""
        net = self._net()
        return self._mapped(X, lambda x: net.decode(net.encode(x)), keep_shape=True, wide=True)

    def corrupt(
        self, X: Any, *, corruption: Corruption | None = None, random_state: Any = None
    ) -> Any:
        """X as the encoder saw it in training: corrupted, in the units and the shape of X.

        By another `corruption` where one is given, in the scaled units of this model.
        """
        net = self._net()
        if corruption is not None:
            corruption.validated()
            net = copy.copy(net)
            net.corruption = corruption
            net.check_corruption()
        if net.corruption is None:
            raise InputError("The model was trained without a corruption: there is none to apply.")
        draw = generator(find_seed(random_state), "corrupt", device=self.net_.device.type)

        def corrupted(x: Tensor) -> Tensor:
            return net.scaling.inverse(net.corrupt(net.scaling(x), draw))

        return self._mapped(X, corrupted, keep_shape=True)

    def score_samples(self, X: Any) -> Any:
        """Minus the negative log-likelihood of each sample, (N,) nats: larger is more normal.

        At the mean code; for a model with random codes its evidence lower bound, over a few draws
        of noise that are the same for every sample.
        """
        return self._mapped(X, self._net().score, wide=True)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`."""
        return float(np.mean(np.asarray(self.score_samples(X), dtype=np.float64)))

    def sample(
        self, n: int = 1, *, temperature: float = 1.0, random_state: Any = None
    ) -> np.ndarray:
        """`n` new samples, decoded from codes of the prior; `InputError` where there is none.

        `temperature` scales the codes: below 1 samples are more alike, and 0 is the code 0.
        """
        n = params.check("n", Count, n)
        temperature = params.check("temperature", Temperature, temperature)
        draw = generator(find_seed(random_state), "prior")
        z = self._net().bottleneck.prior(n, self._n_features_out, draw)
        if z is None:
            raise InputError(
                f"{self.kind} has no prior to sample from: use a VAE, or a LatentSampler on its"
                " codes."
            )
        return self.inverse_transform(temperature * z.numpy())

    def layers(self, X: Any = None) -> list[Layer]:
        """The layers of the fitted network, or of the one that samples like X would be given."""
        if X is None:
            return trace(self._net())
        planned = clone(self)
        x = planned.rows(X, reset=True)
        planned.seed_ = 0
        return trace(planned._new_net(x, planned.validated()))

    def summary(self, X: Any = None) -> str:
        """The table of `layers` as text, with output shapes and parameter counts."""
        table = self.layers(X)
        return as_text(table, self.sample_shape_ if X is None else np.shape(X)[1:])

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one .safetensors file; `diabolo.load` reads it."""
        self._net()
        store.write(path, *self._contents())

    def _contents(self) -> Contents:
        """What a model file holds: a header of plain values, and tensors."""
        config = {
            "model": self.fitted_config_,
            "custom_network": "network" not in self.fitted_config_,
            "sample_shape": list(self.sample_shape_),
            "image_shape": self.image_shape_ and list(self.image_shape_),
            "dtype": self.dtype_,
            "feature_names": [str(n) for n in getattr(self, "feature_names_in_", [])],
            "columns": self.columns_,
            "seed": self.seed_,
            "history": self.history_,
            "layers": [layer._asdict() for layer in trace(self.net_)],
            "data": self.data_,
            "findings": [list(finding) for finding in self.findings_],
            "metrics": self.metrics_,
            "versions": self.versions_,
        }
        learnt = {"step_loss": self.step_loss_, "code_range": self.code_range_}
        tensors = {name: torch.from_numpy(array) for name, array in learnt.items()}
        return config, self.net_.state_dict() | tensors

    def _restore(self, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Become the fitted model that `save` described; `load` calls this.

        Raises ValueError, in a sentence, where the two do not fit each other.
        """
        p = self.validated()
        self.sample_shape_ = tuple(config["sample_shape"])
        self.image_shape_ = config["image_shape"] and tuple(config["image_shape"])
        self.dtype_, self.seed_ = config["dtype"], config["seed"]
        self.n_features_in_ = math.prod(self.sample_shape_)
        for names in (config["feature_names"], config["columns"]):
            if names and len(names) != self.n_features_in_:
                raise ValueError("the names of its columns do not fit its samples.")
        if config["feature_names"]:
            self.feature_names_in_ = np.array(config["feature_names"], dtype=object)
        self.history_ = {name: config["history"][name] for name in HISTORY}
        self.columns_ = config["columns"]
        self.data_, self.metrics_ = config["data"], config["metrics"]
        self.versions_, self._moments = config["versions"], {}
        self.findings_ = [Finding(*finding) for finding in config["findings"]]
        self.fitted_config_ = config["model"]
        self.step_loss_ = tensors.pop("step_loss").numpy()
        self.code_range_ = tensors.pop("code_range").numpy()
        if len(p.hidden or ()) > len(tensors):
            raise ValueError("it has more layers than tensors.")
        net = self._assemble(p, _read_scaling(tensors, self.n_features_in_), None)
        _check_alike(net, tensors)
        own = isinstance(p.network, tuple)
        net.load_state_dict(tensors, assign=not own)
        if not own:
            networks.lay_out(net)
        self.code_size_ = net.code_size
        if self.step_loss_.ndim != 1 or self.step_loss_.dtype != np.float32:
            raise ValueError("the losses of the steps are no vector.")
        expected = (np.dtype(np.float32), (2, self.code_size_))
        if (self.code_range_.dtype, self.code_range_.shape) != expected:
            raise ValueError("the range of the codes does not fit the network.")
        self.net_ = net.to(find_device(p.device))

    # ---- inside

    @property
    def _n_features_out(self) -> int:
        return self.code_size_

    def _net(self) -> Net:
        check_is_fitted(self, "net_")
        return self.net_

    def _mapped(
        self,
        X: Any,
        function: Callable[[Tensor], Tensor],
        *,
        keep_shape: bool = False,
        wide: bool = False,
    ) -> Any:
        out = infer.in_blocks(self.net_, function, self.rows(X), wide=wide)
        return like(X, out.reshape(as_array(X).shape) if keep_shape else out)

    def rows(self, X: Any, *, reset: bool = False) -> Tensor:
        """X as a tensor (N, D) of its stored type (integers beyond uint16 and floats: float32)."""
        array = as_rows(X)
        shape = array.shape
        images = len(shape) > 2
        if images:
            array = np.reshape(array, (len(array), math.prod(shape[1:])))
        if images and not reset:
            self._check_shape(tuple(shape[1:]))
        try:
            rows = validate_data(self, array, reset=reset, dtype="numeric")
        except ValueError as error:
            raise InputError(in_a_sentence(str(error))) from None
        if rows.dtype.newbyteorder("=") == np.uint16:
            rows = rows.astype(np.uint16)
        elif rows.dtype not in (np.bool_, np.uint8):
            rows = as_float32(rows, distinct=reset and not images)
        if reset:
            self._learn_shape(tuple(shape[1:]), str(rows.dtype))
        self.check_units(rows)
        return torch.from_numpy(np.require(rows, requirements=["C", "W"]))

    def _learn_shape(self, shape: tuple[int, ...], dtype: str) -> None:
        self.sample_shape_, self.dtype_ = shape, dtype
        self.image_shape_ = {1: None, 2: (1, *shape), 3: shape}[len(shape)]
        if self.image_shape is None:
            return
        given = tuple(self.image_shape)
        if math.prod(given) != math.prod(shape) or self.image_shape_ not in (None, given):
            raise InputError(f"image_shape {given} does not fit samples of shape {shape}.")
        self.image_shape_ = given

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if (1, *shape)[-3:] != self.image_shape_:
            raise InputError(
                f"The model was fitted on samples of shape {self.sample_shape_}, not {shape}."
            )

    def _pairs(self, X: Any, X_noisy: Any, name: str, *, reset: bool = False) -> Rows:
        """The samples X, with their noisy partners where there are any, which must be alike."""
        x = self.rows(X, reset=reset)
        if X_noisy is None:
            return Rows(x)
        try:
            for what, of in (("shape", lambda a: tuple(as_array(a).shape)), ("type", stored_type)):
                if of(X_noisy) != of(X):
                    raise InputError(f"its {what} is {of(X_noisy)}, that of the clean {of(X)}.")
            return Rows(x, self.rows(X_noisy))
        except InputError as error:
            raise InputError(f"{name} does not fit: {error}") from None

    def _validation(self, X_val: Any, *, paired: bool) -> Rows | None:
        """The validation set that was given: samples, or a pair (noisy, clean)."""
        if X_val is None or not paired:
            return None if X_val is None else Rows(self.rows(X_val))
        pair = isinstance(X_val, tuple | list) and len(X_val) == 2
        if not pair or any(part is None for part in X_val):
            raise InputError("With X_noisy, X_val must be a pair too: (noisy, clean).")
        noisy, clean = X_val
        return self._pairs(clean, noisy, "The noisy part of X_val")

    @property
    def paired_(self) -> bool:
        """Whether the last `fit` was on pairs of noisy and clean samples."""
        return "noisy_sha256" in self.data_

    def check_units(self, rows: np.ndarray) -> None:
        """Refuse values that are obviously in other units than those of the training data."""
        fitted, given = self.dtype_, str(rows.dtype)
        if fitted == given or (fitted in ("bool", "float32") and rows.max() <= 1):
            return
        if fitted == "float32" and hasattr(self, "net_") and self.net_.scaling.peak[1] > 1:
            return
        if fitted == "float32":
            raise InputError(f"The model was fitted on floats, not {given}: scale X as for fit.")
        if given != "float32":
            raise InputError(f"The model was fitted on {fitted}, not {given}: convert X.")
        if fitted != "bool" and 0 < rows.max() <= 1:
            top = np.iinfo(fitted).max
            raise InputError(
                f"The model was fitted on {fitted} from 0 to {top}, but X is float within [0, 1]:"
                f" multiply it by {top}."
            )


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


def _likelihood(p: Any) -> Likelihood:
    """The likelihood with its output activation, which must suit each other."""
    if p.network == "residual":
        return _unsquashed(p)
    name = p.output_activation or OUTPUTS.get(p.scaling, "identity")
    if p.likelihood in ("gaussian", "mse"):
        return Gaussian(networks.ACTIVATIONS[name]())
    if p.output_activation is None and p.scaling is None:
        name = "sigmoid"
    if name != "sigmoid" or p.scaling not in ("unit", None):
        raise InputError(
            "A bernoulli likelihood needs data in [0, 1] and a sigmoid output:"
            " use scaling='unit' and leave output_activation out."
        )
    return Bernoulli(nn.Sigmoid())


def _unsquashed(p: Any) -> Likelihood:
    """The likelihood of a network whose output is its input without noise."""
    if p.likelihood not in ("gaussian", "mse") or p.output_activation not in (None, "identity"):
        raise InputError(
            "A residual network gives its input without the noise, which nothing may squash: use"
            " likelihood='gaussian' and leave output_activation out."
        )
    return Gaussian(networks.ACTIVATIONS["identity"]())


def _read_scaling(tensors: dict[str, Tensor], features: int) -> Scaling:
    """The scaling among the tensors of a model file."""
    names = ("shift", "scale", "bounds", "peak")
    shift, scale, bounds, peak = found = [tensors[f"scaling.{name}"] for name in names]
    whole = {(), (features,)}
    if not {shift.shape, scale.shape} <= whole or bounds.shape != (2,) or peak.shape != (2,):
        raise ValueError("the scaling does not fit the samples.")
    if any(tensor.dtype != torch.float32 for tensor in found):
        raise ValueError("the scaling has a wrong type.")
    low, high = bounds.tolist()
    if not (shift.isfinite().all() and scale.isfinite().all() and scale.all() and low < high):
        raise ValueError("the scaling has values that are none.")
    return Scaling(shift, scale, low, high, peak)


def _check_alike(net: Net, tensors: dict[str, Tensor]) -> None:
    """Refuse tensors of other names, shapes or types than those of the network."""
    wanted = {name: (t.shape, t.dtype) for name, t in net.state_dict().items()}
    given = {name: (t.shape, t.dtype) for name, t in tensors.items()}
    if wanted != given:
        odd = next(n for n in sorted({*wanted, *given}) if wanted.get(n) != given.get(n))
        raise ValueError(f"the tensor {odd!r} does not fit its network.")


def _checkpoints(given: Any) -> Checkpoints | None:
    """What is given as `checkpoint`: nothing, a folder, or what keeps them."""
    if given is None or isinstance(given, Checkpoints):
        return given
    if not isinstance(given, str | Path) or not str(given):
        raise InputError(f"checkpoint must be the name of a folder, but is {given!r}.")
    return Checkpoints(given)


def _kept_seed(kept: Contents) -> int:
    """The seed of a checkpoint."""
    return int(params.check("The seed of the checkpoint", Seed, kept[0].get("seed")))


def _fingerprint(x: Rows, x_val: Rows | None) -> dict[str, Any]:
    """How many samples a model is fitted on, and the SHA-256 of their stored values."""
    data: dict[str, Any] = {}
    for prefix, rows in (("", x), ("validation_", x_val)):
        if rows is not None:
            data |= {
                f"{prefix}samples": len(rows),
                f"{prefix}sha256": store.digest(rows.x.numpy()),
            }
            if rows.noisy is not None:
                data[f"{prefix}noisy_sha256"] = store.digest(rows.noisy.numpy())
    return data


def _versions() -> dict[str, str]:
    """What a model is fitted with."""
    versions = {"diabolo": __version__, "torch": torch.__version__, "numpy": np.__version__}
    return versions | {"python": platform.python_version()}


def _check_last(decoder: nn.Module) -> None:
    last = list(decoder.modules())[-1]
    if isinstance(last, nn.Sigmoid | nn.Tanh):
        raise InputError(
            f"The decoder ends in {type(last).__name__}: leave it out, output_activation adds it."
        )


def find_seed(random_state: Any) -> int:
    """A seed from whatever scikit-learn calls a random state, the global one left alone."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(params.check("random_state", Seed, random_state))


def find_device(name: str) -> torch.device:
    """The device of that name, or an `InputError` where it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.Generator(device)  # which the device "meta", without values, has not
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(f"There is no device {name!r} here: use 'auto' or 'cpu'.") from None
    return device
