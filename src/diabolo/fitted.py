"""What a fit leaves, as one frozen record, and the record as a model file and back."""

import copy
import math
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Len
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Generator, Tensor, nn

from diabolo import __version__, networks
from diabolo.bottleneck import Bottleneck
from diabolo.columns import Columns
from diabolo.doctor import Finding
from diabolo.errors import InputError
from diabolo.infer import trace
from diabolo.intake import Intake
from diabolo.likelihood import Likelihood
from diabolo.net import Net
from diabolo.params import Count
from diabolo.scaling import Scaling, read_scaling
from diabolo.store import Contents

LINEAR = 2**22  # weights of a linear way beside a network that takes images, at most
LARGEST = 2**27  # values of a sample, more than any that was learnt from
HISTORY = ("epoch", "loss", "val_loss", "seconds")
FAST = Field(fail_fast=True)  # a list of a million mistakes has one error
Names = Annotated[list[str], FAST]
Text = Annotated[str, Len(0, 1000)]
Plain = Text | int | float | bool
Listed = Plain | Annotated[list[Plain], Len(0, 1000)]
Parameter = Listed | dict[Text, Listed]


class Header(BaseModel):
    """What the header of a model file must hold."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    model: dict[Text, Parameter]
    custom_network: bool
    sample_shape: Annotated[list[Count], Len(1, 4), FAST]
    image_shape: Annotated[list[Count], Len(2, 4), FAST] | None  # the grid
    dtype: Literal["bool", "uint8", "uint16", "float32"]
    feature_names: Names
    columns: Names | None = None
    table: Annotated[list[dict[Text, Plain | Annotated[list[Plain], FAST]]], FAST] | None = None
    condition: dict[Text, Annotated[list[Plain], FAST]] | None = None
    seed: Annotated[int, Ge(0)]
    history: dict[str, Annotated[list[int | float | None], FAST]]
    layers: Annotated[list[dict[str, Any]], FAST]
    data: dict[str, int | str] = {}
    findings: Annotated[list[Annotated[Names, Len(3, 3)]], FAST] = []
    usual: dict[Text, Annotated[list[float], Len(3, 3)]] = {}
    metrics: dict[str, Any] = {}
    versions: dict[str, str] = {}
    training: dict[str, int | str] = {}
    detector: dict[Text, Plain] | None = None
    sampler: dict[Text, Plain] | None = None
    clusterer: dict[Text, Plain] | None = None

    @classmethod
    def checked(cls, path: Any, config: dict[str, Any]) -> "Header":
        """The header of a file; `InputError` where it is none or does not agree with itself."""
        try:
            header = cls.model_validate(config)
        except ValidationError as error:
            places = error.errors()[0]["loc"][:1]  # none where a name is no text
            entry = next((p for p in places if p in cls.model_fields), "names of entries")
            raise InputError(f"{path} is damaged: its header has no valid {entry}.") from None
        header.model = {"linear": False, **header.model}  # which older files do not know
        shape, grid = header.sample_shape, header.image_shape
        if grid not in (shape, [1, *shape]) and (len(shape) > 1 or _odd(shape, grid)):
            raise InputError(f"{path} is damaged: its shapes do not agree.")
        if len({len(values) for values in header.history.values()}) > 1:
            raise InputError(f"{path} is damaged: its history is uneven.")
        return header


def _odd(shape: list[int], grid: list[int] | None) -> bool:
    """Whether rows cannot be laid out on a grid: that of an image, which was given."""
    return grid is not None and (len(grid) != 3 or math.prod(grid) != math.prod(shape))


@dataclass(frozen=True)
class Plan:
    """What is to be trained: the checked parameters, the same as files have them, and the code."""

    p: Any
    config: dict[str, Any]
    bottleneck: Bottleneck

    def net(self, intake: Intake, scaling: Scaling, draw: Generator | None) -> Net:
        """The network for such samples; without a generator its weights have no memory.

        Raises `InputError` where the parts do not fit each other or the samples.
        """
        p, shape = self.p, intake.shape
        given = 0 if intake.condition is None else intake.condition.size
        likelihood = self._likelihood(intake, scaling)
        pair = self._own() if self.own else self._pair(shape, likelihood.per_value, given, draw)
        encoder, decoder = pair
        net = Net(
            encoder,
            likelihood.behind(decoder, draw),
            bottleneck=self.bottleneck,
            likelihood=likelihood,
            corruption=copy.deepcopy(p.corruption),
            scaling=scaling,
            input_shape=shape if networks.takes_images(p.network) else (math.prod(shape),),
            image_shape=intake.image_shape,
            condition=intake.condition,
            limits=intake.limits,
        ).eval()
        self.bottleneck.takes = net.input_shape
        if draw is not None:
            self._build(net, draw)
        return net

    @property
    def own(self) -> bool:
        """Whether the network is a pair of the user's own modules."""
        return isinstance(self.p.network, tuple)

    @property
    def mapped(self) -> bool:
        """Whether a code is some numbers at each place of a map."""
        return not self.own and bool(self.p.network.mapped)

    def linear(self, shape: tuple[int, ...]) -> bool:
        """Whether a linear way leads beside the network for such samples.

        Nothing may squash code or mean, and the samples of a network of images must be small.
        """
        p = self.p
        if not p.linear or self.own or p.latent_dim is None or self.mapped:
            return False
        squashed = p.code_activation != "identity" or p.output_activation not in (None, "identity")
        small = not p.network.images or math.prod(shape) * p.latent_dim <= LINEAR
        return bool(self._hidden and small and not squashed)

    @property
    def _hidden(self) -> tuple[int, ...]:
        """The units of the hidden layers."""
        return self.p.network.hidden if self.p.hidden is None else self.p.hidden

    def _own(self) -> tuple[nn.Module, nn.Module]:
        encoder, decoder = copy.deepcopy(self.p.network)
        last = list(decoder.modules())[-1]
        if isinstance(last, nn.Sigmoid | nn.Tanh):
            raise InputError(
                f"The decoder ends in {type(last).__name__}: leave it out, output_activation adds"
                " it."
            )
        return encoder, decoder

    def _pair(
        self, shape: tuple[int, ...], per_value: int, given: int, draw: Generator | None
    ) -> tuple[nn.Module, nn.Module]:
        p, network = self.p, self.p.network
        network.check(shape)
        sizes = networks.Sizes(
            shape,
            self._hidden,
            p.latent_dim,
            p.activation,
            p.code_activation,
            self.bottleneck.outputs,
            per_value,
            given,
            self.linear(shape),
        )
        return networks.build(network, sizes, p.init, draw)

    def _likelihood(self, intake: Intake, scaling: Scaling) -> Likelihood:
        """With its output activation; both must suit each other, the scaling and the network."""
        p, linear, likelihood = self.p, self.linear(intake.shape), self.p.likelihood
        if intake.table is not None:
            likelihood = likelihood.of_table(scaling)
        likelihood = likelihood.of_images(intake.image_shape, scaling)
        bounded = self.own or (p.network.bounded and not linear)
        usual = likelihood.usual_activation(p.scaling, bounded=bounded)
        activation = p.output_activation or usual
        if not self.own:
            p.network.check_output(activation)
        likelihood.check(p.scaling, activation, intake.dtype)
        found: Likelihood = likelihood.after(activation)
        return found.within(scaling.low, scaling.high) if linear else found

    def _build(self, net: Net, draw: Generator) -> None:
        """Let the bottleneck see what the encoder gives; refuse an own pair that does not fit."""
        first = next(net.encoder.parameters(), net.scaling.shift)
        x = net.shaped(torch.zeros(2, net.features, device=first.device))
        where = f"encoder cannot take a batch of shape (B, {', '.join(map(str, net.input_shape))})"
        with torch.no_grad():
            encode = net.encoding(None)
            shape = tuple(_attempt(where, encode, x).shape[1:])
            if len(shape) != 1:
                raise InputError(
                    f"A code must be a vector, but the encoder gives {shape}: flatten it."
                )
            net.bottleneck.build(shape, draw)
            if not self.own:
                return
            z = _attempt(where, net.bottleneck, encode, x).mean
            y = _attempt(f"decoder cannot take codes of shape {tuple(z.shape)}", net.decoded, z)
        wanted = net.likelihood.per_value * net.features
        if (found := y[0].numel() - net.likelihood.beside) != wanted:
            raise InputError(
                f"The decoder gives {found} values a sample, but a sample has {wanted}."
            )


