#!/usr/bin/env python3
"""Read image files with cv2.imread, as the original does, and write their shapes and digests.

    read_images.py FOLDER ANSWER.json

The answer is {file name: [shape, SHA-256 of the pixels (uint8, BGR, row by row) in hexadecimal], or null for a file
that cv2 cannot read}. The script needs neither Caffe nor another file of ours, so the container can run it from any
folder.
"""

import hashlib
import json
import os
import sys

import cv2
import numpy as np


def read(path):
    """Return [shape, SHA-256 of the pixels] of an image, or None if cv2 cannot read it."""
    try:
        pixels = cv2.imread(path)
    except cv2.error:
        return None
    if pixels is None:
        return None
    return [list(pixels.shape), hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()]


def main(argv=None):
    """Run the command line and return the exit status."""
    folder, answer = argv if argv is not None else sys.argv[1:]
    pixels = {name: read(os.path.join(folder, name)) for name in sorted(os.listdir(folder))}
    with open(answer, "w") as file:
        json.dump(pixels, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
