"""The shared training step, with values by hand."""

from typing import Any

import pytest
import torch
from torch import nn

from sedcrnn.augmentation.batch_augmentation import draw_mixup_weights, mixup, without
from sedcrnn.errors import ConfigError
from sedcrnn.training.losses import l2_penalty
from sedcrnn.training.modules import AudioModule, FusionModule, SceneModule, VisualModule

AUDIO = {"_target_": "sedcrnn.networks.audio.AudioNetwork", "scenes": 3, "filters": [2, 2, 4]}
VISUAL = {
    "_target_": "sedcrnn.networks.visual.VisualNetwork",
    "scenes": 3,
    "backbone": "test_resnet",
    "normalisation": "imagenet",
    "hidden": 2,
}
FUSION = {"_target_": "sedcrnn.networks.fusion.FusionNetwork", "audio": AUDIO, "visual": VISUAL, "hidden": 2}


def module(kind: type[SceneModule], network: dict[str, Any], **recipe: Any) -> SceneModule:
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "batch_size": 4,
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
        "learning_rates": {},
        "mixup_alpha": 0.0,
        "modality_dropout": 0.0,
        "head_weights": {},
        "frozen": [],
        "frozen_dropout": False,
        "mixup_partners": "batch",
        "mixup_embeddings": 0.0,
        "watched": "log_loss",
        "loss": {"class_weights": None, "label_smoothing": 0.0, "focal_gamma": 0.0},
        "l2": {},
        "scheduler": {
            "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
            "factor": 0.5,
            "patience": 2,
            "threshold": 1e-4,
            "threshold_mode": "abs",
        },
        "early_stopping_patience": 9,
        "compile": False,
        "gradient_checkpointing": False,
    }
    return kind(network, settings | recipe, ["a", "b", "c"], {}, {}, [], seed=0)


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        "spectrogram": 2 * torch.rand(4, 3, 16, 50, generator=generator) - 1,
        "frames": torch.randint(0, 256, (4, 5, 3, 32, 32), generator=generator, dtype=torch.uint8),
        "scene": torch.tensor([0, 1, 2, 2]),
    }


