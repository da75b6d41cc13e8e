import pytest
import torch
import torch.nn.functional as functional

from sedcrnn.errors import ConfigError
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.early_fusion import CrossAttentionFusion, GatedFusion, LinearFusion
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.profile import count_parameters
from sedcrnn.networks.visual import VisualNetwork


def test_parameters_are_the_papers(paper_network):
    assert count_parameters(paper_network) == (15_414_804, 15_414_804, 15_416_148)
    early, late = paper_network.early, paper_network.late
    assert [count_parameters(part).total for part in (early.gru, early.dense, late)] == [271_104, 1_290, 310]
    assert count_parameters(early, late).total == 272_704


def test_parameters_that_each_head_needs(paper_network):
    counted = {head: count_parameters(*paper_network.parts_of(head)).keras for head in paper_network.head_names}
    assert counted == {
        "audio": 323_274,
        "visual": 14_820_170,
        "early": 323_274 - 1_290 + 14_714_688 + 271_104 + 1_290,  # without the subnetworks' classifiers
        "late": 15_416_148,
    }
    assert count_parameters(*paper_network.audio.parts_of("audio")).keras == 323_274
    with pytest.raises(KeyError):
        paper_network.audio.parts_of("late")


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 2])
def test_heads_at_full_size(paper_network, batch):
    spectrogram = torch.rand(batch, 3, 64, 50)
    frames = torch.randint(0, 256, (batch, 5, 3, 32, 32), dtype=torch.uint8)
    heads = paper_network.heads(spectrogram=spectrogram, frames=frames)
    assert tuple(heads) == paper_network.head_names == ("audio", "visual", "early", "late")
    assert all(logits.shape == (batch, 10) for logits in heads.values())
    torch.testing.assert_close(heads["audio"], paper_network.audio(spectrogram))
    torch.testing.assert_close(heads["visual"], paper_network.visual(frames))


@torch.no_grad()
def test_heads_forward_and_encoded_values_agree(small_network, one_second):
    network = small_network.eval()
    heads = network.heads(**one_second)
    again = network.decode(**network.encode(**one_second))
    for head, logits in heads.items():
        torch.testing.assert_close(logits, again[head], atol=0, rtol=0)
    torch.testing.assert_close(network(**one_second), heads["late"], atol=0, rtol=0)
    torch.testing.assert_close(network(*one_second.values()), heads["late"], atol=0, rtol=0)


def from_maps(network, audio_map, visual_steps):
    return network.decode(**network.encode_audio(audio_map), **network.encode_video(visual_steps))


@torch.no_grad()
def test_early_fusion_by_its_steps(small_network):
    network = small_network.eval()
    audio, visual = torch.randn(2, 6, 8, 12), torch.randn(2, 5, 512)
    over_bands = audio.mean(2)
    pooled = torch.stack([over_bands[..., 2 * step : 2 * step + 3].mean(-1) for step in range(5)], dim=1)
    states, _ = network.early.gru(torch.cat([pooled, visual], dim=2))
    expected = states.mean(1) @ network.early.dense.weight.T + network.early.dense.bias
    torch.testing.assert_close(from_maps(network, audio, visual)["early"], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("head", "place"), [("early", 0), ("audio", 1), ("visual", 2)])
def test_late_fusion_reads_early_audio_visual_in_that_order(small_network, one_second, head, place):
    network = small_network.eval()
    for parameter in (network.early.dense.weight, network.audio.dense.weight, network.visual.dense.weight):
        parameter.normal_()  # predictions that differ between examples
    network.late.weight.zero_()
    network.late.weight[:, 4 * place : 4 * place + 4] = torch.eye(4)
    network.late.bias.zero_()
    heads = network.heads(**one_second)
    torch.testing.assert_close(heads["late"], heads[head].softmax(-1))
    others = [name for name in ("early", "audio", "visual") if name != head]
    assert all((heads["late"] - heads[other].softmax(-1)).abs().max() > 1e-3 for other in others)


