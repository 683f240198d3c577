"""The header type that every format's module returns, and the wording of notes that several formats share."""

from __future__ import annotations

from dataclasses import dataclass

ALPHA = "alpha dropped"
PROFILE = "colour profile not applied"
CMYK = "CMYK converted without a colour profile"


class ImageError(ValueError):
    """An image cannot be used. The message says what was expected and what the file contains."""


class CutOff(Exception):
    """The file is shorter than its header says."""


@dataclass(frozen=True)
class Header:
    """The properties of an image file.

    Attributes:
        kind: The usual name of the format.
        height: Height in pixels, before any orientation is applied; 0 if only the decoder determines it.
        width: Width in pixels, likewise.
        bits: Bits per channel.
        colours: "grey", "colour", "palette", "CMYK" or "Lab".
        alpha: Whether the image has an alpha channel or a transparent colour.
        notes: Descriptions of what the original's reader drops or changes.
        refused: The reason why the original's pixels are not available, or None. Either the original's reader does not
            read the file, or current OpenCV reads it differently.
        orientation: The EXIF orientation if the original's reader does not apply it, otherwise 1.
        layout: For a TIFF, the set of those that apply: "planes" (separate planes), "tiles", "turned" (has an
            orientation), "min-is-white" (grey 0), "multiplied" (premultiplied alpha), "signed".
        replace: (offset, bytes) to write into the data before OpenCV decodes it, or None.
    """

    kind: str
    height: int = 0
    width: int = 0
    bits: int = 8
    colours: str = "colour"
    alpha: bool = False
    notes: tuple[str, ...] = ()
    refused: str | None = None
    orientation: int = 1
    layout: frozenset[str] = frozenset()
    replace: tuple[int, bytes] | None = None


def common_notes(*, bits: int = 8, colours: str = "colour", alpha: bool = False, profile: bool = False) -> list[str]:
    """Return the notes for properties that most formats have."""
    notes = [CMYK] if colours == "CMYK" else ["Lab converted to RGB"] if colours == "Lab" else []
    if bits > 8:
        notes.append(f"{bits} bits per channel: reduced to 8")
    if alpha:
        notes.append(ALPHA)
    if profile:
        notes.append(PROFILE)
    return notes


def frames_note(count: int, what: str = "frames") -> list[str]:
    """Return the note that only the first of several frames was read; an empty list for a single frame."""
    return [f"first of {count} {what}"] if count > 1 else []


def orientation_note(orientation: int) -> list[str]:
    """Return the note that an EXIF orientation was not applied; an empty list for orientation 1."""
    return [f"EXIF orientation {orientation} not applied"] if orientation != 1 else []


def exif_orientation(exif: bytes) -> int:
    """Return the orientation, 1..8, from EXIF data; 1 if they contain none."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(exif[:4])
    if order is None:
        return 1
    at = int.from_bytes(exif[4:8], order)  # type: ignore[arg-type]
    for i in range(int.from_bytes(exif[at : at + 2], order)):  # type: ignore[arg-type]
        entry = exif[at + 2 + 12 * i : at + 14 + 12 * i]
        if int.from_bytes(entry[:2], order) == 0x0112:  # type: ignore[arg-type]
            value = int.from_bytes(entry[8:10], order)  # type: ignore[arg-type]
            return value if 1 <= value <= 8 else 1
        if len(entry) < 12:
            break
    return 1
