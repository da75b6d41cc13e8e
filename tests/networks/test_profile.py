import pytest
import torch

from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.freezing import freeze
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.profile import count_multiply_accumulates, count_parameters, layer_table
from sedcrnn.networks.visual import VisualNetwork


def rows(table):
    """Name -> the row's other columns."""
    lines = table.split("\n\n")[0].splitlines()[1:]
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}


@pytest.fixture(scope="module")
def seconds():
    return {"spectrogram": torch.zeros(2, 3, 64, 50), "frames": torch.zeros(2, 5, 3, 224, 224, dtype=torch.uint8)}


@pytest.fixture(scope="module")
def paper_table(paper_network, seconds):
    return layer_table(paper_network, seconds)


def test_frozen_parameters_are_not_trainable(small_network):
    whole, audio = count_parameters(small_network), count_parameters(small_network.audio)
    freeze(small_network.audio)
    assert count_parameters(small_network) == (whole.total, whole.total - audio.total, whole.keras)


def test_layers_stand_in_the_order_in_which_they_run(paper_table):
    names = list(rows(paper_table))
    assert names[0] == "audio.blocks.block1.conv_shortcut"
    assert names.index("audio.pool") < names.index("audio.dense") < names.index("visual.encoder.backbone.features.0")
    assert names[-5:] == ["visual.gru", "visual.dense", "early.gru", "early.dense", "late"]
    assert not any("dropout" in name for name in names)  # neither parameters nor another shape


def test_rows_give_shape_and_keras_parameters(paper_table):
    table = {name: row.split(maxsplit=1) for name, row in rows(paper_table).items()}
    shapes = {name: " ".join(row[1].split()[:-1]) for name, row in table.items()}
    parameters = {name: int(row[1].split()[-1].replace(",", "")) for name, row in table.items()}
    assert shapes["audio.blocks.pool2"] == "1 x 64 x 64 x 12"
    assert shapes["visual.encoder.backbone.features.30"] == "5 x 512 x 7 x 7"
    assert (shapes["visual.gru"], parameters["visual.gru"]) == ("1 x 5 x 64", 104_832)
    assert parameters["audio.blocks.block3.norm2"] == 4 * 128
    assert sum(parameters.values()) == 15_416_148


def test_parts_have_subtotals_of_parameters_and_cost(paper_table, paper_network, seconds):
    lines = paper_table.split("Parts:\n")[1].split("\n\n")[0].splitlines()
    subtotals = {line.split()[0]: (line.split()[1], line.split()[3]) for line in lines}
    assert {part: parameters for part, (parameters, _) in subtotals.items()} == {
        "audio": "323,274",
        "visual": "14,820,170",
        "early": "272,394",
        "late": "310",
    }
    for part in ("audio", "visual"):
        cost = count_multiply_accumulates(getattr(paper_network, part), seconds)
        assert subtotals[part][1] == f"{cost / 1e9:.3f}"
    assert subtotals["early"][1] == f"{(5 * 2 * 192 * (640 + 64) + 128 * 10) / 1e9:.3f}"


def test_foot_gives_totals_and_cost(paper_table):
    assert "Parameters: 15,414,804, of which 15,414,804 trainable." in paper_table
    assert "here and in the table: 15,416,148." in paper_table
    assert "Cost: 77.04 GMAC per second of scene." in paper_table


def test_multiply_accumulates_by_formula(paper_network, seconds):
    blocks = [(3, 32, 50), (32, 64, 25), (64, 128, 12)]  # channels in and out, frames; 64 bands
    convolutions = sum(64 * frames * to * (9 * given + 9 * to + given + 1) for given, to, frames in blocks)
    audio = convolutions + sum(to * to for _, to, _ in blocks) + 128 * 10
    vgg16 = 5 * 15_346_630_656
    visual = vgg16 + 5 * 2 * 96 * (512 + 32) + 5 * 64 * 10
    fusion = audio + visual + 5 * 2 * 192 * (640 + 64) + 128 * 10 + 30 * 10
    assert count_multiply_accumulates(paper_network.audio, seconds) == audio
    assert count_multiply_accumulates(paper_network.visual, seconds) == visual
    assert count_multiply_accumulates(paper_network, seconds) == fusion


def test_attention_and_parameters_outside_layers_are_counted():
    audio = AudioNetwork(scenes=4, filters=(4, 6), frame_pooling=(2, 2))
    visual = VisualNetwork(4, "test_vit", "model", "raw", height=32, width=32, temporal="mean")
    network = FusionNetwork(audio, visual, hidden=6, early="cross_attention").eval()
    inputs = {"spectrogram": torch.zeros(1, 3, 8, 50), "frames": torch.zeros(1, 5, 3, 32, 32)}
    table = {name: row.split() for name, row in rows(layer_table(network, inputs)).items()}
    parameters = {name: int(row[-1].replace(",", "")) for name, row in table.items()}
    assert sum(parameters.values()) == count_parameters(network).keras
    assert parameters["early.to_visual"] == 4 * 12 * 12 + 4 * 12
    assert parameters["visual.encoder"] == (1 + 5) * 64  # class token and positions
    # Patches, then in each of 6 blocks four projections, scores and weighted sums over 5 tokens, and two dense layers.
    block = 5 * 64 * 64 * (4 + 2 * 3) + 2 * 5 * 5 * 64
    vit = 4 * 3 * 16 * 16 * 64 + len(network.visual.encoder.backbone.blocks) * block
    assert count_multiply_accumulates(network.visual, inputs) == 5 * vit + 64 * 4
    early = 5 * (6 + 64) * 12 + 2 * (4 * 5 * 12 * 12 + 2 * 5 * 5 * 12) + 24 * 4
    parts = sum(count_multiply_accumulates(part, inputs) for part in (network.audio, network.visual))
    assert count_multiply_accumulates(network, inputs) == parts + early + 12 * 4


def test_the_network_is_left_as_it_is(small_network, one_second):
    before = {name: values.clone() for name, values in small_network.state_dict().items()}
    layer_table(small_network, one_second)
    assert small_network.training
    assert all(torch.equal(values, before[name]) for name, values in small_network.state_dict().items())
    assert not any(module._forward_hooks for module in small_network.modules())