def test_gradients_reach_every_parameter(small_network, one_second):
    small_network(**one_second).square().sum().backward()
    without = [name for name, parameter in small_network.named_parameters() if parameter.grad is None]
    assert without == []


def test_unequal_time_steps_are_refused_with_both_numbers(small_network):
    with pytest.raises(ConfigError, match="gives 5 time steps, for 4 video frames"):
        from_maps(small_network, torch.rand(1, 6, 8, 12), torch.rand(1, 4, 512))
    with pytest.raises(ConfigError, match="has 2 pooled frames, and 3 make a time step"):
        from_maps(small_network, torch.rand(1, 6, 8, 2), torch.rand(1, 5, 512))


def test_unequal_scenes_are_refused_with_both_numbers():
    with pytest.raises(ConfigError, match="4 scenes, and the visual network 5"):
        FusionNetwork(AudioNetwork(scenes=4), VisualNetwork(scenes=5, backbone="resnet18"))


def variant(**fusion):
    torch.manual_seed(0)
    audio = AudioNetwork(scenes=4, filters=(4, 6), frame_pooling=(2, 2))
    visual = VisualNetwork(scenes=4, backbone="test_resnet", hidden=3)
    return FusionNetwork(audio, visual, **({"hidden": 6} | fusion)).eval()


@pytest.mark.parametrize(
    ("fusion", "heads", "added"),
    [
        ({"early": "gated"}, ("early", "late"), 128 * 128 + 128 * 512 + 128 * 640 + 1_290 + 310),
        ({"early": "cross_attention"}, ("early", "late"), 217_354 + 310),
        ({"early": "linear", "late": "none"}, ("early",), (128 + 512) * 10 + 10),
        ({"early": "none"}, ("late",), 20 * 10 + 10),
        ({"late": "average"}, ("early", "late"), 271_104 + 1_290),
        ({"late": "none"}, ("early",), 271_104 + 1_290),
        ({"early": "none", "late": "average"}, ("late",), 0),
    ],
)
def test_each_kind_has_its_heads_and_parameters(paper_network, fusion, heads, added):
    network = FusionNetwork(paper_network.audio, paper_network.visual, **fusion).eval()
    assert network.head_names == ("audio", "visual", *heads)
    assert count_parameters(network).total == 321_930 + 14_820_170 + added
    known = {"audio": 323_274, "visual": 14_820_170, "late": 323_274 + 14_820_170 + added}
    if network.early is not None:
        known["early"] = 323_274 - 1_290 + 14_714_688 + count_parameters(network.early).total
    for head in network.head_names:
        assert count_parameters(*network.parts_of(head)).keras == known[head]
    with torch.no_grad():
        answers = from_maps(network, torch.rand(2, 128, 64, 12), torch.rand(2, 5, 512))
    assert tuple(answers) == network.head_names
    assert all(logits.shape == (2, 10) and logits.isfinite().all() for logits in answers.values())


@torch.no_grad()
@pytest.mark.parametrize(("early", "averaged"), [("none", ["audio", "visual"]), ("gru", ["audio", "visual", "early"])])
def test_average_is_the_mean_of_the_probabilities(early, averaged):
    network = variant(early=early, late="average")
    for name, parameter in network.named_parameters():
        if name.endswith("dense.weight"):
            parameter *= 20  # predictions that differ
    heads = from_maps(network, torch.randn(2, 6, 8, 12), 3 * torch.randn(2, 5, network.visual.encoder.embedding))
    probabilities = torch.stack([heads[name].softmax(-1) for name in averaged])
    assert probabilities.std(0).max() > 0.1
    torch.testing.assert_close(heads["late"].exp(), probabilities.mean(0))
    torch.testing.assert_close(heads["late"].exp().sum(-1), torch.ones(2))


