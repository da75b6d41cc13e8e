"""Network and one window -> what an answer costs: parameters, multiply-accumulates, and the time that it takes here."""

import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.freezing import frozen_modules
from sedcrnn.networks.profile import count_multiply_accumulates, count_parameters

WARM_UP, REPEATS = 3, 10


def describe_cost(network: SceneNetwork, inputs: Mapping[str, Tensor], frozen: Sequence[str]) -> dict[str, Any]:
    """Size and work of a network, as plain data for metrics.json: of its inputs by name, for one second, and of the
    names of the parts that its last stage of training left as they were."""
    kept = {weight for part in frozen_modules(network, frozen) for weight in part.parameters()}
    return {
        "parameters": count_parameters(network).keras,
        "trainable_parameters": sum(weight.numel() for weight in network.parameters() if weight not in kept),
        "multiply_accumulates_per_second": count_multiply_accumulates(network, inputs),
    }


@torch.inference_mode()
def measure_latency(network: SceneNetwork, inputs: Mapping[str, Tensor], device: str) -> dict[str, Any]:
    """The time of one forward pass of a network in evaluation mode, which stays on the device: from the features of
    one window in memory to logits, as plain data for latency.json."""
    network = network.to(device)
    given = {name: inputs[name][:1].to(device) for name in network.inputs}
    seconds = []
    for _ in range(WARM_UP + REPEATS):
        started = perf_counter()
        network(**given).cpu()  # what a GPU has not finished cannot be copied
        seconds.append(perf_counter() - started)
    return {
        "milliseconds": 1000 * median(seconds[WARM_UP:]),
        "repeats": REPEATS,
        "batch_size": 1,
        "threads": torch.get_num_threads(),
        "device": _device_name(device),
    }


def _device_name(device: str) -> str:
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    described = Path("/proc/cpuinfo")  # platform knows no more than the architecture on Linux
    model = described.is_file() and re.search(r"^model name\s*:\s*(.+)$", described.read_text(encoding="utf-8"), re.M)
    return model[1].strip() if model else platform.processor() or platform.machine()
