"""What becomes of a file with pieces that cannot be decoded."""

from pathlib import Path

from av.container import InputContainer

from sedcrnn.features.feature import unreadable
from sedcrnn.features.media_file import tell

BROADCASTS = ("mpegts", "mpeg")  # which a recorder joins and leaves in the middle of a picture


def damage_parameter(policy: str) -> dict[str, object]:
    """What the policy adds to a feature's parameters: nothing where it stops, because then no damage is stored."""
    return {} if policy == "stop" else {"damage": policy}


class Damage:
    """The policy for damaged pieces of one track: `stop` refuses the file, `skip` leaves a gap, `end` ends the track.

    What lies before the first whole piece of a broadcast, and behind the last, is cut rather than damaged, and left
    out in any case. A gap is silence, or the picture before it. Everything left out is told in a warning.
    """

    def __init__(self, path: Path, track: str, policy: str, container: InputContainer) -> None:
        self.path, self.track, self.policy = path, track, policy
        self.pieces, self.ended = 0, False
        self._broadcast = container.format.name in BROADCASTS
        self._whole = False  # whether a piece has been decoded
        self._held: str | None = None  # damage that is not damage where nothing follows

    def met(self, why: str) -> None:
        """A piece could not be decoded. `ended` is then whether the track ends here.

        Raises:
            ClipError: the policy is to stop.
        """
        self.pieces += 1
        if self._broadcast and (self.policy == "stop" or not self._whole):
            self._held = self._held or why
        elif self.policy == "stop":
            raise unreadable(self.path, why)
        else:
            self.ended = self.policy == "end"

    def passed(self) -> None:
        """A piece was decoded.

        Raises:
            ClipError: there was damage before, in the middle of the file, and the policy is to stop.
        """
        if self._held and self._whole:
            raise unreadable(self.path, self._held)
        self._held, self._whole = None, True

    def tell(self) -> None:
        """Say what was left out, when the track has been read."""
        if self.pieces:
            stead = "silence" if self.track == "audio" else "the picture before"
            then = "The track ends there" if self.ended else f"In their place is {stead}"
            tell(f"'{self.path}' has {self.pieces} damaged piece(s) of {self.track}. {then}.")
