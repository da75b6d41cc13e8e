"""Network and one window -> what an answer costs: parameters, multiply-accumulates, and the time that it takes here."""

import platform
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
    """Size and work of a network, as plain data for metrics.json; nothing that another machine would tell otherwise.

    Args:
        network: left as it is.
        inputs: its inputs by name, for one second of scene.
        frozen: names of the parts that its last stage of training left as they were.
    """
    counts = count_parameters(network)
    kept = {id(weight) for part in frozen_modules(network, frozen) for weight in part.parameters()}
    return {
        "parameters": counts.keras,
        "trainable_parameters": sum(weight.numel() for weight in network.parameters() if id(weight) not in kept),
        "multiply_accumulates_per_second": count_multiply_accumulates(network, inputs),
    }


@torch.inference_mode()
def measure_latency(network: SceneNetwork, inputs: Mapping[str, Tensor], device: str) -> dict[str, Any]:
    """The time of one forward pass, from features in memory to logits, as plain data for latency.json.

    Args:
        network: in evaluation mode.
        inputs: its inputs by name, of one window.
        device: where it runs, and stays.
    """
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
    told = Path("/proc/cpuinfo")  # platform knows no more than the architecture on Linux
    models = told.read_text(encoding="utf-8").splitlines() if told.is_file() else []
    names = [line.partition(":")[2].strip() for line in models if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
