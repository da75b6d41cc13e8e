"""What is known of files: path and state -> digest of what they hold, in SQLite, for all processes and commands.

All of it can be found out anew, by reading the files. A database that is damaged is begun again, and one that cannot be
used is done without; both are told.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

log = logging.getLogger(__name__)

Known = dict[str, tuple[str, str]]  # absolute path of a file -> its state, and the digest of what it then held
Result = TypeVar("Result")

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)  # the last: no such table
_AT_ONCE = 500  # paths in a query


class KnownFiles:
    """A database of what is known of files, which is made where it is absent."""

    def __init__(self, path: Path, timeout: float = 60) -> None:
        self.path, self.timeout = path, timeout  # seconds to wait for other processes
        self._use(self._create, None, "it is done without")

    def look_up(self, paths: Sequence[str]) -> Known:
        """What is known of some files."""

        def select(connection: sqlite3.Connection) -> Known:
            connection.execute("BEGIN")  # one lock for all of them
            found: Known = {}
            for start in range(0, len(paths), _AT_ONCE):
                some = list(map(_stored, paths[start : start + _AT_ONCE]))
                marks = ",".join("?" * len(some))
                rows = connection.execute(f"SELECT path, state, digest FROM files WHERE path IN ({marks})", some)
                found |= {os.fsdecode(path): (state, digest) for path, state, digest in rows}
            return found

        return self._use(select, {}, "it is done without")

    def write_down(self, known: Known) -> None:
        """Add what is known of some files, or replace what was."""
        rows = [(_stored(path), state, digest) for path, (state, digest) in known.items()]
        self._use(
            lambda connection: connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows),
            None,
            f"what {len(rows)} file(s) hold is found out anew each time",
        )

    def _use(self, work: Callable[[sqlite3.Connection], Result], otherwise: Result, consequence: str) -> Result:
        for is_anew in (False, True):
            try:
                with self._connect() as connection:
                    return work(connection)
            except sqlite3.Error as error:
                problem = error
                code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # none: what is no text
                if code == sqlite3.SQLITE_BUSY:
                    self.timeout = 0  # whoever holds it, holds it on
                if is_anew or code not in _DAMAGED or not self._begin_again(error):
                    break
        log.warning("%s cannot be used (%s): %s.", self.path, problem, consequence, extra={"once": True})
        return otherwise

    def _begin_again(self, problem: sqlite3.Error) -> bool:
        """Replace a damaged database by an empty one, if that can be."""
        with suppress(OSError, sqlite3.Error):
            for suffix in ("", "-journal", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            with self._connect() as connection:
                self._create(connection)
            log.warning("%s was damaged (%s), and is made again.", self.path, problem)
            return True
        return False

    @staticmethod
    def _create(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, state TEXT, digest TEXT)")
        connection.execute("SELECT path, state, digest FROM files LIMIT 1")

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        # One connection per use: connections survive neither a fork nor a trip to another thread.
        with closing(sqlite3.connect(self.path, timeout=self.timeout)) as connection, connection:
            yield connection


def _stored(path: str) -> str | bytes:
    """A path as SQLite takes it: names may be other bytes than UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path
