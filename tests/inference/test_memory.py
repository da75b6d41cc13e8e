"""Ten minutes of audio and video need no more memory than twenty seconds."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from sedcrnn.inference.predictor import Predictor
from sedcrnn.inference.scene_models import SceneModel

class Even(SceneModel):  # in place of a network, whose memory is that of one batch
    path, scenes, heads = Path("even"), ("a", "b"), {"late": ("spectrogram", "frames")}
    bank = {"_target_": "sedcrnn.features.filterbanks.gammatone_recursive.RecursiveGammatone", "bands": 8}
    features = {
        "spectrogram": {"_target_": "sedcrnn.features.spectrogram.Spectrogram", "bank": bank, "sample_rate": 16000},
        "frames": {"_target_": "sedcrnn.features.frames.Frames", "height": 128, "width": 128},
    }
    def probabilities(self, inputs):
        return {"late": np.full((len(inputs["frames"]), 2), 0.5)}

for seconds in (20, 600):
    prediction = Predictor(Even()).predict(f"{sys.argv[1]}/{seconds}.mp4", f"{sys.argv[1]}/{seconds}.wav")
    print(len(prediction.seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write(folder: Path, seconds: int) -> None:
    soundfile.write(folder / f"{seconds}.wav", np.tile(np.linspace(-0.5, 0.5, 160), 100 * seconds), 16000)
    with av.open(str(folder / f"{seconds}.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=5, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(5 * seconds):
            image = np.full((48, 64, 3), number % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.slow
def test_ten_minutes_need_little_more_memory_than_twenty_seconds(tmp_path):
    for seconds in (20, 600):
        write(tmp_path, seconds)
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True)
    (short, peak_of_short), (long, peak_of_long) = (map(float, line.split()) for line in done.stdout.splitlines())
    assert (short, long) == (20, 600)
    # All frames of ten minutes would be 147 MB, the audio as float64 stereo 154 MB.
    assert peak_of_long - peak_of_short < 50
