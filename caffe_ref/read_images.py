#!/usr/bin/env python3
"""What the original's reader, cv2.imread, makes of image files.

    read_images.py FOLDER ANSWER.json

The answer: {file name: [shape, SHA-256 of the pixels (uint8, BGR, row by row) in hexadecimal], or null where it reads
none}. It needs neither Caffe nor a file of ours, so that the container runs it from any folder.
"""

import hashlib
import json
import os
import sys

import cv2
import numpy as np


def read(path):
    try:
        pixels = cv2.imread(path)
    except cv2.error:
        return None
    if pixels is None:
        return None
    return [list(pixels.shape), hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()]


def main(argv=None):
    folder, answer = argv if argv is not None else sys.argv[1:]
    pixels = {name: read(os.path.join(folder, name)) for name in sorted(os.listdir(folder))}
    with open(answer, "w") as file:
        json.dump(pixels, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
