"""Where training begins: a network with a linear way at the best linear method.

That is PCA, for a VAE probabilistic PCA, for a denoising model the best linear denoiser; each of
what the best linear guess from the condition leaves over, where there is one.
"""

import torch
from torch import Tensor

from diabolo.beside import Beside
from diabolo.data.source import Source
from diabolo.linear import Reduced, reduced
from diabolo.net import Net
from diabolo.train import generator

ROWS, PRODUCTS = 4096, 2**34  # samples that are looked at, or so many products of their values
VALUES = 2**26  # of all samples that are looked at, at most


@torch.autocast("cpu", enabled=False)
def begin(net: Net, source: Source, seed: int) -> None:
    """Set the linear way of a network, where it has one, to what suits the samples."""
    encoder, decoder, device = net.encoder, net.likelihood.before(net.decoder), net.device
    if not (isinstance(encoder, Beside) and isinstance(decoder, Beside)):
        return
    size, usual = net.probe[0], getattr(net.cpu(), "usual", torch.empty(0))
    seen, clean, given = _batch(net, source.to(torch.device("cpu")), size, seed)
    mean_x, mean_y, encode, decode, variances, of_x, of_y = (
        torch.from_numpy(part).float() for part in _found(net, seen, clean, given, seed)
    )
    scale, further = net.bottleneck.begin(variances)
    encode, decode = scale[:, None] * encode, scale[:, None] * decode
    beside = -encode @ of_x.t()
    places = (encoder.linear.in_features - net.features) // max(len(usual), 1)
    everywhere = beside.repeat_interleave(places, 1) / max(places, 1)
    bias = -encode @ mean_x - beside @ usual
    encoder.begin(torch.cat([encode, everywhere], 1), bias, size, further)
    unused = decode.new_zeros(size - len(decode), net.features)
    weight, bias = net.likelihood.begin(mean_y, torch.cat([decode, unused, of_y]))
    decoder.begin(weight, bias - weight[:, size:] @ usual)
    if net.likelihood.tabular:
        with torch.no_grad():
            code = net.bottleneck(net.encoding(given), net.shaped(seen)).mean
            net.likelihood.settle(net.decoder, net.decoded(code, given), clean)
    net.to(device)


def _batch(net: Net, source: Source, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """Scaled rows as the encoder sees them and as they should be, and what is given beside."""
    draw = generator(seed, "begin")
    most = min(max(ROWS, PRODUCTS // net.features**2), VALUES // net.features + size)
    batch = source.take(torch.randperm(len(source), generator=draw)[:most].sort().values)
    return *net.seen(batch, draw), batch.given


def _found(net: Net, seen: Tensor, clean: Tensor, given: Tensor | None, seed: int) -> Reduced:
    """The best linear method for such rows, with gaps filled in."""
    x = net.filled(seen).numpy()
    y = x if seen is clean else net.filled(clean).numpy()
    beside = None if given is None else (given - net.get_buffer("usual")).numpy()
    return reduced(x, y, net.probe[0], given=beside, seed=seed)
