"""The SHA-256 of a file, taken while other work goes on."""

import hashlib
import threading
from pathlib import Path

BUFFER = 1 << 18  # bytes; stays in the cache


class FileDigest(threading.Thread):
    """Starts at once; hashing leaves the interpreter to the others. Ends with the program."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path, self._digest, self._error = path, hashlib.sha256(), None
        self.start()

    def run(self) -> None:
        buffer = bytearray(BUFFER)
        view = memoryview(buffer)
        try:
            with open(self._path, "rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    self._digest.update(view[:count])
        except OSError as error:
            self._error = error

    def hexdigest(self) -> str:
        """The digest, waited for. Raises OSError when the file could not be read."""
        self.join()
        if self._error:
            raise self._error
        return self._digest.hexdigest()
