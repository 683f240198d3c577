"""What is wrong with a file."""


class CaffemodelError(ValueError):
    """A file that cannot be read as what it should be; the message says expected, got and where."""
