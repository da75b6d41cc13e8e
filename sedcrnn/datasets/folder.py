"""A folder of your own recordings -> the manifest of its clips.

<root>/<scene>/<clip>.mp4                  audio and video in one file
<root>/<scene>/<clip>.wav, <clip>.mp4      or side by side; the audio is then that of the audio file
<root>/<scene>/<group>/...                 clips that no two folds may share: of one place, day or camera
<root>/train/<scene>/..., test/<scene>/... folds of your own; without them the test fold is drawn by group
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sedcrnn.datasets.clips import MEDIA_SUFFIXES, Clip, DataSource, Manifest, check_root
from sedcrnn.datasets.folds import FOLDS, UNDIVIDED, divide
from sedcrnn.datasets.walk import is_media, kind_of, linked_again, media_files, of_one_name, subfolders
from sedcrnn.errors import DataError

FOLD_LIKE = {*FOLDS, "val", "valid", "validation", "dev", "eval", "evaluate"}  # no set has only scenes of these names
LAYOUT = "It holds a folder for every scene with its clips inside, or train/ and test/ with such folders inside"


class Folder(DataSource):
    """Class folders of videos with audio, or of audio and video files side by side.

    A clip is named by its path in the root, without suffix. Groups of the same name are one group, whatever the scene.
    A clip with one file may hold only audio or only video: enough for the subnetwork that takes it. `divide` says what
    the arguments are.
    """

    def __init__(self, root: str, scenes: Sequence[str] | None, test_fraction: float, test_seed: int) -> None:
        self.root, self.scenes = Path(root), scenes
        self.test_fraction, self.test_seed = test_fraction, test_seed

    def manifest(self) -> Manifest:
        """The clips, sorted by path.

        Raises:
            DataError: no such folder; no class folders, or one without media; media outside of them; two files
                that claim to be the same clip's audio or video; or labels and folds that cannot be used (`divide`).
        """
        check_root(self.root, LAYOUT)
        ignored: Counter[str] = Counter()
        clips = [
            clip
            for fold, folder in self._folds()
            for scene in _class_folders(folder, ignored)
            for clip in self._clips(scene, fold, ignored)
        ]
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(ignored.items()))
        source = str(self.root) + (f" (without {ignored.total()} other files: {kinds})" if ignored else "")
        return divide("folder", clips, self.scenes, self.test_fraction, self.test_seed, source)

    def _folds(self) -> list[tuple[str, Path]]:
        """The folders that class folders lie in: the root, unless it holds train/ and test/."""
        folders = subfolders(self.root)
        present = {path.name.casefold(): path for path in folders}  # Train/ as some programs have it
        if len(folders) == len(FOLDS) and present.keys() == set(FOLDS):
            return [(fold, present[fold]) for fold in FOLDS]
        if present.keys() >= set(FOLDS) or (present and present.keys() <= FOLD_LIKE):
            raise DataError(
                f"{self.root} holds {', '.join(path.name for path in folders)}: folds or scenes?",
                "Folds are train/ and test/ and nothing beside them (validation is drawn from train/)",
                "Move other folders into these two or elsewhere; rename train/ or test/ where they are scenes",
            )
        return [(UNDIVIDED, self.root)]

    def _clips(self, folder: Path, fold: str, ignored: Counter[str]) -> Iterator[Clip]:
        named = of_one_name(media_files(folder, ignored))
        if not named:
            raise DataError(
                f"The class folder {folder} holds no media",
                f"Clips end in {', '.join(sorted(MEDIA_SUFFIXES))}",
                "Put the clips of the scene there, or remove the folder",
            )
        pairs = {name: (_only(audio or video), _only(video or audio)) for name, (audio, video) in named.items()}
        for name, again in zip(sorted(pairs), linked_again([pairs[name] for name in sorted(pairs)]), strict=True):
            if again:
                ignored["linked again"] += 1
                continue
            groups, clip = name.relative_to(folder).parts[:-1], name.relative_to(self.root).as_posix()
            yield Clip(clip, *pairs[name], folder.name, city="", location=groups[0] if groups else clip, fold=fold)


def _class_folders(folder: Path, ignored: Counter[str]) -> list[Path]:
    """The folders in a folder, which may hold no media beside them."""
    classes = subfolders(folder)
    files = [path for path in folder.iterdir() if path.is_file()]
    stray = sorted(path.name for path in files if is_media(path))
    if stray or not classes:
        found = "holds no folders" if files else "is empty"
        if stray:
            found = f"holds {len(stray)} media file(s) outside of class folders: {stray[0]}"
        raise DataError(
            f"{folder} {found}",
            LAYOUT,
            "Put each clip in the folder of its scene, or list clips and labels in a file (data=manifest)",
        )
    ignored.update(kind_of(path) for path in files)
    return classes


def _only(paths: Sequence[Path]) -> Path:
    if len(paths) > 1:
        raise DataError(
            f"{paths[0]} and {paths[1].name} have one name",
            "A clip has one video file, one audio file, or one of each",
            "Rename or remove one of them",
        )
    return paths[0]
