"""The SHA-256 of a file, computed in a thread."""

import hashlib
import threading
from pathlib import Path

BUFFER = 1 << 18  # bytes; fits in the cache


class FileDigest(threading.Thread):
    """A daemon thread that hashes a file; hashing releases the interpreter lock."""

    def __init__(self, path: Path) -> None:
        """Start hashing the file at `path`."""
        super().__init__(daemon=True)
        self._path, self._digest, self._error = path, hashlib.sha256(), None
        self.start()

    def run(self) -> None:
        """Hash the file; keep an error for `hexdigest`."""
        buffer = bytearray(BUFFER)
        view = memoryview(buffer)
        try:
            if not self._path.is_file():  # opening a pipe would wait for its writer
                raise OSError(f"{self._path}: expected a file")
            with open(self._path, "rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    self._digest.update(view[:count])
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            self._error = error

    def hexdigest(self) -> str:
        """Wait for the digest and return it; raise OSError if the file could not be read."""
        self.join()
        if self._error:
            raise self._error
        return self._digest.hexdigest()
