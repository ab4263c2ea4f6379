"""Autoencoders as scikit-learn estimators: a base class, and the plain `Autoencoder`."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Lt
from pydantic import InstanceOf
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from diabolo import networks, params, store
from diabolo.corruption import Corruption
from diabolo.errors import InputError
from diabolo.layers import Layer, as_text
from diabolo.likelihood import Bernoulli, Gaussian
from diabolo.net import (
    Bottleneck,
    Likelihood,
    Net,
    Scaling,
    check_pair,
    in_blocks,
    learn_scaling,
    trace,
)
from diabolo.optim import make_optimizer
from diabolo.params import Parameters
from diabolo.progress import Progress
from diabolo.train import Epoch, Rows, generator, train

Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
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
HIDDEN = {"dense": (256, 128), "conv": (32, 64), "subpixel": (32, 64)}


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
        Literal["dense", "conv", "subpixel"] | tuple[InstanceOf[nn.Module], InstanceOf[nn.Module]],
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
        "After the last layer; none: sigmoid for unit scaling, tanh for symmetric, else identity.",
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
        X_val: Any = None,
        callback: Callable[[Self], object] | None = None,
    ) -> Self:
        """Train on X; `y` is ignored. `X_val`, where given, is the validation set.

        `callback` is called with the estimator, usable and with its history so far, after each
        epoch. An interrupt (Ctrl-C) leaves the best model so far in place and is raised again.
        """
        p = self.validated()
        fresh = not (p.warm_start and hasattr(self, "net_"))
        if not fresh:
            self._check_same_model()
        x = self.rows(X, reset=fresh)
        if fresh:
            self.seed_ = _seed(p.random_state)
        x, x_val = self._split(x, X_val, p)
        device = _device(p.device)
        if fresh:
            self.net_ = self._new_net(x, p)
            self.columns_: list[str] | None = None
            names = ("epoch", "loss", "val_loss", "seconds")
            self.history_: dict[str, list[Any]] = {name: [] for name in names}
            self.step_loss_ = np.empty(0, np.float32)
        self.fitted_config_ = params.to_config(self)
        try:
            self._check_range(x, x_val)
            self.net_.to(device)
            self._train(x.to(device), None if x_val is None else x_val.to(device), p, callback)
        except Exception:
            if fresh:
                del self.net_
            raise
        finally:
            if hasattr(self, "net_"):
                self.net_.eval()
                self._learn_codes(x)
        return self

    def _train(
        self, x: Tensor, x_val: Tensor | None, p: Any, callback: Callable[[Self], object] | None
    ) -> None:
        best = _Best(self.net_, p.early_stopping, x_val is not None)
        done = len(self.history_["epoch"])
        kept = len(x) // p.batch_size * p.batch_size if p.drop_last else len(x)
        what = "rows" if self.image_shape_ is None else "images"
        progress = Progress(p.epochs, p.epochs * kept, what=what, shown=p.verbose)
        epochs = train(
            self.net_,
            Rows(x),
            make_optimizer(p.optimizer, self.net_, p.epsilon),
            epochs=p.epochs,
            batch_size=p.batch_size,
            learning_rate=p.learning_rate,
            seed=self.seed_,
            validation=None if x_val is None else Rows(x_val),
            schedule=p.schedule,
            drop_last=p.drop_last,
            divisor=self.net_.features,
            first_epoch=done,
            precision=p.precision,
            compiled=p.compile,
            on_step=progress.step,
        )
        with progress, closing(epochs):
            try:
                for epoch in epochs:
                    if not math.isfinite(epoch.loss):
                        best.restore()
                        number = len(self.history_["epoch"]) + 1
                        raise InputError(
                            f"The loss is not finite in epoch {number}: lower learning_rate, or"
                            " scale X."
                        )
                    self._record(epoch)
                    best.see(epoch)
                    loss, val_loss = self.history_["loss"][-1], self.history_["val_loss"][-1]
                    progress.epoch_done(loss, val_loss, kept / epoch.seconds)
                    if callback is not None:
                        self._learn_codes(x)
                        callback(self)
                    if best.exhausted:
                        break
            except KeyboardInterrupt:
                best.restore()
                raise
        if p.early_stopping:
            best.restore()

    def _check_same_model(self) -> None:
        """Refuse a warm start of a model other than the fitted one."""
        for name, value in params.to_config(self).items():
            fitted = self.fitted_config_.get(name)
            if name not in TRAINING and value != fitted:
                raise InputError(
                    f"{name} cannot change in a warm start: set it back to {fitted!r}, or set"
                    " warm_start=False."
                )

    def _check_range(self, x: Tensor, x_val: Tensor | None) -> None:
        """Refuse values that a Bernoulli likelihood has no probability for."""
        if not isinstance(self.net_.likelihood, Bernoulli):
            return
        scaling = copy.deepcopy(self.net_.scaling).cpu()
        for samples in (x, x_val):
            values = None if samples is None or samples.dtype == torch.uint8 else scaling(samples)
            if values is not None and (values.min() < -1e-6 or values.max() > 1 + 1e-6):
                raise InputError(
                    "A bernoulli likelihood needs data in [0, 1]: use scaling='unit', or scale X"
                    " yourself."
                )

    def _learn_codes(self, x: Tensor) -> None:
        """The size of a code, and the range (2, K) in which nearly all training codes lie."""
        z = in_blocks(self.net_.encode, x[:2048], device=self.net_.device).numpy()
        self.code_size_ = z.shape[1]
        self.code_range_ = np.quantile(z, [0.01, 0.99], axis=0).astype(np.float32)

    def _record(self, epoch: Epoch) -> None:
        """Add an epoch to the history, in the unit `loss_unit_`."""
        factor = self._loss_factor()
        history = self.history_
        history["epoch"].append(len(history["epoch"]) + 1)
        history["loss"].append(epoch.loss * factor)
        history["val_loss"].append(None if epoch.val_loss is None else epoch.val_loss * factor)
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

    def _split(self, x: Tensor, X_val: Any, p: Any) -> tuple[Tensor, Tensor | None]:
        """Training and validation samples."""
        if X_val is not None:
            if p.validation_fraction:
                raise InputError("Give X_val or validation_fraction, not both.")
            return x, self.rows(X_val)
        held = round(len(x) * p.validation_fraction)
        if held == 0:
            if p.early_stopping:
                raise InputError("early_stopping needs X_val or a validation_fraction.")
            return x, None
        if held == len(x):
            raise InputError(f"validation_fraction leaves none of {len(x)} samples to train on.")
        order = torch.randperm(len(x), generator=generator(self.seed_, "split"))
        return x[order[held:]], x[order[:held]]

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

    def _assemble(self, p: Any, scaling: Any, draw: torch.Generator) -> Net:
        """The network that the parameters describe, for the shape of sample that was seen."""
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
        return self._mapped(X, self._net().encode)

    def inverse_transform(self, X: Any) -> Any:
        """Samples (N, *shape of a sample) of codes X (N, K), in the units of the training data."""
        net, k = self._net(), self._n_features_out
        try:
            z = torch.from_numpy(np.array(_as_array(X), dtype=np.float32))
        except (ValueError, TypeError):
            raise InputError("Codes must be numbers of shape (N, K).") from None
        if z.ndim != 2 or z.shape[1] != k:
            raise InputError(f"Codes must have shape (N, {k}), but have {tuple(z.shape)}.")
        y = in_blocks(net.decode, z, device=self.net_.device)
        return _like(X, y.reshape(-1, *self.sample_shape_))

    def reconstruct(self, X: Any) -> Any:
        """Decoded mean codes: an array of the shape and in the units of X."""
        net = self._net()
        return self._mapped(X, lambda x: net.decode(net.encode(x)), keep_shape=True)

    def corrupt(self, X: Any, *, random_state: Any = None) -> Any:
        """X as the encoder saw it in training: corrupted, in the units and the shape of X."""
        net = self._net()
        if net.corruption is None:
            raise InputError("The model was trained without a corruption: there is none to apply.")
        draw = generator(_seed(random_state), "corrupt", device=self.net_.device.type)

        def corrupted(x: Tensor) -> Tensor:
            return net.scaling.inverse(net.corrupt(net.scaling(x), draw))

        return self._mapped(X, corrupted, keep_shape=True)

    def score_samples(self, X: Any) -> Any:
        """Minus the negative log-likelihood of each sample, (N,) nats: larger is more normal.

        At the mean code; for a model with random codes its evidence lower bound, over a few draws
        of noise that are the same for every sample.
        """
        return self._mapped(X, self._net().score)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`."""
        return float(np.mean(np.asarray(self.score_samples(X), dtype=np.float64)))

    def sample(self, n: int = 1, *, random_state: Any = None) -> np.ndarray:
        """`n` new samples, decoded from codes of the prior; `InputError` where there is none."""
        n = params.check("n", Count, n)
        draw = generator(_seed(random_state), "prior")
        z = self._net().bottleneck.prior(n, self._n_features_out, draw)
        if z is None:
            raise InputError(
                f"{self.kind} has no prior to sample from: use a VAE, or a LatentSampler on its"
                " codes."
            )
        return self.inverse_transform(z.numpy())

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
        net = self._net()
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
            "layers": [layer._asdict() for layer in trace(net)],
        }
        learnt = {"step_loss": self.step_loss_, "code_range": self.code_range_}
        tensors = {name: torch.from_numpy(array) for name, array in learnt.items()}
        store.write(path, config, net.state_dict() | tensors)

    def _restore(self, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Become the fitted model that `save` described; `load` calls this."""
        p = self.validated()
        self.sample_shape_ = tuple(config["sample_shape"])
        self.image_shape_ = config["image_shape"] and tuple(config["image_shape"])
        self.dtype_, self.seed_ = config["dtype"], config["seed"]
        self.n_features_in_ = math.prod(self.sample_shape_)
        if config["feature_names"]:
            self.feature_names_in_ = np.array(config["feature_names"], dtype=object)
        self.history_, self.columns_ = config["history"], config["columns"]
        self.fitted_config_ = config["model"]
        self.step_loss_ = tensors.pop("step_loss").numpy()
        self.code_range_ = tensors.pop("code_range").numpy()
        shift, scale, bounds, peak = (
            tensors[f"scaling.{name}"] for name in ("shift", "scale", "bounds", "peak")
        )
        whole = {(), (self.n_features_in_,)}
        if self.step_loss_.ndim != 1:
            raise ValueError("the losses of the steps are no vector.")
        if not {shift.shape, scale.shape} <= whole or bounds.shape != (2,) or peak.shape != (2,):
            raise ValueError("the scaling does not fit the samples.")
        low, high = bounds.tolist()
        scaling = Scaling(shift, scale, low, high, peak)
        net = self._assemble(p, scaling, torch.Generator())
        net.load_state_dict(tensors)
        self.net_ = net.to(_device(p.device))
        empty = torch.zeros(1, self.n_features_in_)
        self.code_size_ = in_blocks(self.net_.encode, empty, device=self.net_.device).shape[1]
        if self.code_range_.shape != (2, self.code_size_):
            raise ValueError("the range of the codes does not fit the network.")

    # ---- inside

    @property
    def _n_features_out(self) -> int:
        return self.code_size_

    def _net(self) -> Net:
        check_is_fitted(self, "net_")
        return self.net_

    def _mapped(
        self, X: Any, function: Callable[[Tensor], Tensor], *, keep_shape: bool = False
    ) -> Any:
        out = in_blocks(function, self.rows(X), device=self.net_.device)
        return _like(X, out.reshape(_as_array(X).shape) if keep_shape else out)

    def rows(self, X: Any, *, reset: bool = False) -> Tensor:
        """X as a tensor (N, D) of its stored type (integers beyond uint16 and floats: float32)."""
        array = _as_array(X)
        shape = array.shape
        if len(shape) > 4:
            raise InputError(f"X must have 2, 3 or 4 dimensions, but has shape {tuple(shape)}.")
        images = len(shape) > 2
        if images:
            array = np.reshape(array, (len(array), math.prod(shape[1:])))
        if images and not reset:
            self._check_shape(tuple(shape[1:]))
        try:
            rows = validate_data(self, array, reset=reset, dtype="numeric")
        except ValueError as error:
            raise InputError(str(error)) from None
        if rows.dtype.newbyteorder("=") == np.uint16:
            rows = rows.astype(np.uint16)
        elif rows.dtype not in (np.bool_, np.uint8):
            rows = _as_float32(rows)
        if reset:
            self._learn_shape(tuple(shape[1:]), str(rows.dtype))
        self._check_units(rows)
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

    def _check_units(self, rows: np.ndarray) -> None:
        """Refuse values that are obviously in other units than those of the training data."""
        fitted, given = self.dtype_, str(rows.dtype)
        if fitted == given:
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


class _Best:
    """Keeps the weights of the best epoch (without validation: the last finished one)."""

    def __init__(self, net: Net, patience: int | None, validated: bool) -> None:
        self.net, self.patience, self.validated = net, patience, validated
        self.loss, self.waited = math.inf, 0
        self.weights: dict[str, Tensor] | None = None

    def see(self, epoch: Epoch) -> None:
        if epoch.val_loss is not None and not epoch.val_loss < self.loss:
            self.waited += 1
            return
        self.waited = 0
        if epoch.val_loss is not None:
            self.loss = epoch.val_loss
        self.weights = {name: t.detach().clone() for name, t in self.net.state_dict().items()}

    @property
    def exhausted(self) -> bool:
        return self.patience is not None and self.waited >= self.patience

    def restore(self) -> None:
        if self.weights is not None:
            self.net.load_state_dict(self.weights)


def _likelihood(p: Any) -> Likelihood:
    """The likelihood with its output activation, which must suit each other."""
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


def _check_last(decoder: nn.Module) -> None:
    last = list(decoder.modules())[-1]
    if isinstance(last, nn.Sigmoid | nn.Tanh):
        raise InputError(
            f"The decoder ends in {type(last).__name__}: leave it out, output_activation adds it."
        )


def _seed(random_state: Any) -> int:
    """A seed from whatever scikit-learn calls a random state, the global one left alone."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(params.check("random_state", Seed, random_state))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(f"There is no device {name!r} here: use 'auto' or 'cpu'.") from None
    return device


def _as_array(X: Any) -> Any:
    """X as something with a shape and rows: tables of pandas and the like as they are."""
    if isinstance(X, Tensor):
        X = X.detach().cpu()
        return (X.float() if X.is_floating_point() else X).numpy()
    return X if hasattr(X, "shape") else np.asarray(X)


def _as_float32(rows: np.ndarray) -> np.ndarray:
    """`rows` as float32; refuses what would become infinite."""
    with np.errstate(over="ignore"):
        narrow = rows.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise InputError("X has values too large for float32: scale it down.")
    return narrow


def _like(X: Any, out: Tensor) -> Any:
    """torch in, torch out; anything else gets numpy."""
    return out if isinstance(X, Tensor) else out.numpy()
