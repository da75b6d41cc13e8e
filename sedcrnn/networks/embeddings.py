"""What the classifiers of a network see while it runs: its embeddings."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor

from sedcrnn.networks import SceneNetwork


@contextmanager
def embeddings_seen(network: SceneNetwork) -> Iterator[dict[str, Tensor]]:
    """Collect the embeddings of the batch that the network runs on inside the context: (batch, size) by name, the mean
    over time where a classifier sees several steps. Those of classifiers that did not run are left out.
    """
    seen: dict[str, Tensor] = {}

    def note(name: str, values: Tensor) -> None:
        seen[name] = values.flatten(1, -2).mean(1) if values.ndim > 2 else values

    with ExitStack() as hooks:
        for name, layer in network.classifiers.items():
            hooks.enter_context(
                network.get_submodule(layer).register_forward_pre_hook(lambda _, given, name=name: note(name, given[0]))
            )
        yield seen
