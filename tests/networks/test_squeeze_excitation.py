import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sedcrnn.networks.profile import count_parameters
from sedcrnn.networks.squeeze_excitation import ConvStandardPOST, PreActivationPOST, ScSE, map_mean


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def elu(x):
    return np.where(x > 0, x, np.exp(x) - 1)


def randomise(module):
    """Random weights and BN statistics, as after some training."""
    generator = torch.Generator().manual_seed(3)
    for name, values in module.state_dict().items():
        if name.endswith("running_var"):
            values.uniform_(0.5, 2, generator=generator)
        elif values.is_floating_point():
            values.normal_(0, 0.5, generator=generator)
    return module.eval()


def weights(module):
    return {name: values.double().numpy() for name, values in module.state_dict().items()}


def scse_by_hand(maps, weight):
    """Roy et al.'s two branches on one (channel, band, frame) map, position by position."""
    hidden = np.maximum(weight["squeeze.weight"] @ maps.mean((1, 2)), 0)
    by_channel = sigmoid(weight["excite.weight"] @ hidden)
    output = np.empty_like(maps)
    for band in range(maps.shape[1]):
        for frame in range(maps.shape[2]):
            here = maps[:, band, frame]
            by_position = sigmoid(weight["spatial.weight"][0, :, 0, 0] @ here)
            output[:, band, frame] = here * by_channel + here * by_position
    return output


def convolve_by_hand(maps, kernel, bias):
    reach = kernel.shape[-1] // 2
    padded = np.pad(maps, ((0, 0), (reach, reach), (reach, reach)))
    output = np.empty((len(kernel), *maps.shape[1:]))
    for channel, band, frame in np.ndindex(output.shape):
        patch = padded[:, band : band + kernel.shape[2], frame : frame + kernel.shape[3]]
        output[channel, band, frame] = (patch * kernel[channel]).sum() + bias[channel]
    return output


def normalise_by_hand(maps, weight, name):
    scale, shift, mean, var = (
        weight[f"{name}.{key}"][:, None, None] for key in ("weight", "bias", "running_mean", "running_var")
    )
    return (maps - mean) / np.sqrt(var + 1e-3) * scale + shift


def test_scse_of_one_position_by_arithmetic():
    scse = ScSE(channels=2, ratio=2)
    with torch.no_grad():
        scse.squeeze.weight.copy_(torch.tensor([[1.0, -1.0]]))
        scse.excite.weight.copy_(torch.tensor([[1.0], [2.0]]))
        scse.spatial.weight.copy_(torch.tensor([[0.5, 0.25]])[:, :, None, None])
        output = scse(torch.tensor([3.0, 1.0]).view(1, 2, 1, 1)).flatten()
    # Squeezed: relu(3 - 1) = 2; channels: sigmoid(2), sigmoid(4); position: sigmoid(0.5 * 3 + 0.25) = sigmoid(1.75).
    expected = torch.tensor([3 * (0.8807971 + 0.8519528), 1 * (0.9820138 + 0.8519528)])
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=0)


def test_scse_by_hand():
    scse = randomise(ScSE(channels=5, ratio=2))
    maps = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    expected = [scse_by_hand(example, weights(scse)) for example in maps.double().numpy()]
    np.testing.assert_allclose(scse(maps).detach().numpy(), expected, atol=1e-5)


def test_block_by_hand():
    block = randomise(ConvStandardPOST(2, 4))
    weight = weights(block)
    maps = torch.randn(1, 2, 4, 5, generator=torch.Generator().manual_seed(0))

    def convolved(x, name):
        return convolve_by_hand(x, weight[f"{name}.weight"], weight[f"{name}.bias"])

    given = maps[0].double().numpy()
    shortcut = normalise_by_hand(convolved(given, "conv_shortcut"), weight, "norm_shortcut")
    hidden = elu(normalise_by_hand(convolved(given, "conv1"), weight, "norm1"))
    hidden = normalise_by_hand(convolved(hidden, "conv2"), weight, "norm2")
    scse_weight = {name.removeprefix("scse."): values for name, values in weight.items() if name.startswith("scse.")}
    expected = scse_by_hand(elu(hidden + shortcut), scse_weight) + shortcut
    np.testing.assert_allclose(block(maps)[0].detach().numpy(), expected, atol=1e-4)


