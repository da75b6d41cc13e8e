"""A folder with the evaluation set of DCASE 2021 Task 1B -> its clips: 72,000 of one second, numbered, unlabelled."""

from collections.abc import Collection
from pathlib import Path

from sedcrnn.datasets.clips import UNLABELLED, Clip
from sedcrnn.errors import DataError
from sedcrnn.features.feature import Feature

FILES = 72_000


class Tau2021Evaluation:
    """The evaluation set as its archives unpack: `audio/0.wav`, `video/0.mp4` and so on. Its labels were never told.

    Args:
        root: the folder; `audio` and `video` may lie in a folder inside it.
        files: how many there are.
    """

    def __init__(self, root: str, files: int = FILES) -> None:
        self.root, self.files = Path(root), files

    def clips(self, features: Collection[Feature]) -> tuple[Clip, ...]:
        """All clips in the order of their numbers, each with every file that the features are made from.

        Raises:
            DataError: a folder or files that are not there; what the features do without may be missing.
        """
        if not self.root.is_dir():
            raise DataError(
                f"The folder of the evaluation set does not exist: {self.root}",
                "It holds audio/0.wav, video/0.mp4 and so on",
                "Set root=<folder>",
            )
        audio, video = self._media("audio"), self._media("video")
        clips = tuple(
            Clip(
                id=str(number),
                audio=audio / f"{number}.wav",
                video=video / f"{number}.mp4",
                scene=UNLABELLED,
                city="",
                location="",
                fold="evaluation",
            )
            for number in range(self.files)
        )
        wanted = [feature.source(clip) for feature in features for clip in clips]
        missing = [str(file) for file in wanted if not file.is_file()]
        if missing:
            raise DataError(
                f"{len(missing):,} of {len(wanted):,} files of the evaluation set are missing: "
                f"{', '.join(missing[:3])}{' and more' * (len(missing) > 3)}",
                f"Files are numbered from 0 to {self.files - 1}, and each gets a prediction",
                "Unpack the archives of the evaluation set there, or set root to the folder that holds audio and video",
            )
        return clips

    def _media(self, kind: str) -> Path:
        """The folder with the files of a kind: in the root, or in a folder inside it."""
        folders = [folder / kind for folder in (self.root, *sorted(self.root.iterdir()))]
        return next((folder for folder in folders if folder.is_dir()), folders[0])
