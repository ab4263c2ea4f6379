"""Where training begins: a network with a linear way at the best linear method.

That is PCA, for a VAE probabilistic PCA, for a denoising model the best linear denoiser.
"""

import torch
from torch import Tensor

from diabolo.beside import Beside
from diabolo.data.source import Source
from diabolo.linear import reduced
from diabolo.net import Net
from diabolo.train import generator

ROWS, PRODUCTS = 4096, 2**34  # samples that are looked at, or so many products of their values
VALUES = 2**26  # of all samples that are looked at, at most


@torch.autocast("cpu", enabled=False)
def begin(net: Net, source: Source, seed: int) -> None:
    """Set the linear way of a network on the CPU, where it has one, to what suits the samples."""
    encoder, decoder = net.encoder, net.likelihood.before(net.decoder)
    if not (isinstance(encoder, Beside) and isinstance(decoder, Beside)):
        return
    size, (seen, clean, given) = net.probe[0], _batch(net, source, seed)
    x = net.scaling.filled(seen).numpy()
    y = x if seen is clean else net.scaling.filled(clean).numpy()
    found = reduced(x, y, size, seed=seed)
    encode, decode, variances, mean_x, mean_y = (
        torch.from_numpy(part).float()
        for part in (found.encode, found.decode, found.variances, found.mean_x, found.mean_y)
    )
    scale, further = net.bottleneck.begin(variances)
    encode, decode = scale[:, None] * encode, scale[:, None] * decode
    encoder.begin(encode, -encode @ mean_x, size, further)
    decoder.begin(*net.likelihood.begin(mean_y, decode))
    if not net.likelihood.tabular:
        return
    with torch.no_grad():
        code = net.bottleneck(net.encoding(given), net.shaped(seen)).mean
        net.likelihood.settle(net.decoder, net.decoded(code, given), clean)


def _batch(net: Net, source: Source, seed: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """Scaled rows as the encoder sees them and as they should be, and what is given beside."""
    draw = generator(seed, "begin")
    most = min(max(ROWS, PRODUCTS // net.features**2), VALUES // net.features + net.probe[0])
    batch = source.take(torch.randperm(len(source), generator=draw)[:most].sort().values)
    return *net.seen(batch, draw), batch.given
