import numpy as np
import pytest
import torch

from sedcrnn.errors import ConfigError
from sedcrnn.networks.profile import count_parameters
from sedcrnn.networks.visual import VisualNetwork


@pytest.fixture
def network():
    torch.manual_seed(0)
    return VisualNetwork(scenes=4, backbone="resnet18", hidden=3).eval()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_step_by_hand(state, given, weights, suffix):
    """One step of the GRU with the reset gate applied after the recurrent matrix (Keras' reset_after, cuDNN)."""
    from_input = weights[f"weight_ih_{suffix}"] @ given + weights[f"bias_ih_{suffix}"]
    from_state = weights[f"weight_hh_{suffix}"] @ state + weights[f"bias_hh_{suffix}"]
    reset, update, new = np.split(from_input, 3)
    reset_state, update_state, new_state = np.split(from_state, 3)
    reset, update = sigmoid(reset + reset_state), sigmoid(update + update_state)
    return update * state + (1 - update) * np.tanh(new + reset * new_state)


def test_parameters_are_the_papers(paper_network):
    visual = paper_network.visual
    assert count_parameters(visual) == (14_820_170, 14_820_170, 14_820_170)
    assert count_parameters(visual.gru).total == 104_832
    assert count_parameters(visual.dense).total == 650


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 2])
def test_shapes_are_the_papers(paper_network, batch):
    frames = torch.randint(0, 256, (batch, 5, 3, 32, 32), dtype=torch.uint8)
    assert paper_network.visual.embed(frames).shape == (batch, 5, 512)
    log_probabilities = paper_network.visual(frames)
    assert log_probabilities.shape == (batch, 10)
    torch.testing.assert_close(log_probabilities.exp().sum(-1), torch.ones(batch))


@torch.no_grad()
def test_classifier_by_hand(network):
    for parameter in network.gru.parameters():
        parameter.normal_(0, 0.3)
    network.dense.bias.normal_()
    embedding = torch.randn(1, 3, 512) / 10
    weights = {name: values.double().numpy() for name, values in network.gru.state_dict().items()}
    given = embedding[0].double().numpy()
    forward, backward = [np.zeros(3)], [np.zeros(3)]
    for time in range(3):
        forward.append(gru_step_by_hand(forward[-1], given[time], weights, "l0"))
        backward.append(gru_step_by_hand(backward[-1], given[2 - time], weights, "l0_reverse"))
    states = np.concatenate([forward[1:], backward[:0:-1]], axis=1)
    logits = states @ network.dense.weight.double().numpy().T + network.dense.bias.double().numpy()
    probabilities = (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).mean(0)
    np.testing.assert_allclose(network.classify(embedding).exp()[0].numpy(), probabilities, atol=1e-5)


@torch.no_grad()
def test_answer_is_the_mean_of_the_probabilities_not_of_the_logits(network):
    network.gru = StandInGru(torch.tensor([[[4.0, 0, 0, 0, 0, 0], [0, 4.0, 0, 0, 0, 0]]]))
    network.dense.weight.copy_(torch.eye(4, 6))
    network.dense.bias.zero_()
    certain, other = np.exp(4) / (np.exp(4) + 3), 1 / (np.exp(4) + 3)
    expected = torch.tensor([[(certain + other) / 2, (certain + other) / 2, other, other]]).float()
    torch.testing.assert_close(network.classify(torch.zeros(1, 2, 512)).exp(), expected)


@torch.no_grad()
def test_log_probabilities_stay_finite_for_extreme_logits(network):
    network.dense.weight.mul_(1e6)
    log_probabilities = network.classify(torch.randn(8, 5, 512))
    assert log_probabilities.isfinite().all()
    assert log_probabilities.min() < -1000  # a softmax would have given 0, and its logarithm -inf
    torch.testing.assert_close(log_probabilities.exp().sum(-1), torch.ones(8))


def test_dropout_acts_in_training_only(network):
    embedding = torch.randn(1, 5, 512)
    torch.testing.assert_close(network.classify(embedding), network.classify(embedding), atol=0, rtol=0)
    network.train()
    assert not torch.equal(network.classify(embedding), network.classify(embedding))


@torch.no_grad()
def test_mean_over_time_is_classified_once():
    network = VisualNetwork(scenes=4, backbone="test_resnet", temporal="mean").eval()
    embedding = torch.randn(2, 5, network.encoder.embedding)
    logits = embedding.mean(1) @ network.dense.weight.T + network.dense.bias
    torch.testing.assert_close(network.classify(embedding), logits.log_softmax(-1))
    assert count_parameters(network).total == count_parameters(network.encoder, network.dense).total


@torch.no_grad()
def test_attention_weighs_the_frames_by_its_query():
    network = VisualNetwork(scenes=4, backbone="test_resnet", temporal="attention", hidden=2).eval()
    size = network.encoder.embedding
    assert count_parameters(network.attention).total == 2 * size + 2
    network.attention.key.weight.copy_(torch.eye(2, size))
    network.attention.query.weight.copy_(torch.tensor([[3.0, 0.0]]))
    embedding = torch.zeros(1, 2, size)
    embedding[0, 0, 0], embedding[0, 1, 1] = 1.0, 1.0
    # Scores: 3 * tanh(1) = 2.2847825 and 0; the first frame's weight is sigmoid(2.2847825).
    expected = torch.zeros(1, 1, size)
    expected[0, 0, 0], expected[0, 0, 1] = 0.9076089, 0.0923911
    torch.testing.assert_close(network.attention(embedding), expected, atol=1e-6, rtol=0)
    logits = expected[:, 0] @ network.dense.weight.T + network.dense.bias
    torch.testing.assert_close(network.classify(embedding), logits.log_softmax(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("temporal", ["gru", "mean", "attention"])
def test_gradients_reach_every_parameter_of_every_temporal_head(temporal):
    network = VisualNetwork(
        scenes=4, backbone="test_vit", frame_pooling="model", height=32, width=32, temporal=temporal
    )
    network(torch.rand(2, 5, 3, 32, 32)).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_a_temporal_head_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match=r"temporal head is 'atention'.*nearest is 'attention'"):
        VisualNetwork(backbone="test_resnet", temporal="atention")


class StandInGru(torch.nn.Module):
    """Answers with given states."""

    def __init__(self, states):
        super().__init__()
        self.states = states

    def forward(self, _):
        return self.states, None
