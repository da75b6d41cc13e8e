"""The numbers of Keras in keras_recipe.json: `python keras_recipe.py > keras_recipe.json` where tensorflow-cpu is
installed (made with Keras 3 on TensorFlow 2). Inputs are waves, which any library computes alike.
"""

import json

import keras
import numpy as np


def wave(shape, phase):
    """Values in -1..1, as in tests/waves.py."""
    return np.sin(0.7 * np.arange(np.prod(shape)) ** 1.1 + phase).reshape(shape).astype("float32")


def adam_steps():
    """A kernel after each of 12 steps, with gradients about as small as epsilon lets one see."""
    kernel = keras.Variable(wave((3, 4), 0.0))
    optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-7)
    steps = []
    for step in range(12):
        optimizer.apply([keras.ops.convert_to_tensor(1e-5 * wave((3, 4), step + 1.0))], [kernel])
        steps.append(kernel.numpy().tolist())
    return steps


def watched_loss():
    """Epochs of a dense layer with L2: validation loss, its log loss, the learning rate, until it stops."""
    dense = keras.layers.Dense(3, activation="softmax", kernel_regularizer=keras.regularizers.L2(0.02))
    model = keras.Sequential([keras.Input((6,)), dense])
    dense.set_weights([wave((6, 3), 0.2), np.zeros(3, "float32")])
    inputs, labels = wave((9, 6), 0.4), np.eye(3, dtype="float32")[np.arange(9) % 3]
    others, truth = wave((6, 6), 3.0), np.eye(3, dtype="float32")[np.arange(6) % 3]
    optimizer = keras.optimizers.Adam(0.05, epsilon=1e-7)
    log_loss = keras.metrics.CategoricalCrossentropy(name="log_loss")
    model.compile(optimizer, "categorical_crossentropy", metrics=[log_loss])
    watching = [
        keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=3),
        keras.callbacks.EarlyStopping(patience=7),
    ]
    past = model.fit(
        inputs, labels, batch_size=9, epochs=80, validation_data=(others, truth), callbacks=watching, verbose=0
    ).history
    return {"loss": past["val_loss"], "log_loss": past["val_log_loss"], "learning_rate": past["learning_rate"]}


def he_normal():
    """Standard deviation and greatest value of a large kernel of the spatial squeeze: 1 x 1, of 128 channels."""
    drawn = np.asarray(keras.initializers.HeNormal(seed=0)((1, 1, 128, 2000)))
    return {"deviation": float(drawn.std()), "greatest": float(np.abs(drawn).max())}


print(json.dumps({"adam": adam_steps(), "watched": watched_loss(), "he_normal": he_normal()}))
