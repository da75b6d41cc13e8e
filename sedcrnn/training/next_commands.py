"""A trained network, evaluated -> the commands that people give next, with files that are there."""

from pathlib import Path
from shlex import join

from sedcrnn.inference.example_clips import unseen_clips
from sedcrnn.runs.checkpoints import BEST


def next_commands(run: Path, page: Path | None, own_recordings: bool) -> str:
    """Lines for the end of a pipeline: predict a clip of the test fold, look at the report, and go on with recordings
    of one's own, or with a page for them where the run has learnt from such.

    Args:
        run: run folder of the network that answers.
        page: the report that was written.
        own_recordings: whether the data set is the user's own.
    """
    words = ["<files>"]
    if clips := unseen_clips(run / BEST):
        clip = clips[0]
        words = [str(clip.video), *([f"audio={clip.audio}"] if clip.audio != clip.video else [])]
        words = [join([word]) for word in words]
    lines = {f"sedcrnn predict run={join([str(run)])} {' '.join(words)}": "the scene of every second"}
    if page is not None:
        lines[f"open {page} in a browser"] = "tables, figures, the worst and the best examples"
    if own_recordings:
        lines[f"sedcrnn web {join([str(run)])}"] = "a page to drop clips on"
    else:
        lines["sedcrnn pipeline stages=own data=folder data.root=recordings"] = "your own, in a folder per scene"
    width = max(map(len, lines))
    return "\n".join(["Next:", *(f"  {line:{width}}  # {about}" for line, about in lines.items())])
