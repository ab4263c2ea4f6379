"""The fully connected network:  D -> hidden -> K and its mirror."""

import math

from torch import nn

from diabolo.networks.base import Network, Pair, Sizes, after, chain


class Dense(Network, kind="dense"):
    """Linear layers with activations, on flat batches (B, D)."""

    hidden = (256, 128)
    images = False

    def pair(self, sizes: Sizes) -> Pair:
        features = math.prod(sizes.shape)
        units = [features + sizes.given, *sizes.hidden]
        back = [*reversed(sizes.hidden), sizes.per_value * features]
        encoder = chain(units, sizes.activation)
        if sizes.latent is not None:
            encoder.append(nn.Linear(units[-1], sizes.outputs * sizes.latent))
            encoder += after(sizes.code_activation)
            back = [sizes.latent, *back]
        back[0] += sizes.given
        return nn.Sequential(*encoder), nn.Sequential(*chain(back, sizes.activation)[:-1])
