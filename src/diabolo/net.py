"""The autoencoder as a plain module:  L(x) = E[-log p(x | z)] + penalty(z, x),  x~ ~ C(x~ | x).

`Net` joins an encoder, a decoder, a bottleneck (the kind of code), a likelihood, a corruption and
the scaling of the stored values. It takes and gives flat batches (B, D) of stored values.
"""

import math
from collections.abc import Callable
from functools import cached_property
from typing import cast

import torch
from torch import Generator, Tensor, nn

from diabolo import backprop
from diabolo.beside import Beside
from diabolo.bottleneck import Bottleneck, Code, Encoder, Terms
from diabolo.condition import Condition
from diabolo.corruption import Corrupted, Corruption
from diabolo.data.source import Batch
from diabolo.draw import own
from diabolo.gaps import smoothed
from diabolo.likelihood import Likelihood
from diabolo.scaling import Scaling


class Net(nn.Module):
    """An autoencoder on flat batches of stored values."""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        bottleneck: Bottleneck,
        likelihood: Likelihood,
        corruption: Corruption | None,
        scaling: Scaling,
        input_shape: tuple[int, ...],
        image_shape: tuple[int, int, int] | None = None,
        condition: Condition | None = None,
        limits: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.limits = limits  # of stored values
        self.encoder, self.decoder = encoder, decoder
        self.bottleneck, self.likelihood = bottleneck, likelihood
        self.corruption, self.scaling = corruption, scaling
        self.input_shape, self.image_shape = input_shape, image_shape
        self.condition = condition
        if condition is not None:
            self.register_buffer("usual", torch.zeros(condition.size))

    @property
    def features(self) -> int:
        """D, the number of values in a sample."""
        return math.prod(self.input_shape)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.scaling.shift.device

    @property
    def finite(self) -> bool:
        """Whether all parameters are numbers."""
        return all(bool(p.isfinite().all()) for p in self.parameters())

    @property
    def linear(self) -> bool:
        """Whether the network is the linear method that it began at, and nothing more."""
        parts = self.encoder, self.likelihood.before(self.decoder)
        return all(isinstance(part, Beside) and part.alone for part in parts)

    @cached_property
    def probe(self) -> tuple[int, tuple[str, ...]]:
        """K, the numbers in a code, and the names of the terms of the loss."""
        x = torch.zeros(1, self.features, device=next(self.parameters()).device)
        with torch.inference_mode():
            code = self.bottleneck(self.encoding(None), self.shaped(x))
        return code.mean.shape[1], tuple(code.terms)

    def encoding(self, given: Tensor | None) -> Encoder:
        """The encoder, which sees the conditions (B, M) beside a scaled batch in its shape.

        Where none are given, another stands in: see `Condition.stand_in`.
        """
        if (condition := self.condition) is None:
            return self.encoder

        def encode(x: Tensor) -> Tensor:
            usual = self.get_buffer("usual")
            beside = condition.stand_in(x, usual) if given is None else given
            if x.ndim > 2:
                beside = beside.reshape(*beside.shape, *(1,) * (x.ndim - 2))
                beside = beside.expand(-1, -1, *x.shape[2:])
            return cast(Tensor, self.encoder(torch.cat([x, beside], 1)))

        return encode

    def joined(self, z: Tensor, given: Tensor | None) -> Tensor:
        """Codes (draws * B, K), draw by draw, with the conditions (B, M) beside them."""
        if self.condition is None:
            return z
        usual = self.get_buffer("usual")
        rows = z.shape[0]  # which a graph may leave open
        beside = usual.to(z.device).expand(rows, -1) if given is None else given
        return torch.cat([z, beside.repeat(rows // beside.shape[0], 1)], 1)

    def decoded(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """What the decoder gives for codes, (draws * B, per_value D)."""
        return cast(Tensor, self.decoder(self.joined(z, given)).flatten(1))

    @property
    def loss_unit(self) -> str:
        """The unit of losses as they are shown: the usual one, or nats where there are terms."""
        return "nats per sample" if self._termed else self.likelihood.unit

    @property
    def loss_factor(self) -> float:
        """What nats per sample are multiplied by to be in that unit."""
        return 1.0 if self._termed else self.likelihood.per_feature(1.0, self.features)

    @property
    def _termed(self) -> bool:
        """Whether its loss has terms beside the likelihood."""
        return bool(self.probe[1] or self.bottleneck.of_training)

    def loss(self, batch: Batch, generator: Generator, step: int) -> Tensor:
        """Nats per sample, (B,), of a stored batch: what training minimises the mean of."""
        corrupted, clean = self._pair(batch, generator)
        given, level = batch.given, corrupted.level
        spreads = self.corruption is not None and self.corruption.spreads
        if spreads and level is not None and self.condition is not None and self.condition.drawn:
            given = level.unsqueeze(1)
        seen = own(self.scaling.hidden(corrupted.x, generator), generator)
        clean, given = own(clean, generator), own(given, generator)
        total, terms = self.terms(seen, clean, generator, step, given=given)
        for weight, term in terms.values():
            total = total + weight * term
        return self.bottleneck.reduce(total.view(-1, len(clean)))

    def learner(self) -> Callable[..., Tensor] | None:
        """`loss` with its gradients written out; None where the network is no plain chain.

        Takes what `loss` takes and a weight; gives the losses, and leaves the gradients of their
        sum times the weight in the parameters.
        """
        if type(self.bottleneck) is not Bottleneck:
            return self.bottleneck.learner(self)
        layers = backprop.chain(self.encoder, self.decoder)
        if layers is None or self.condition is not None:
            return None

        @torch.no_grad()
        def learn(batch: Batch, generator: Generator, step: int, weight: float) -> Tensor:
            seen, clean = self.seen(batch, generator)
            seen, clean = own(seen, generator), own(clean, generator)
            tape = backprop.forward(layers, self.filled(seen))
            nll, gradient = self.likelihood.nll_and_gradient(tape[-1][2], clean)
            backprop.backward(tape, gradient.mul_(weight))
            return nll

        return learn

    def after_step(self, generator: Generator, step: int) -> None:
        """What the bottleneck learns beside the loss."""
        self.bottleneck.after_step(generator, step)
        self.bottleneck.mend(self, generator, step)

    def seen(
        self, batch: Batch, generator: Generator, *, hiding: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Scaled batches of what the encoder sees and of what it should give.

        `hiding`: with what is hidden from it in training.
        """
        corrupted, clean = self._pair(batch, generator)
        seen = corrupted.x
        return self.scaling.hidden(seen, generator) if hiding else seen, clean

    def _pair(self, batch: Batch, generator: Generator) -> tuple[Corrupted, Tensor]:
        """A scaled batch, corrupted, and what should come of it."""
        source, target, _, window = batch
        clean = self.likelihood.redrawn(self.scaling(target), generator)
        seen = clean if source is target else self.scaling(source)
        found = self.corrupted(seen, generator, window)
        return found, clean if found.target is None else found.target

    def terms(
        self,
        seen: Tensor,
        clean: Tensor,
        generator: Generator,
        step: int = 0,
        *,
        given: Tensor | None = None,
    ) -> tuple[Tensor, Terms]:
        """The nll (draws * B,) and the terms of scaled batches; codes are drawn."""
        code = self.bottleneck(self.encoding(given), self.shaped(seen), generator, step)
        draws = len(code.z) // len(clean)
        target = clean.repeat(draws, 1) if draws > 1 else clean
        return self.likelihood.nll(self.decoded(code.z, given), target), code.terms

    def encoded(self, batch: Batch, generator: Generator) -> Tensor:
        """What the encoder gives for a stored batch, as it sees it in training, (B, ...)."""
        seen, _ = self.seen(batch, generator)
        return torch.as_tensor(self.encoding(batch.given)(self.shaped(seen)))

    def nats(self, code: Code, output: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """What a loss consists of, by name, (B,): means over the draws.

        The nll and the terms, unweighted, and the bound where there is one; of a code, what was
        decoded from it, and the scaled batch that should come of it.
        """
        nll = self.likelihood.nll(output, clean.repeat(len(output) // len(clean), 1))
        parts = {"nll": nll} | {name: term for name, (_, term) in code.terms.items()}
        losses = {name: part.view(-1, len(clean)) for name, part in parts.items()}
        found = {name: loss.mean(0) for name, loss in losses.items()}
        if self.bottleneck.bound:
            found[self.bottleneck.bound] = -self.bottleneck.reduce(
                torch.stack([*losses.values()]).sum(0)
            )
        return found

    def score(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Minus the nll at the mean code, or the bound on log p(x); (B, D) -> (B,)."""
        scaled = self.scaling(x)
        codes = self.bottleneck.probes(self.encoding(given), self.shaped(scaled))
        scaled = self.likelihood.supported(scaled)
        losses = torch.stack([self._bounded(code, scaled, given) for code in codes])
        return -self.bottleneck.reduce(losses)

    def _bounded(self, code: Code, scaled: Tensor, given: Tensor | None) -> Tensor:
        """The nll of a code, with the terms of the bound where there is one."""
        nll = self.likelihood.nll(self.decoded(code.z, given), scaled)
        terms = code.terms.values() if self.bottleneck.bound else ()
        return sum((term for _, term in terms), nll)

    def corrupt(
        self, scaled: Tensor, generator: Generator, window: Tensor | None = None
    ) -> Tensor:
        """A scaled batch as the encoder sees it in training; `window`: as in a `Batch`."""
        return self.corrupted(scaled, generator, window).x

    def corrupted(
        self, scaled: Tensor, generator: Generator, window: Tensor | None = None
    ) -> Corrupted:
        """A scaled batch, flat, with what is known of its corruption."""
        if self.corruption is None:
            return Corrupted(scaled)
        x, ends = self.pictured(scaled), (self.scaling.low, self.scaling.high)
        if window is None:
            return self.corruption.corrupt(x, generator, *ends).flat()
        return self.corruption.corrupt_pieces(x, window, generator, *ends).flat()

    def check_corruption(self) -> None:
        """Raise `InputError` where the samples cannot be corrupted."""
        if self.corruption is not None:
            shape = self.image_shape or (self.features,)
            self.corruption.check(shape, self.scaling.low, self.scaling.high)

    def pictured(self, batch: Tensor) -> Tensor:
        """A flat batch (B, D) as images (B, C, H, W), where samples are images."""
        return batch if self.image_shape is None else batch.view(-1, *self.image_shape)

    def shaped(self, batch: Tensor) -> Tensor:
        """A flat batch (B, D) in the shape that the encoder takes."""
        return self.filled(batch).reshape(-1, *self.input_shape)

    @property
    def fills(self) -> bool:
        """Whether it has learnt to fill the gaps of images."""
        return self.corruption is not None and self.corruption.erases

    @property
    def of_noisy(self) -> bool:
        """Whether it has learnt from noisy samples alone."""
        return self.corruption is not None and self.corruption.of_noisy

    def filled(self, scaled: Tensor) -> Tensor:
        """A scaled batch, flat or images, as the encoder takes it: without gaps."""
        if not self.fills:
            return self.scaling.filled(scaled)
        images = self.pictured(scaled) if scaled.ndim == 2 else scaled
        return smoothed(images).view(scaled.shape)

    def coded(self, scaled: Tensor, given: Tensor | None = None) -> Tensor:
        """Mean codes (B, K) of a scaled batch (B, D)."""
        return cast(
            Tensor, self.bottleneck.mean_layer()(self.encoding(given)(self.shaped(scaled)))
        )

    def answer(self, scaled: Tensor, given: Tensor | None = None) -> Tensor:
        """What comes of a scaled batch (B, D) by its mean codes, scaled."""
        return self.likelihood.mean(self.decoded(self.coded(scaled, given), given))

    def encode(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Mean codes (B, K) of stored values (B, D)."""
        return self.coded(self.scaling(x), given)

    def decode(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """Stored values (B, D) of codes (B, K)."""
        return self.stored(self.decoded(z, given))

    @torch.inference_mode()
    def drawn(self, z: Tensor, generator: Generator, given: Tensor | None = None) -> Tensor:
        """Stored values (B, D) drawn from p(x | z), of codes (B, K); all on the CPU."""
        given = None if given is None else given.to(self.device)
        found = self.likelihood.drawn(self.decoded(z.to(self.device), given), generator)
        return self.limited(self.scaling.inverse(found)).cpu()

    def stored(self, output: Tensor) -> Tensor:
        """The mean stored values (B, D) of a decoder's output, clipped to the range they have."""
        return self.limited(self.scaling.inverse(self.likelihood.mean(output)))

    def limited(self, values: Tensor) -> Tensor:
        """Stored values clipped to the range that they have."""
        return values if self.limits is None else values.clamp(*self.limits)

    def whole(self, images: Tensor, given: Tensor | None = None) -> Tensor:
        """Stored images (B, C, H, W) of any size as a network makes them whose code they are."""
        output = self.encoding(given)(self.filled(self.scaling(images))).flatten(1)
        return self.scaling.inverse(self.likelihood.mean(output)).view(images.shape)

    @torch.no_grad()
    def judge(self, batch: Batch, generator: Generator) -> None:
        """Let a table's scaling learn how far the network is to be trusted with gaps."""
        scaled = self.scaling(batch.target)
        hidden = self.scaling.hidden(scaled, generator)
        self.scaling.judge(hidden, self.answer(hidden, batch.given), scaled)

    def fill(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Stored values (B, D), of which only gaps are filled in, from the rest of their row."""
        scaled = self.scaling(x)
        found = self.scaling.inverse(self.scaling.agreed(scaled, self.answer(scaled, given)))
        return torch.where(x.isnan(), found, x)

    def reconstruct(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Stored values (B, D) of the mean codes of stored values (B, D)."""
        return self.decode(self.encode(x, given), given)
