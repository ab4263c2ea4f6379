"""What a training may be asked for: the hyperparameters of every autoencoder."""

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from pydantic import InstanceOf
from torch import nn

from diabolo import networks
from diabolo.condition import Condition
from diabolo.corruption import Corruption
from diabolo.likelihood import Likelihood
from diabolo.networks import Network
from diabolo.params import Count, Parameters, Part, Seed

Auto = Literal["auto"]  # found from the data, see `defaults`
Kind = Annotated[
    Part[Network] | tuple[InstanceOf[nn.Module], InstanceOf[nn.Module]],
    "Kind of network, or your own pair (encoder, decoder) without the output activation.",
]


class Hyperparameters(Parameters):
    """Those of network, likelihood and training; a model adds its own."""

    latent_dim: Annotated[
        Count | Auto | None,
        "K, numbers in a code; auto: a third of a sample's, at most 32; none: the last hidden"
        " layer.",
    ] = "auto"
    hidden: Annotated[
        tuple[Count, ...] | Auto | None,
        "Units (not dense: channels) of the encoder's layers; the decoder mirrors them. auto: by"
        " the number and size of the samples; none: the network's own.",
    ] = "auto"
    network: Kind = "dense"
    image_shape: Annotated[
        tuple[Count, Count, Count] | None,
        "C,H,W of an image, of flat input to a convolutional network.",
    ] = None
    dimensions: Annotated[
        Annotated[int, Ge(1), Le(3)] | None,
        "Axes that a sample extends along: 1 of signals, (N, T) or (N, C, T); 2 of images; 3 of"
        " volumes, (N, D, H, W) or (N, C, D, H, W). none: X of two axes is a table, of three or"
        " four images, of five volumes.",
    ] = None
    linear: Annotated[
        bool,
        "A linear way beside the layers, which begins at the best linear method (PCA); only where"
        " there is a latent_dim, and no activation after code or output.",
    ] = True
    activation: Annotated[networks.Activation, "After every hidden layer."] = "leaky_relu"
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
        Part[Likelihood],
        "Of the data: gaussian (also: mse), laplace (also: mae) or bernoulli (also: bce).",
    ] = "gaussian"
    scaling: Annotated[
        Literal["auto", "unit", "symmetric", "standard"] | None,
        "To [0, 1], to [-1, 1], to mean 0 and variance 1, or none; auto: standard for tables of"
        " floats, else unit.",
    ] = "auto"
    corruption: Annotated[
        InstanceOf[Corruption] | None, "What the input suffers in training; none: nothing."
    ] = None
    condition: Annotated[
        Part[Condition] | None,
        "What encoder and decoder are given beside a sample: the y of fit, as labels or values, or"
        " the level of the noise.",
    ] = None
    epochs: Annotated[
        Count | Auto, "Passes over the training data; auto: more where there are few samples."
    ] = "auto"
    batch_size: Annotated[
        Count | Auto, "Samples in a step; auto: 128, or a sixteenth of the samples."
    ] = "auto"
    drop_last: Annotated[bool, "Leave out an epoch's last, partial batch."] = False
    optimizer: Annotated[Literal["adam", "adamw", "sgd"], "SGD has momentum 0.9."] = "adam"
    learning_rate: Annotated[
        Annotated[float, Gt(0)] | Auto,
        "Step size; the peak of a schedule that varies. auto: 0.003, less for wide samples.",
    ] = "auto"
    epsilon: Annotated[
        Annotated[float, Gt(0)], "Adam's epsilon, for the loss in nats per feature."
    ] = 1e-8
    schedule: Annotated[
        Literal["constant", "one_cycle", "cosine", "trapezoid"],
        "Learning rate over the whole training.",
    ] = "one_cycle"
    validation_fraction: Annotated[
        Annotated[float, Ge(0), Lt(1)] | Auto,
        "Share of the samples, drawn by the seed, for validation; auto: a tenth; of fewer than"
        " 1,000 a fifth, of fewer than 8 none.",
    ] = "auto"
    early_stopping: Annotated[
        Count | Auto | None,
        "Epochs without a better validation loss to stop after, with the weights of the best;"
        " auto: three quarters of them; none: never, with the last weights.",
    ] = "auto"
    warm_start: Annotated[bool, "Continue from the weights of the last fit."] = False
    device: Annotated[str, "auto (CUDA where there is one), cpu, cuda, cuda:1, ..."] = "auto"
    precision: Annotated[
        Literal["float32", "tf32", "bf16"], "Of the products in training; tf32 on CUDA only."
    ] = "float32"
    compile: Annotated[bool, "Compile encoder and decoder with torch.compile for training."] = (
        False
    )
    random_state: Annotated[
        Seed | InstanceOf[np.random.RandomState] | InstanceOf[np.random.Generator] | None,
        "Seed of everything random; none: a fresh one.",
    ] = None
    verbose: Annotated[
        bool, "Show the progress of training: in a notebook a picture of the loss."
    ] = False
