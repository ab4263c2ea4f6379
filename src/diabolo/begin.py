"""Where training begins: a network with a linear way at the best linear method.

That is PCA, for a VAE probabilistic PCA, for a denoising model the best linear denoiser.
"""

import torch

from diabolo.beside import Beside
from diabolo.data.source import Source
from diabolo.linear import Reduced, reduced
from diabolo.net import Net
from diabolo.train import generator

ROWS, PRODUCTS = 4096, 2**34  # samples that are looked at, or so many products of their values
VALUES = 2**26  # of all samples that are looked at, at most


@torch.autocast("cpu", enabled=False)
def begin(net: Net, source: Source, seed: int) -> None:
    """Set the linear way of a network on the CPU, where it has one, to what suits the samples."""
    encoder, decoder = net.encoder, net.decoder
    if not (isinstance(encoder, Beside) and isinstance(decoder, Beside)):
        return
    size = net.probe[0]
    found = _found(net, source, size, seed)
    encode, decode, variances, mean_x, mean_y = (
        torch.from_numpy(part).float()
        for part in (found.encode, found.decode, found.variances, found.mean_x, found.mean_y)
    )
    scale, further = net.bottleneck.begin(variances)
    encode, decode = scale[:, None] * encode, scale[:, None] * decode
    encoder.begin(encode, -encode @ mean_x, size, further)
    decoder.begin(*net.likelihood.begin(mean_y, decode))


def _found(net: Net, source: Source, size: int, seed: int) -> Reduced:
    """The best linear method for scaled rows, as the encoder sees them and as they should be."""
    draw = generator(seed, "begin")
    most = min(max(ROWS, PRODUCTS // net.features**2), VALUES // net.features + size)
    batch = source.take(torch.randperm(len(source), generator=draw)[:most].sort().values)
    seen, clean = net.seen(batch, draw)
    x = seen.numpy()
    return reduced(x, x if seen is clean else clean.numpy(), size, seed=seed)
