"""Messages that contain names from files, made safe for a terminal."""

LONGEST = 8000  # characters of a line


def printable(text: str) -> str:
    """Return a message as one printable line of limited length: names in it come from files and may hold any text."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} .. ({len(text)} characters)"
