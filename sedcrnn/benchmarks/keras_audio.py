"""The authors' audio network in Keras 3, for the training benchmark to take turns with: seconds of a step on request.

KERAS_PYTHON sedcrnn/benchmarks/keras_audio.py 32    (a Python with TensorFlow, which need not have this package)

For each line of the standard input, `fp32` or `bf16`, it trains once on the same random batch of that many windows and
prints the seconds. docs/paper.md ("Audio subnetwork") describes the network; 323,274 parameters.
"""

import os
import sys
import time
from typing import Any

os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}

import keras  # type: ignore[import-not-found]
import numpy as np
from keras import layers

POLICIES = {"fp32": "float32", "bf16": "mixed_bfloat16"}


def audio_network() -> Any:
    """The network by Keras' own layers, compiled with the authors' optimiser and loss."""
    maps = given = layers.Input((64, 50, 3))
    for filters, pool in ((32, 2), (64, 2), (128, 1)):
        shortcut = layers.BatchNormalization()(layers.Conv2D(filters, 1)(maps))
        hidden = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(maps))
        hidden = layers.Conv2D(filters, 3, padding="same")(layers.ELU()(hidden))
        summed = layers.ELU()(layers.Add()([layers.BatchNormalization()(hidden), shortcut]))
        squeezed = layers.GlobalAveragePooling2D(keepdims=True)(summed)
        squeezed = layers.Dense(filters // 2, activation="relu", use_bias=False)(squeezed)
        by_channel = layers.Dense(filters, activation="sigmoid", use_bias=False)(squeezed)
        by_position = layers.Conv2D(1, 1, activation="sigmoid", use_bias=False)(summed)
        weighed = [layers.Multiply()([summed, weights]) for weights in (by_channel, by_position)]
        maps = layers.Add()([layers.Add()(weighed), shortcut])
        maps = layers.Dropout(0.0)(layers.MaxPooling2D((1, pool))(maps))
    pooled = layers.GlobalAveragePooling2D()(maps)
    network = keras.Model(given, layers.Dense(10, activation="softmax", dtype="float32")(pooled))
    network.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy")
    return network


def main() -> None:
    """Answer until the input ends."""
    windows = int(sys.argv[1])
    rng = np.random.default_rng(0)
    spectrograms = rng.uniform(-1, 1, (windows, 64, 50, 3)).astype(np.float32)
    scenes = np.eye(10, dtype=np.float32)[rng.integers(10, size=windows)]
    networks: dict[str, Any] = {}
    for line in sys.stdin:
        precision = line.strip()
        if precision not in networks:
            keras.mixed_precision.set_dtype_policy(POLICIES[precision])
            networks[precision] = audio_network()
        started = time.perf_counter()
        networks[precision].train_on_batch(spectrograms, scenes)
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
