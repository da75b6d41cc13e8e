"""Fresh layer -> the same layer with Keras' default weights, which the authors trained from."""

from typing import TypeVar

from torch import nn

Kernel = TypeVar("Kernel", nn.Conv2d, nn.Linear)
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear, nn.GRU, nn.MultiheadAttention)

# Keras' truncated normal is cut at two deviations and widened by this, so that its deviation is the nominal one.
_TRUNCATED_DEVIATION = 0.87962566103423978


def glorot(layer: Layer) -> Layer:
    """Glorot uniform kernels, orthogonal recurrent kernels, zero biases (the defaults of Keras' Conv2D, Dense, GRU).

    The three gates of a GRU, and the queries, keys and values of attention, are one matrix that is drawn as a whole, as
    in Keras: the fan-out is three times the units, and the columns of the (3 * units, units) matrix are orthonormal.
    """
    for name, parameter in layer.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(parameter)
        else:
            nn.init.xavier_uniform_(parameter)
    return layer


def he(layer: Kernel) -> Kernel:
    """He normal kernel of a dense or 1x1 convolutional layer without bias (Keras' `he_normal`: truncated at two
    deviations)."""
    deviation = (2 / layer.weight.shape[1]) ** 0.5 / _TRUNCATED_DEVIATION
    nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    return layer
