"""Files of published weights on this machine: where they lie, and whether they are the ones that they should be.

By names and digests alone: what is known and what there is can be told before torch and timm are loaded.
"""

import hashlib
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from sedcrnn.errors import WeightsError
from sedcrnn.pretrained.origins import Package

FOLDER = Path("weights")


def installed_file(package: Package) -> Path | None:
    """Where an installed package has its weights; None: it is not installed. Nothing of it is imported."""
    try:
        return Path(str(distribution(package.name).locate_file(package.file)))
    except PackageNotFoundError:
        return None


def check_package(path: Path, package: Package) -> None:
    """Refuse a package's file that is not the one that is known."""
    digest = sha256_of(path) if path.is_file() else None
    if digest != package.sha256:
        raise WeightsError(
            f"{path}, of the package {package.name}, {f'has the SHA-256 {digest}' if digest else 'is missing'}",
            f"The one that is known has {package.sha256}",
            f"Install it again: uv pip install --reinstall {package.name}",
        )


def check_cached(path: Path) -> bool:
    """Refuse a file of the hub's cache whose SHA-256 is not the one that the cache calls it by; False: by none."""
    name = path.resolve().name
    if not re.fullmatch(r"[0-9a-f]{64}", name):
        return False
    if (digest := sha256_of(path)) != name:
        raise WeightsError(
            f"{path} has the SHA-256 {digest}",
            f"The hub delivered it with {name}",
            f"Delete {path.resolve()}, and get it again with sedcrnn weights download",
        )
    return True


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
