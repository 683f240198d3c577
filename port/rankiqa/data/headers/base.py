"""What every format's module returns, and the words they share."""

from __future__ import annotations

from dataclasses import dataclass

ALPHA = "alpha dropped"
PROFILE = "colour profile not applied"
CMYK = "CMYK converted without a colour profile"


class ImageError(ValueError):
    """An image that cannot be used; the message says what was expected and what was found."""


class CutOff(Exception):
    """The file ends before its header says that it does."""


@dataclass(frozen=True)
class Header:
    """What an image file says of itself.

    Attributes:
        kind: Its format, by its usual name.
        height: In pixels, as stored; 0 where the module leaves that to the decoder.
        width: The same.
        bits: Bits a channel.
        colours: "grey", "colour", "palette", "CMYK" or "Lab".
        alpha: Whether there is an alpha channel, or a transparent colour.
        notes: What the original's reader drops or changes, in words.
        refused: Why the original's reader (or OpenCV of today, where it reads something else) gives no such pixels.
        orientation: The EXIF orientation where the original's reader does not apply it, otherwise 1.
        layout: Of a TIFF, those that apply of "planes" (channels stored one behind the other), "tiles", "turned" (has
            an orientation), "min-is-white" (grey 0), "multiplied" (alpha, into the colours), "signed".
        replace: (offset, bytes) to put into the file before OpenCV decodes it.
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
    """Notes on the things that most formats share."""
    notes = [CMYK] if colours == "CMYK" else ["Lab converted to RGB"] if colours == "Lab" else []
    if bits > 8:
        notes.append(f"{bits} bits a channel: reduced to 8")
    if alpha:
        notes.append(ALPHA)
    if profile:
        notes.append(PROFILE)
    return notes


def frames_note(count: int, what: str = "frames") -> list[str]:
    """The note that only the first of several was read."""
    return [f"first of {count} {what}"] if count > 1 else []


def orientation_note(orientation: int) -> list[str]:
    """The note that an EXIF orientation was left alone."""
    return [f"EXIF orientation {orientation} not applied"] if orientation != 1 else []


def exif_orientation(exif: bytes) -> int:
    """The orientation, 1..8, that EXIF data say (1 where they say none)."""
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
