"""The error that is raised for files that cannot be read or written."""


class CaffemodelError(ValueError):
    """A file does not have the expected content. The message says what was expected, what was found, and where."""
