import math

import pytest
import torch
from torch import nn

from sedcrnn.networks.initialisation import glorot, he


def test_glorot_fills_the_whole_keras_interval():
    torch.manual_seed(0)
    dense = glorot(nn.Linear(300, 200))
    limit = math.sqrt(6 / 500)
    assert dense.weight.abs().max().item() == pytest.approx(limit, rel=1e-3)
    assert dense.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
    assert not dense.bias.any()
    convolution = glorot(nn.Conv2d(20, 30, 3))
    assert convolution.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (9 * 50)), rel=1e-2)
    assert not convolution.bias.any()


def test_gru_kernels_are_drawn_over_all_gates_at_once():
    torch.manual_seed(0)
    gru = glorot(nn.GRU(100, 32, batch_first=True, bidirectional=True))
    for direction in ("l0", "l0_reverse"):
        kernel = getattr(gru, f"weight_ih_{direction}")
        assert kernel.abs().max().item() == pytest.approx(math.sqrt(6 / (100 + 3 * 32)), rel=1e-2)
        recurrent = getattr(gru, f"weight_hh_{direction}")  # (96, 32); Keras' (32, 96) has orthonormal rows
        torch.testing.assert_close(recurrent.T @ recurrent, torch.eye(32), atol=1e-5, rtol=0)
        assert not getattr(gru, f"bias_ih_{direction}").any()
        assert not getattr(gru, f"bias_hh_{direction}").any()


def test_he_normal_is_truncated_with_the_nominal_deviation():
    torch.manual_seed(0)
    weight = he(nn.Linear(200, 400, bias=False)).weight
    deviation = math.sqrt(2 / 200)
    assert weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert weight.abs().max().item() == pytest.approx(2 * deviation / 0.8796, rel=1e-2)