def _attempt(failure: str, run: Callable[..., Any], *given: Any) -> Any:
    """What `run` makes of what is given; a failure of an own module in a sentence."""
    try:
        return run(*given)
    except (RuntimeError, ValueError, AttributeError) as error:
        raise InputError(f"The {failure}: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class Fitted:
    """A fitted model: its net, what it takes, and how it came to be.

    `config` are the parameters as files have them, `history` a list of numbers for each column,
    `step_loss` the loss of each step (float32, in `loss_unit`), `code_range` (2, K) the range in
    which nearly all of some codes lie, `columns` the header of a table that was read from a file,
    `usual` the signs by which other data are found unlike those (`diabolo.unlike`), `moments` the
    state of the optimiser that `partial_fit` goes on with.
    """

    net: Net
    config: dict[str, Any]
    intake: Intake
    seed: int
    code_range: np.ndarray
    history: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in HISTORY})
    step_loss: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    columns: list[str] | None = None
    data: dict[str, int | str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    usual: dict[str, list[float]] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    moments: dict[str, Tensor] = field(default_factory=dict)

    @property
    def fitted_config(self) -> dict[str, Any]:
        return self.config

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.intake.sample_shape

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        return self.intake.image_shape

    @property
    def grid(self) -> tuple[int, ...] | None:
        return self.intake.grid

    @property
    def dtype(self) -> str:
        return self.intake.dtype

    @property
    def n_features_in(self) -> int:
        return self.intake.features

    @property
    def feature_names_in(self) -> np.ndarray:
        if not self.intake.names:
            raise AttributeError("The samples had no column names.")
        return np.array(self.intake.names, dtype=object)

    @property
    def code_size(self) -> int:
        return int(self.code_range.shape[1])

    @property
    def peak(self) -> float:
        return float(self.net.scaling.peak[1])

    @property
    def paired(self) -> bool:
        return "noisy_sha256" in self.data

    @property
    def loss_unit(self) -> str:
        return self.net.loss_unit

    def contents(self) -> Contents:
        """What a model file holds: a header of plain values, and tensors."""
        config = {
            "model": self.config,
            "custom_network": "network" not in self.config,
            "sample_shape": list(self.sample_shape),
            "image_shape": self.grid and list(self.grid),
            "dtype": self.dtype,
            "feature_names": list(self.intake.names),
            "columns": self.columns,
            "seed": self.seed,
            "history": self.history,
            "layers": [layer._asdict() for layer in trace(self.net)],
            "data": self.data,
            "findings": [list(finding) for finding in self.findings],
            "metrics": self.metrics,
            "versions": self.versions,
        }
        if self.intake.table is not None:
            config["table"] = self.intake.table.header()
        if self.usual:
            config["usual"] = self.usual
        if self.intake.condition is not None:
            config["condition"] = self.intake.condition.learnt
        learnt = {"step_loss": self.step_loss, "code_range": self.code_range}
        tensors = {name: torch.from_numpy(array) for name, array in learnt.items()}
        return config, self.net.state_dict() | tensors

    @classmethod
    def read(cls, plan: Plan, config: dict[str, Any], tensors: dict[str, Tensor]) -> "Fitted":
        """The record that `contents` gave; on the CPU.

        Raises ValueError, in a sentence, where these do not fit each other.
        """
        grid, condition = config["image_shape"] and tuple(config["image_shape"]), plan.p.condition
        if (config["condition"] is None) != (condition is None):
            raise ValueError("its condition does not fit its parameters.")
        if condition is not None:
            condition = condition.with_learnt(config["condition"])
        shape, names = tuple(config["sample_shape"]), tuple(config["feature_names"])
        table = None if config["table"] is None else Columns.read(config["table"])
        intake = Intake(shape, grid, config["dtype"], names, condition, table)
        if table is not None and shape != (len(table),):
            raise ValueError("its columns do not fit its samples.")
        if intake.features > LARGEST:
            raise ValueError(f"a sample has {intake.features} values, and {LARGEST} at most.")
        for names in (config["feature_names"], config["columns"]):
            if names and len(names) not in (intake.features, *(grid or ())[:1]):
                raise ValueError("the names of its columns do not fit its samples.")
        half = torch.float16  # in which weights may be kept
        tensors = {n: t.float() if t.dtype == half else t for n, t in tensors.items()}
        steps, codes = (tensors.pop(name).numpy() for name in ("step_loss", "code_range"))
        if len(plan.p.hidden or ()) > len(tensors):
            raise ValueError("it has more layers than tensors.")
        net = plan.net(intake, read_scaling(tensors, intake.features, table), None)
        with torch.device("cpu" if plan.own else "meta"):  # to compute there takes the compiler
            shape = (plan.bottleneck.outputs * codes.shape[-1],) if codes.ndim else ()
            plan.bottleneck.build(shape, torch.Generator() if plan.own else None)
        _check_alike(net, tensors)
        net.load_state_dict(tensors, assign=not plan.own)
        if not plan.own:
            networks.lay_out(net)
        if steps.ndim != 1 or steps.dtype != np.float32:
            raise ValueError("the losses of the steps are no vector.")
        same = not plan.own and plan.p.network.any_size  # its code is the sample
        size = intake.features if same else net.probe[0]
        if (codes.dtype, codes.shape) != (np.dtype(np.float32), (2, size)):
            raise ValueError("the range of the codes does not fit the network.")
        return cls(
            net,
            config["model"],
            intake,
            config["seed"],
            codes,
            history={name: config["history"][name] for name in HISTORY},
            step_loss=steps,
            columns=config["columns"],
            data=config["data"],
            findings=[Finding(*finding) for finding in config["findings"]],
            usual=config["usual"],
            metrics=config["metrics"],
            versions=config["versions"],
        )


def versions() -> dict[str, str]:
    """What a model is fitted with."""
    found = {"diabolo": __version__, "torch": torch.__version__, "numpy": np.__version__}
    return found | {"python": platform.python_version()}


def _check_alike(net: Net, tensors: dict[str, Tensor]) -> None:
    """Refuse tensors of other names, shapes or types than those of the network."""
    wanted = {name: (t.shape, t.dtype) for name, t in net.state_dict().items()}
    given = {name: (t.shape, t.dtype) for name, t in tensors.items()}
    if wanted != given:
        odd = next(n for n in sorted({*wanted, *given}) if wanted.get(n) != given.get(n))
        raise ValueError(f"the tensor {odd!r} does not fit its network.")
