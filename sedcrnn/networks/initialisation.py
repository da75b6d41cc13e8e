"""Fresh layer -> the same layer with Keras' default weights, which the authors trained from."""

from typing import TypeVar

from torch import nn

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear, nn.GRU, nn.MultiheadAttention)

# Keras' truncated normal is cut at two deviations and widened by this, so that its deviation is the nominal one.
_TRUNCATED_DEVIATION = 0.87962566103423978


def glorot(layer: Layer) -> Layer:
    """Glorot uniform kernels, orthogonal recurrent kernels, zero biases (the defaults of Keras' Conv2D, Dense, GRU).

    A GRU's three gates share one matrix in both libraries, and like Keras' ours is drawn as a whole: the fan-out is
    three times the units, and it is the (3 * units, units) matrix whose columns are orthonormal. So are
    the queries, keys and values of attention, in torch.
    """
    for name, parameter in layer.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(parameter)
        else:
            nn.init.xavier_uniform_(parameter)
    return layer


def he(layer: nn.Linear) -> nn.Linear:
    """He normal kernel of a dense layer without bias (Keras' `he_normal`: truncated at two deviations)."""
    deviation = (2 / layer.in_features) ** 0.5 / _TRUNCATED_DEVIATION
    nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    return layer