@torch.no_grad()
def test_average_stays_finite_where_a_probability_vanishes():
    network = variant(early="none", late="average")
    sure = torch.tensor([[1000.0, 0, 0, 0]])
    late = network.decode(torch.zeros(1, 5, 6), torch.zeros(1, 5, network.visual.encoder.embedding), sure, sure)["late"]
    torch.testing.assert_close(late, torch.tensor([[0.0, -1000, -1000, -1000]]))


@torch.no_grad()
@pytest.mark.parametrize("early", ["gru", "none"])
@pytest.mark.parametrize("late", ["learned", "average"])
def test_an_average_of_experts_in_log_probabilities_by_arithmetic(early, late):
    network = variant(early=early, late=late, late_inputs="log_probabilities", late_start="average")
    experts = {"audio": [0.7, 0.1, 0.1, 0.1], "visual": [0.2, 0.4, 0.3, 0.1], "early": [0.25] * 4}
    logits = {head: torch.tensor([experts[head]]).log() + 3 for head in experts}  # a constant is no evidence
    if network.early is not None:
        network.early.register_forward_hook(lambda *_: logits["early"])
    steps = torch.zeros(1, 5, 6), torch.zeros(1, 5, network.visual.encoder.embedding)
    answer = network.decode(*steps, logits["audio"], logits["visual"])["late"].softmax(-1)
    products = torch.tensor([0.14, 0.04, 0.03, 0.01])  # audio x visual; early adds nothing but its share of the root
    powers = products ** (1 / len(network.fused_heads))
    torch.testing.assert_close(answer[0], powers / powers.sum())


@torch.no_grad()
def test_late_fusion_of_probabilities_started_as_their_average_has_them_as_logits():
    network = variant(early="none", late_start="average")
    logits = torch.tensor([[0.5, 0.3, 0.1, 0.1]]).log(), torch.tensor([[0.1, 0.1, 0.6, 0.2]]).log()
    late = network.decode(torch.zeros(1, 5, 6), torch.zeros(1, 5, network.visual.encoder.embedding), *logits)["late"]
    torch.testing.assert_close(late, torch.tensor([[0.3, 0.2, 0.35, 0.15]]))


def test_the_start_of_late_fusion_changes_no_other_weight_and_no_name():
    papers = variant().state_dict()
    averaged = variant(late_inputs="log_probabilities", late_start="average").state_dict()
    assert papers.keys() == averaged.keys()
    assert [name for name in papers if not torch.equal(papers[name], averaged[name])] == ["late.weight"]
    assert papers["late.weight"].std() > 0.1
    assert averaged["late.weight"].sum(1).tolist() == pytest.approx([1.0] * 4)


@torch.no_grad()
@pytest.mark.parametrize("place", [0, 1])
def test_learned_late_fusion_without_early_reads_audio_and_visual(place):
    network = variant(early="none")
    network.late.weight.zero_()
    network.late.weight[:, 4 * place : 4 * place + 4] = torch.eye(4)
    heads = from_maps(network, torch.randn(2, 6, 8, 12), torch.randn(2, 5, network.visual.encoder.embedding))
    torch.testing.assert_close(heads["late"], heads[("audio", "visual")[place]].softmax(-1))


@torch.no_grad()
@pytest.mark.parametrize(("open_to", "bias"), [("audio", 100.0), ("visual", -100.0)])
def test_a_gate_lets_pass_audio_or_video(open_to, bias):
    fusion = GatedFusion(audio=3, visual=4, hidden=2, scenes=5)
    steps = {"audio": torch.rand(2, 6, 3) + 0.5, "visual": torch.rand(2, 6, 4) + 0.5}
    fusion.gate.weight.fill_(bias)  # all steps are positive
    layer = getattr(fusion, open_to)
    expected = torch.tanh(steps[open_to] @ layer.weight.T).mean(1) @ fusion.dense.weight.T
    torch.testing.assert_close(fusion(*steps.values()), expected)


