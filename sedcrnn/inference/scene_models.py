"""Checkpoint or ONNX file -> a model that answers with the probabilities of the heads that its inputs suffice for."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sedcrnn.errors import CheckpointError, ConfigError, SedcrnnError, check_choice, import_extra
from sedcrnn.evaluation.thresholds import after_temperature, halves
from sedcrnn.inference.onnx_files import check_onnx_file, read_metadata
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.embeddings import embeddings_seen
from sedcrnn.networks.execution import choose_device, choose_precision
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.grad_cam import check_last_maps, heat_maps
from sedcrnn.networks.probabilities import scaled
from sedcrnn.runs.checkpoints import Checkpoint

ONNX_SUFFIX = ".onnx"

HeadsOf = Callable[..., dict[str, torch.Tensor]]
Probabilities = dict[str, NDArray[np.float64]]


class SceneModel(ABC):
    """What prediction needs of a network, in whatever file it is kept.

    Attributes:
        path: the file.
        scenes: label order.
        features: configs of the features that it takes, by the name of the input.
        heads: the inputs that each head needs; the last head is the network's answer.
        temperatures: of the heads whose answers are calibrated; empty for the network's own.
        no_temperatures: why there are none.
        multi_label: whether a second may have any number of scenes, each with a probability of its own.
        own_thresholds: then of the heads, by scene, for the network's own probabilities; 1/2 of heads without.
        embedding_names: its embeddings; none in an ONNX file.
        heat_inputs: the inputs of which it can say what in them speaks for a scene; none in an ONNX file.
    """

    path: Path
    scenes: tuple[str, ...]
    features: dict[str, Any]
    heads: dict[str, tuple[str, ...]]
    temperatures: Mapping[str, float] = MappingProxyType({})
    no_temperatures: str = ""
    multi_label: bool = False
    own_thresholds: Mapping[str, Sequence[float]] = MappingProxyType({})
    embedding_names: tuple[str, ...] = ()
    heat_inputs: tuple[str, ...] = ()

    def answering(self, inputs: Collection[str]) -> list[str]:
        """The heads for which some inputs suffice, in order."""
        return [head for head, needed in self.heads.items() if set(needed) <= set(inputs)]

    def embeddings(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """(window, size) embeddings by name, of `embedding_names` those that the inputs suffice for."""
        return {}

    def check_heat_maps(self, inputs: Collection[str]) -> None:
        """Refuse inputs of which there can be no heat maps.

        Raises:
            ConfigError: there are none of any, or as `grad_cam.check_last_maps`.
        """
        if not self.heat_inputs:
            raise gives_no(self.path, "heat maps", "last_maps")

    def heat_maps(self, inputs: Mapping[str, NDArray[Any]], head: str, scene: int) -> dict[str, NDArray[np.float32]]:
        """What in each input speaks for a scene, of those among `heat_inputs`; see `grad_cam.heat_maps`."""
        return {}

    @abstractmethod
    def probabilities(self, inputs: Mapping[str, NDArray[Any]]) -> Probabilities:
        """The network's own answers, of all heads that the inputs suffice for: (window, scene) per head, in the order
        of `heads`.

        Args:
            inputs: by name, as `Feature.network_input` makes them.
        """

    def calibrated_probabilities(self, inputs: Mapping[str, NDArray[Any]]) -> Probabilities:
        """As `probabilities`, after the temperature of each head that has one."""
        return calibrated(self.probabilities(inputs), self.temperatures, self.multi_label)

    def thresholds(self, head: str) -> list[float]:
        """By scene, the probability from which on a head's answer is that a scene is there: of its calibrated ones,
        where it has a temperature."""
        own = list(self.own_thresholds.get(head, halves(self.scenes)))
        return after_temperature(own, self.temperatures[head]) if head in self.temperatures else own


class TorchModel(SceneModel):
    """A network from a checkpoint, in float32 (`32-true`), in `bf16-mixed`, or in what is native (`auto`).

    Raises:
        ConfigError: a device that torch does not have here.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", precision: str = "32-true") -> None:
        self.path, self.scenes, self.features = checkpoint.path, checkpoint.scenes, checkpoint.features
        self.temperatures, self.no_temperatures = checkpoint.temperatures, checkpoint.no_temperatures
        self.multi_label, self.own_thresholds = checkpoint.multi_label, checkpoint.thresholds
        check_choice("precision of predictions", precision, ("auto", "32-true", "bf16-mixed"))
        self.device = choose_device(device)
        self.device_type = torch.device(self.device).type
        self.mixed = choose_precision(precision, self.device_type) == "bf16-mixed"
        network = checkpoint.build().to(self.device).requires_grad_(False)
        self.heads = head_inputs(network)
        self.networks = [network, *subnetworks(network).values()]
        self.fuses_incomplete = isinstance(network, FusionNetwork) and network.fuses_incomplete
        self.embedding_names, self.heat_inputs = tuple(network.classifiers), tuple(network.last_maps)

    def answering(self, inputs: Collection[str]) -> list[str]:
        """See `SceneModel`; fusion that goes on with what there is answers for one input."""
        alone = set(self.networks[0].head_names) - {name for part in self.networks[1:] for name in part.head_names}
        suffice = super().answering(inputs)
        return [head for head in self.heads if head in suffice or (self.fuses_incomplete and inputs and head in alone)]

    @torch.inference_mode()
    def probabilities(self, inputs: Mapping[str, NDArray[Any]]) -> Probabilities:
        """See `SceneModel`."""
        _, heads_of, tensors = self._chosen(inputs)
        with torch.autocast(self.device_type, torch.bfloat16, enabled=self.mixed), self._fitting():
            heads = heads_of(**tensors)
        answering = self.answering(inputs)
        network = self.networks[0]
        return {head: network.log_probabilities(heads[head].float()).double().exp().cpu().numpy() for head in answering}

    @torch.inference_mode()
    def embeddings(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """See `SceneModel`."""
        network, heads_of, tensors = self._chosen(inputs)
        with (
            torch.autocast(self.device_type, torch.bfloat16, enabled=self.mixed),
            self._fitting(),
            embeddings_seen(network) as seen,
        ):
            heads_of(**tensors)
        return {name: seen[name].float().cpu().numpy() for name in self.embedding_names if name in seen}

    def check_heat_maps(self, inputs: Collection[str]) -> None:
        """See `SceneModel`."""
        super().check_heat_maps(inputs)
        check_last_maps(self.networks[0], inputs)

    def heat_maps(self, inputs: Mapping[str, NDArray[Any]], head: str, scene: int) -> dict[str, NDArray[np.float32]]:
        """See `SceneModel`; in float32."""
        network, heads_of, tensors = self._chosen(inputs)
        with self._fitting():
            found = heat_maps(network, heads_of, tensors, head, scene)
        return {name: found[name].cpu().numpy() for name in tensors if name in found}

    def _chosen(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[SceneNetwork, HeadsOf, dict[str, torch.Tensor]]:
        """The network that some inputs suffice for, what it answers with, and the inputs on its device."""
        network = next(network for network in self.networks if set(network.inputs) <= inputs.keys())
        tensors = {name: torch.from_numpy(inputs[name]).to(self.device) for name in network.inputs}
        whole = self.networks[0]
        if network is not whole and isinstance(whole, FusionNetwork) and self.fuses_incomplete:
            return whole, whole.heads_of_one, tensors
        return network, network.heads, tensors

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # what does not fit each other, or the memory
            raise _unfit(self.path, error) from error


class OnnxModel(SceneModel):
    """A network from an ONNX file that `onnx_export.write_onnx` wrote, which runs on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged or not one of ours.
    """

    def __init__(self, path: Path, device: str = "cpu", precision: str = "32-true") -> None:
        self.path = path
        if device not in ("cpu", "auto"):
            raise ConfigError(f"device={device} with {path}", "ONNX files run on the CPU", "Set device=cpu")
        if precision not in ("32-true", "auto"):
            raise ConfigError(f"precision={precision} with {path}", "ONNX files run in 32-true", "Leave it out")
        self.runtime = import_extra("onnxruntime", "onnx", "ONNX files need")
        if not path.is_file():
            raise CheckpointError(f"There is no file {path}", "An ONNX file is named by its path", "Check the path")
        try:
            check_onnx_file(path)
            self.session = self.runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
            described = read_metadata(self.session.get_modelmeta().custom_metadata_map)
        except Exception as error:  # the runtime's errors have no other class in common
            found = error.found if isinstance(error, SedcrnnError) else str(error)
            raise CheckpointError(
                f"{path} cannot be read as an ONNX file of this package: {' '.join(found.split())[:300]}",
                "It is a file that `sedcrnn export` wrote, whole and unchanged",
                "Export the run again",
            ) from error
        self.scenes, self.features = tuple(described.scenes), described.features
        self.heads = {head: tuple(needed) for head, needed in described.heads.items()}
        self.temperatures, self.no_temperatures = described.temperatures, described.no_temperatures
        self.multi_label, self.own_thresholds = described.multi_label, described.thresholds
        self._inputs = described.inputs

    def probabilities(self, inputs: Mapping[str, NDArray[Any]]) -> Probabilities:
        """See `SceneModel`."""
        heads = self.answering(inputs)
        batch = len(next(iter(inputs.values())))
        # The runtime wants every input, also those that none of these heads needs; it does not run their part.
        options = self.runtime.RunOptions()
        options.only_execute_path_to_fetches = True
        given = {
            name: inputs[name] if name in inputs else np.zeros((batch, *map(int, described.shape[1:])), described.type)
            for name, described in self._inputs.items()
        }
        try:
            answers = [np.asarray(answer, np.float64) for answer in self.session.run(heads, given, options)]
        except Exception as error:  # see above
            raise _unfit(self.path, error) from error
        if any(answer.shape != (batch, len(self.scenes)) for answer in answers):
            raise _unfit(self.path, f"its answers have the shape {answers[0].shape} for {len(self.scenes)} scenes")
        return dict(zip(heads, answers, strict=True))


def gives_no(path: Path, what: str, attribute: str) -> ConfigError:
    """What is said where a network has nothing of a kind, for which its class needs an attribute."""
    return ConfigError(
        f"The network of {path} gives no {what}",
        f"A checkpoint of this package's networks does, and one of your own whose class has `{attribute}`; an ONNX "
        "file does not",
        "Use the run of an ONNX file, or give your class the attribute (docs/extending.md)",
    )


def _unfit(path: Path, found: object) -> CheckpointError:
    return CheckpointError(
        f"The network of {path} cannot be run: {' '.join(str(found).split())[:300]}",
        "It takes what its features make, and a second of that fits into memory",
        "Use a file that this version of sedcrnn wrote, or a computer with more memory",
    )


def calibrated(found: Probabilities, temperatures: Mapping[str, float], multi_label: bool = False) -> Probabilities:
    """Probabilities of heads after the temperature of each that has one. What is too small for float32, in which ONNX
    files answer, is taken for its smallest number, so that both kinds of file agree."""
    smallest = torch.finfo(torch.float32).tiny
    logarithms = {head: torch.from_numpy(found[head]).clamp_min(smallest).log() for head in found.keys() & temperatures}
    return found | {
        head: scaled(values, temperatures[head], multi_label).exp().numpy() for head, values in logarithms.items()
    }


def subnetworks(network: SceneNetwork) -> dict[str, SceneNetwork]:
    """The networks inside a fusion network, by name; each answers with its own head alone."""
    return {name: part for name, part in network.named_children() if isinstance(part, SceneNetwork)}


def head_inputs(network: SceneNetwork) -> dict[str, tuple[str, ...]]:
    """The inputs that each head of a network needs."""
    needed = dict.fromkeys(network.head_names, network.inputs)
    for part in subnetworks(network).values():
        needed |= dict.fromkeys(part.head_names, part.inputs)
    return needed
