"""Writes gammatone_reference.json: RMS values of `gammatone` 1.0.3 (pip install gammatone==1.0.3) at random places of
every kind of benchmark waveform.

python tests/features/filterbanks/make_gammatone_reference.py
"""

import json
from pathlib import Path

import numpy as np
from gammatone.gtgram import gtgram

from sedcrnn.benchmarks.audio_benchmark import KINDS, RATE

PLACES = 40

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    reference = {}
    for name, make in KINDS.items():
        left, right = make()
        rms = np.stack([gtgram(wave, RATE, 0.04, 0.02, 64, 0)[::-1] for wave in (left, right, left - right)])
        places = [tuple(int(rng.integers(size)) for size in rms.shape) for _ in range(PLACES)]
        reference[name] = [[*place, float(rms[place])] for place in places]
    text = json.dumps(reference).replace("]], ", "]],\n").replace("], [", "],\n [")
    Path(__file__).with_name("gammatone_reference.json").write_text(text + "\n")