@torch.no_grad()
def test_a_half_open_gate_by_arithmetic():
    fusion = GatedFusion(audio=1, visual=1, hidden=1, scenes=1)
    fusion.audio.weight.copy_(torch.tensor([[1.0], [0.0]]))
    fusion.visual.weight.copy_(torch.tensor([[0.0], [2.0]]))
    fusion.gate.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
    fusion.dense.weight.copy_(torch.tensor([[10.0, 1.0]]))
    # Step 1: tanh(1) * sigmoid(1) and tanh(2) * sigmoid(1); step 2, of zeros: 0.
    expected = (10 * 0.7615942 * 0.7310586 + 0.9640276 * 0.7310586) / 2
    given = torch.tensor([[[1.0], [0.0]]])
    torch.testing.assert_close(fusion(given, given), torch.tensor([[expected]]))


def attended_by_hand(layer, queries, keys):
    """Four heads of scaled dot products, head by head and query by query."""
    width = queries.shape[-1]
    projections = layer.in_proj_weight.split(width)
    q, k, v = (steps @ weight.T for steps, weight in zip((queries, keys, keys), projections, strict=True))
    size, heads = width // 4, []
    for start in range(0, width, size):
        part = slice(start, start + size)
        scores = torch.stack([(k[:, part] @ query) / size**0.5 for query in q[:, part]])
        heads.append(scores.softmax(-1) @ v[:, part])
    return torch.cat(heads, -1) @ layer.out_proj.weight.T


@torch.no_grad()
def test_cross_attention_by_hand():
    torch.manual_seed(1)
    fusion = CrossAttentionFusion(audio=3, visual=6, hidden=4, scenes=5)
    audio_steps, visual_steps = torch.randn(1, 4, 3), torch.randn(1, 2, 6)  # they need not be as many
    audio, visual = audio_steps[0] @ fusion.audio.weight.T, visual_steps[0] @ fusion.visual.weight.T
    new_audio = audio + attended_by_hand(fusion.to_visual, audio, visual)
    new_visual = visual + attended_by_hand(fusion.to_audio, visual, audio)
    means = [functional.layer_norm(steps, (8,)).mean(0) for steps in (new_audio, new_visual)]
    torch.testing.assert_close(
        fusion(audio_steps, visual_steps)[0], torch.cat(means) @ fusion.dense.weight.T, atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_a_linear_probe_by_arithmetic():
    probe = LinearFusion(audio=1, visual=2, hidden=7, scenes=2)
    probe.dense.weight.copy_(torch.tensor([[1.0, 10.0, 100.0], [0.0, 0.0, -1.0]]))
    probe.dense.bias.copy_(torch.tensor([0.5, 0.0]))
    audio_steps = torch.tensor([[[1.0], [3.0]]])  # mean 2
    visual_steps = torch.tensor([[[0.0, 3.0], [1.0, 3.0], [2.0, 6.0]]])  # means 1 and 4; they need not be as many
    torch.testing.assert_close(probe(audio_steps, visual_steps), torch.tensor([[2.0 + 10 + 400 + 0.5, -4.0]]))
    assert sum(parameter.numel() for parameter in probe.parameters()) == 3 * 2 + 2


@pytest.mark.parametrize(
    "fusion", [{"early": "gated"}, {"early": "cross_attention"}, {"early": "linear"}, {"early": "none"}]
)
def test_gradients_reach_every_parameter_of_other_kinds(fusion, one_second):
    network = variant(**fusion).train()
    network(**one_second).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        ({"early": "gru_"}, "early fusion is 'gru_'.*nearest is 'gru'"),
        ({"late": "avrage"}, "late fusion is 'avrage'.*nearest is 'average'"),
        ({"late_inputs": "logits"}, "input of late fusion is 'logits'.*probabilities"),
        ({"late_start": "mean"}, "start of late fusion is 'mean'.*average"),
        ({"early": "none", "late": "none"}, "Both early and late fusion are 'none'"),
        ({"early": "cross_attention", "hidden": 5}, "hidden is 5.*even number"),
    ],
)
def test_kinds_that_do_not_exist_are_refused(fusion, message):
    with pytest.raises(ConfigError, match=message):
        variant(**fusion)
