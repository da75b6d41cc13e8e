"""Frames -> one JPEG file each, as rows of an array -> frames.

Pillow, because it writes 4:4:4, which torchvision does not; both decode to the same pixels, and as fast.
"""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pictures = NDArray[np.uint8]


def encode(pictures: Pictures, quality: int) -> NDArray[np.uint8]:
    """Pixels (time, height, width, channel=3), RGB, as rows (time, byte), each a JPEG file that keeps colours at full
    resolution (4:4:4), filled up with zeros to the length of the longest."""
    files = []
    for picture in pictures:
        file = BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0)
        files.append(np.frombuffer(file.getvalue(), np.uint8))
    length = max(map(len, files))
    return np.stack([np.pad(file, (0, length - len(file))) for file in files])


def decode(stored: NDArray[Any]) -> Pictures:
    """Rows (..., byte) of frames of one size as pixels (..., height, width, channel=3), RGB; zeros behind a file's end
    are of no account."""
    files = stored.reshape(-1, stored.shape[-1])
    pictures = np.stack([np.asarray(Image.open(BytesIO(file.tobytes()))) for file in files])
    return pictures.reshape(*stored.shape[:-1], *pictures.shape[1:])
