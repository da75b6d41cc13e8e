"""Recipe -> layers (motors, rails, voices, steps, birds, chimes ...) -> mix -> microphone -> stereo waveform."""

import numpy as np
from scipy import fft

from sedcrnn.datasets.synthetic.layers import LAYERS
from sedcrnn.datasets.synthetic.scene_definitions import SOUNDS, Recipe, draw_cues
from sedcrnn.datasets.synthetic.waves import RATE, Rng, Wave, noise


def record(recipe: Recipe, city: Rng, location: Rng, clip: Rng, samples: int) -> Wave:
    """The sound of one clip, (2, samples) in (-1, 1), heard through its location's microphone.

    The generators of city and location start anew for each clip, so that clips of one place share its nuisances.
    """
    cues = draw_cues(recipe.sounds, location, clip)
    mix = np.zeros((2, samples), np.float32)
    for layer in SOUNDS[recipe.sound]:
        cue = cues[layer.cue] if layer.cue else 0.0
        level = layer.level + layer.lift * cue + clip.normal(0, 1.5)
        mix += LAYERS[layer.sound](clip, samples, 2 ** (layer.quicken * cue)) * np.float32(10 ** (level / 20))
    return microphone(mix, city, location, clip)


def microphone(mix: Wave, city: Rng, location: Rng, clip: Rng) -> Wave:
    """Nuisance: frequency response and noise of city and location, balance of the ears, and the clip's level."""
    samples = mix.shape[1]
    length = fft.next_fast_len(samples, real=True)
    octave = np.log2(fft.rfftfreq(length, 1 / RATE) + 20)
    knots = np.linspace(octave[0], octave[-1], 6)
    response = city.normal(0, 2.5, 6) + location.normal(0, 2.5, 6) + location.normal(0, 1, (2, 1))
    gain = np.stack([10 ** (np.interp(octave, knots, ear) / 20) for ear in response]).astype(np.float32)
    heard = fft.irfft(fft.rfft(mix, length) * gain, length)[:, :samples]
    heard /= heard.std()
    floor, slope = 10 ** (location.uniform(-46, -34) / 20), location.uniform(0, 1)
    heard += np.float32(floor) * noise(clip, samples, slope)
    level = 10 ** (clip.uniform(-20, -3) / 20) / np.abs(heard).max()
    return np.asarray(heard * np.float32(level), np.float32)
