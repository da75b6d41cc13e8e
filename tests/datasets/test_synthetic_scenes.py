"""What is rendered: look and ambience name the scene only together; sources and sprites are what they claim."""

from collections import Counter
from itertools import combinations, pairwise
from math import dist
from statistics import NormalDist

import numpy as np
import pytest
from scipy.signal import welch

from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.datasets.synthetic.audio_rendering import record
from sedcrnn.datasets.synthetic.drawing import paste
from sedcrnn.datasets.synthetic.scene_definitions import RECIPES, draw_cues, generator
from sedcrnn.datasets.synthetic.video_rendering import film
from sedcrnn.datasets.synthetic.waves import noise, panned, scatter, tone


def test_look_and_ambience_together_name_the_scene_and_neither_does_alone():
    assert tuple(RECIPES) == TAU_SCENES
    assert len({(recipe.look, recipe.ambience) for recipe in RECIPES.values()}) == len(TAU_SCENES)
    for one, other in combinations(RECIPES.values(), 2):
        for kind, cues in (("look", "look_cues"), ("ambience", "ambience_cues")):
            if getattr(one, kind) == getattr(other, kind):
                means = getattr(one, cues), getattr(other, cues)
                assert means[0].keys() == means[1].keys()
                # Unit variances: the best possible guess between two scenes of a group is right this often.
                apart = dist(means[0].values(), [means[1][cue] for cue in means[0]])
                assert 0.75 < NormalDist().cdf(apart / 2) < 0.93
    assert Counter(recipe.look for recipe in RECIPES.values()) == {"cabin": 3, "hall": 3, "street": 3, "green": 1}
    assert all(sum(r.ambience == recipe.ambience for r in RECIPES.values()) == 2 for recipe in RECIPES.values())


def test_cues_have_unit_variance_of_which_a_location_shares_a_fifth():
    values = np.array(
        [
            [draw_cues({"dark": 0.5}, generator(0, "l", place), generator(0, "c", place, k))["dark"] for k in range(2)]
            for place in range(2000)
        ]
    )
    assert values.mean() == pytest.approx(0.5, abs=0.05)
    assert values.var() == pytest.approx(1.0, abs=0.07)
    assert np.cov(values.T)[0, 1] == pytest.approx(0.2, abs=0.07)


DRAWN = {"ambience": "sound", "look": "look"}  # part of the random draws


def audio_of(recipe, *rngs) -> np.ndarray:
    """Shape of the spectrum, and how unsteady it is, in bands of a third of an octave or wider, whatever the level."""
    wave = record(recipe, *rngs, 48_000).mean(0)
    blocks = np.abs(np.fft.rfft(wave.reshape(50, 960) * np.hanning(960), axis=1)) ** 2
    edges = np.unique(np.geomspace(1, 400, 20).astype(int))
    bands = np.log([blocks[:, low:high].mean(1) for low, high in pairwise(edges)])
    return np.concatenate([bands.mean(1) - bands.mean(), bands.std(1), np.abs(np.diff(bands)).mean(1)])


def video_of(recipe, *rngs) -> np.ndarray:
    """Brightness, colour and texture in twelve rows."""
    stripes = film(recipe, *rngs, (48, 64), 5, 2).reshape(2, 12, 4, 64, 3) / 255
    colours = stripes.mean((0, 2, 3))
    edges = np.abs(np.diff(stripes, axis=3)).mean((0, 2, 3, 4))
    return np.concatenate([colours.ravel(), (colours - colours.mean(1, keepdims=True)).ravel(), 4 * edges])


@pytest.mark.parametrize(("describe", "kind"), [(audio_of, "ambience"), (video_of, "look")])
def test_unseen_places_show_their_group_clearly_and_their_scene_dimly(describe, kind):
    scenes, groups, features = [], [], []
    for scene, recipe in RECIPES.items():
        for place in range(18):
            key = (DRAWN[kind], scene, place)
            rngs = generator(0, "city", place % 3), generator(0, "location", *key), generator(0, "clip", *key)
            features.append(describe(recipe, *rngs))
            scenes.append(scene)
            groups.append(getattr(recipe, kind))
    x, scenes, groups = np.array(features), np.array(scenes), np.array(groups)
    x = (x - x.mean(0)) / x.std(0)
    train = np.arange(len(x)) % 2 == 0

    def accuracy(labels: np.ndarray) -> float:
        """Of a linear discriminant fitted on half of the places, on the other half."""
        names, index = np.unique(labels, return_inverse=True)
        centroids = np.stack([x[train & (index == k)].mean(0) for k in range(len(names))])
        spread = np.cov((x - centroids[index])[train].T) + 0.3 * np.eye(x.shape[1])
        weights = np.linalg.solve(spread, centroids.T)
        guess = (x[~train] @ weights - 0.5 * (centroids.T * weights).sum(0)).argmax(1)
        return float((guess == index[~train]).mean())

    assert accuracy(groups) > 0.85
    assert 0.4 < accuracy(scenes) < 0.85


def test_sources_are_as_asked():
    rng = np.random.default_rng(0)
    frequency, power = welch(noise(rng, 48_000 * 4, slope=1.0)[0], 48_000, nperseg=4096)
    octaves = [power[(frequency >= low) & (frequency < 2 * low)].mean() for low in (250, 500, 1000, 2000, 4000)]
    np.testing.assert_allclose(10 * np.diff(np.log10(octaves)), -3.01, atol=0.4)  # pink: 3 dB per octave

    spectrum = np.abs(np.fft.rfft(tone(1000.0, 1.0, 0.5)))
    assert spectrum.argmax() == 1000

    left, right = panned(np.ones(4, np.float32), np.array([-1, 0, 0.5, 1], np.float32))
    np.testing.assert_allclose(left**2 + right**2, 2, rtol=1e-6)
    np.testing.assert_allclose([left[0], right[0], left[3]], [2**0.5, 0, 0], atol=1e-6)

    click = np.array([1, 2], np.float32)
    out = scatter(96, np.array([-1 / 48_000, 10 / 48_000, 95 / 48_000, 1.0]), lambda: -1.0, lambda: click)
    expected = np.zeros(96)
    expected[[0, 10, 11, 95]] = [2, 1, 2, 1]
    np.testing.assert_allclose(out[0], expected * 2**0.5, rtol=1e-6)


def test_paste_blends_by_coverage_and_cuts_at_the_edges():
    canvas = np.zeros((4, 4, 3), np.float32)
    image = np.full((2, 3, 4), 0.5, np.float32)
    paste(canvas, image, x=-1, ground=3)
    expected = np.zeros((4, 4))
    expected[1:3, :2] = 0.25
    np.testing.assert_allclose(canvas, expected[..., None].repeat(3, 2))
    paste(canvas, image, x=9, ground=3)
    paste(canvas, image, x=0, ground=-1)
    np.testing.assert_allclose(canvas[..., 0], expected)