def test_batch_norm_moves_at_the_pace_of_keras():
    block = ConvStandardPOST(2, 4).train()
    maps = torch.randn(8, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    batch_mean = block.conv_shortcut(maps).mean((0, 2, 3))
    block(maps)
    torch.testing.assert_close(block.norm_shortcut.running_mean, 0.01 * batch_mean)


@pytest.mark.parametrize(("channels", "filters", "expected"), [(3, 32, 11_712), (32, 64, 62_464), (64, 128, 247_808)])
def test_parameters_of_the_papers_blocks(channels, filters, expected):
    assert count_parameters(ConvStandardPOST(channels, filters)).keras == expected


def test_each_branch_alone_weighs_the_map():
    maps = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    both = randomise(ScSE(channels=5))
    alone = {kind: ScSE(channels=5, kind=kind) for kind in ("cse", "sse", "none")}
    for kind, module in alone.items():
        module.load_state_dict({name: both.state_dict()[name] for name in module.state_dict()})
        assert (
            set(module.state_dict())
            == {
                "cse": {"squeeze.weight", "excite.weight"},
                "sse": {"spatial.weight"},
                "none": set(),
            }[kind]
        )
    squeezed = maps.mean((2, 3)) @ both.squeeze.weight.T
    by_channel = torch.sigmoid(squeezed.clamp(min=0) @ both.excite.weight.T)
    torch.testing.assert_close(alone["cse"](maps), maps * by_channel[:, :, None, None])
    by_position = torch.sigmoid((maps * both.spatial.weight[0, :, :, :]).sum(1, keepdim=True))
    torch.testing.assert_close(alone["sse"](maps), maps * by_position)
    torch.testing.assert_close(alone["none"](maps), maps, atol=0, rtol=0)
    torch.testing.assert_close(both(maps), alone["cse"](maps) + alone["sse"](maps))


def test_pre_activation_block_by_hand():
    block = randomise(PreActivationPOST(2, 4))
    weight = weights(block)
    maps = torch.randn(1, 2, 4, 5, generator=torch.Generator().manual_seed(0))

    def convolved(x, name):
        return convolve_by_hand(x, weight[f"{name}.weight"], weight[f"{name}.bias"])

    activated = elu(normalise_by_hand(maps[0].double().numpy(), weight, "norm1"))
    shortcut = convolved(activated, "conv_shortcut")
    residual = convolved(elu(normalise_by_hand(convolved(activated, "conv1"), weight, "norm2")), "conv2")
    scse_weight = {name.removeprefix("scse."): values for name, values in weight.items() if name.startswith("scse.")}
    expected = scse_by_hand(residual + shortcut, scse_weight) + shortcut
    np.testing.assert_allclose(block(maps)[0].detach().numpy(), expected, atol=1e-4)


def scse_plainly(scse, maps):
    """As the paper writes it, with one operation of torch for each of its words and none in place."""
    weighed = []
    if scse.kind in ("scse", "cse"):
        by_channel = torch.sigmoid(scse.excite(torch.relu(scse.squeeze(maps.mean((2, 3))))))
        weighed.append(maps * by_channel[:, :, None, None])
    if scse.kind in ("scse", "sse"):
        weighed.append(maps * torch.sigmoid(scse.spatial(maps)))
    return sum(weighed) if weighed else maps


def standard_plainly(block, maps):
    shortcut = block.norm_shortcut(block.conv_shortcut(maps))
    residual = block.norm2(block.conv2(F.elu(block.norm1(block.conv1(maps)))))
    return scse_plainly(block.scse, F.elu(residual + shortcut)) + shortcut


def pre_activation_plainly(block, maps):
    activated = F.elu(block.norm1(maps))
    shortcut = block.conv_shortcut(activated)
    residual = block.conv2(F.elu(block.norm2(block.conv1(activated))))
    return scse_plainly(block.scse, residual + shortcut) + shortcut


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", ["scse", "cse", "sse", "none"])
@pytest.mark.parametrize(
    ("block_type", "plainly"), [(ConvStandardPOST, standard_plainly), (PreActivationPOST, pre_activation_plainly)]
)
def test_blocks_and_every_gradient_equal_their_plain_form(block_type, plainly, kind, layout):
    generator = torch.Generator().manual_seed(0)
    block = randomise(block_type(3, 6, recalibration=kind)).train()
    given = torch.randn(4, 3, 5, 7, generator=generator).contiguous(memory_format=layout)
    weight = torch.randn(4, 6, 5, 7, generator=generator)
    values = {}
    for form in (block, partial(plainly, copy.deepcopy(block))):
        maps = given.clone().requires_grad_()
        output = form(maps)
        (output * weight).sum().backward()
        module = form if form is block else form.args[0]
        gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
        assert None not in gradients.values()
        values[form is block] = {"output": output, "maps": maps.grad, **gradients, **dict(module.named_buffers())}
    for name, expected in values[False].items():
        torch.testing.assert_close(
            values[True][name], expected, atol=2e-4, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_the_mean_of_a_map_and_its_gradient():
    maps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    mean = map_mean(maps)
    torch.testing.assert_close(mean, maps.mean((2, 3)))
    weight = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    (mean * weight).sum().backward()
    torch.testing.assert_close(maps.grad, (weight / 20)[:, :, None, None].expand_as(maps))