def test_mixup_by_hand() -> None:
    inputs = {"spectrogram": torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 0.0]])}
    target = torch.eye(3)
    mixed, label = mixup(inputs, target, torch.tensor([0.75, 0.5, 1.0]), partners=torch.tensor([1, 2, 0]))
    assert mixed["spectrogram"].tolist() == [[1.5, 3.0], [4.0, 3.0], [5.0, 0.0]]
    assert label.tolist() == [[0.75, 0.25, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]


def test_mixup_weights_follow_beta() -> None:
    torch.manual_seed(0)
    weights = draw_mixup_weights(20_000, 0.4)
    assert weights.mean().item() == pytest.approx(0.5, abs=0.01)
    assert weights.var().item() == pytest.approx(0.25 / 1.8, abs=0.005)  # of Beta(0.4, 0.4)


def test_the_loss_is_cross_entropy_of_the_answer(batch: dict[str, torch.Tensor]) -> None:
    trained = module(AudioModule, AUDIO).eval()
    loss = trained.training_step(batch, 0)
    logits = trained.network.heads(spectrogram=batch["spectrogram"])["audio"]
    expected = torch.nn.functional.cross_entropy(logits, batch["scene"])
    torch.testing.assert_close(loss, expected)


def test_fusion_weighs_the_losses_of_its_heads(batch: dict[str, torch.Tensor]) -> None:
    trained = module(FusionModule, FUSION, head_weights={"early": 0.5, "late": 2.0}).eval()
    heads = trained.network.heads(spectrogram=batch["spectrogram"], frames=batch["frames"])
    losses = {head: torch.nn.functional.cross_entropy(logits, batch["scene"]) for head, logits in heads.items()}
    torch.testing.assert_close(trained.training_step(batch, 0), 0.5 * losses["early"] + 2 * losses["late"])
    # the visual network's log-probabilities are logits whose softmax is the probabilities themselves
    torch.testing.assert_close(heads["visual"].exp().sum(-1), torch.ones(4))


def test_l2_counts_kernels_of_the_named_part_only() -> None:
    trained = module(VisualModule, VISUAL, l2={"dense": 0.1})
    dense = trained.network.get_submodule("dense")
    assert isinstance(dense, nn.Linear)
    nn.init.constant_(dense.weight, 0.5)
    nn.init.constant_(dense.bias, 7.0)
    assert torch.as_tensor(l2_penalty(trained.l2)).item() == pytest.approx(0.1 * 0.25 * dense.weight.numel())


def test_l2_of_convolutions_and_of_dense_layers_by_hand() -> None:
    trained = module(FusionModule, FUSION, l2={"visual.encoder": 2e-4, "visual.dense": 1e-3})
    visual = trained.network.get_submodule("visual")
    squares = 0.0
    for layer in visual.modules():
        if isinstance(layer, nn.Conv2d):
            squares += 2e-4 * float(layer.weight.detach().double().pow(2).sum())
    dense = visual.get_submodule("dense").weight
    assert isinstance(dense, nn.Parameter)
    squares += 1e-3 * float(dense.detach().double().pow(2).sum())
    assert torch.as_tensor(l2_penalty(trained.l2)).item() == pytest.approx(squares, rel=1e-5)


def test_parts_have_their_own_learning_rates_and_the_plateau_multiplies_all() -> None:
    trained = module(
        FusionModule, FUSION, learning_rates={"visual.encoder": 1e-4, "audio": 2e-3}, frozen=["audio.dense"]
    )
    configured: Any = trained.configure_optimizers()
    groups, schedule = configured["optimizer"].param_groups, configured["lr_scheduler"]["scheduler"]
    assert [group["lr"] for group in groups] == [0.01, 1e-4, 2e-3]
    network = trained.network
    assert groups[1]["params"] == list(network.get_submodule("visual.encoder").parameters())
    assert groups[2]["params"] == list(network.get_submodule("audio.blocks").parameters())
    rest = [
        p for name in ("visual.gru", "visual.dense", "early", "late") for p in network.get_submodule(name).parameters()
    ]
    assert {id(p) for p in groups[0]["params"]} == {id(p) for p in rest}
    for _ in range(4):
        schedule.step(1.0)
    assert [group["lr"] for group in groups] == pytest.approx([0.005, 5e-5, 1e-3])


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"learning_rates": {"encodr": 0.1}}, "'encoder'"),
        ({"learning_rates": {"encoder": 0.1, "encoder.backbone.conv1": 0.1}}, "One is inside the other"),
        ({"learning_rates": {"encoder": 0.1}, "frozen": ["encoder"]}, "of which nothing is trained"),
        ({"compile": True, "gradient_checkpointing": True}, "both true"),
    ],
)
def test_what_contradicts_itself_in_a_recipe_is_refused(recipe: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        module(VisualModule, VISUAL, **recipe)


def test_frozen_means_no_gradient_and_untouched_statistics(batch: dict[str, torch.Tensor]) -> None:
    trained = module(FusionModule, FUSION, frozen=["audio", "visual"])
    before = {name: value.clone() for name, value in trained.network.state_dict().items()}
    trained.train()
    assert trained.network.training
    assert not trained.network.get_submodule("audio").training
    optimizer = trained.configure_optimizers()["optimizer"]  # type: ignore[index, call-overload]
    for _ in range(2):
        optimizer.zero_grad()
        trained.training_step(batch, 0).backward()
        optimizer.step()
    after = trained.network.state_dict()
    changed = {name.split(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"early", "late"}
    assert all(p.grad is None for p in trained.network.get_submodule("visual").parameters())


def test_names_of_parts_and_heads_that_do_not_exist_are_errors() -> None:
    with pytest.raises(ConfigError, match="'encoder'"):
        module(VisualModule, VISUAL, frozen=["encodr"])
    with pytest.raises(ConfigError, match="'late'"):
        module(FusionModule, FUSION, head_weights={"lat": 1.0})


def test_a_batch_of_one_trains(batch: dict[str, torch.Tensor]) -> None:
    one = {name: value[:1] for name, value in batch.items()}
    loss = module(FusionModule, FUSION, mixup_alpha=0.3).train().training_step(one, 0)
    assert torch.isfinite(loss)


def test_modality_dropout_acts_in_training_alone(batch: dict[str, torch.Tensor]) -> None:
    trained = module(FusionModule, FUSION, modality_dropout=1.0).eval()
    torch.manual_seed(0)
    assert (torch.rand(4) < 1).all()  # every example loses one of the two
    silent = torch.rand(4) < 0.5
    assert 0 < silent.sum() < 4
    expected = without(without(batch, "spectrogram", silent), "frames", ~silent)
    torch.manual_seed(0)
    loss = trained.training_step(dict(batch), 0)
    logits = trained.network.heads_of(expected)["late"]
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, batch["scene"]))
    complete = trained._step(dict(batch), "validation")
    logits = trained.network.heads_of(batch)["late"]
    torch.testing.assert_close(complete, torch.nn.functional.cross_entropy(logits, batch["scene"]))
    assert abs(complete.item() - loss.item()) > 1e-6


@pytest.mark.parametrize(
    ("kind", "network", "recipe", "words"),
    [
        (
            AudioModule,
            AUDIO,
            {"modality_dropout": 0.1},
            r"modality_dropout=0\.1 is given to a AudioModule.*FusionModule alone",
        ),
        (VisualModule, VISUAL, {"modality_dropout": 0.1}, r"modality_dropout=0\.1 is given to a VisualModule"),
        (VisualModule, VISUAL, {"head_weights": {"visual": 0.5}}, r"head_weights=.* is given to a VisualModule"),
        (SceneModule, AUDIO, {"gradient_checkpointing": True}, "gradient_checkpointing=True is given to a SceneModule"),
        (AudioModule, VISUAL, {}, "its VisualNetwork takes frames. It trains networks that take spectrogram"),
        (
            FusionModule,
            AUDIO,
            {},
            "its AudioNetwork takes spectrogram. It trains networks that take spectrogram and frames",
        ),
    ],
)
def test_a_module_refuses_what_makes_no_sense_for_it(
    kind: type[SceneModule], network: dict[str, Any], recipe: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        module(kind, network, **recipe)


def test_any_network_may_be_trained_by_the_common_module(batch: dict[str, torch.Tensor]) -> None:
    for network in (AUDIO, FUSION):
        trained = module(SceneModule, network, head_weights={"early": None}).eval()
        logits = list(trained.network.heads_of(batch).values())[-1]
        expected = torch.nn.functional.cross_entropy(logits, batch["scene"])
        torch.testing.assert_close(trained.training_step(batch, 0), expected)


def test_a_checkpoint_says_what_kind_of_network_it_holds() -> None:
    checkpoint: dict[str, Any] = {}
    module(FusionModule, FUSION).on_save_checkpoint(checkpoint)
    assert checkpoint["sedcrnn_network_kind"] == "fusion"
