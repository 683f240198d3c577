"""Read the headers of image files, with one module per format.

OpenCV decodes pixels but reports neither what it dropped nor that a file is truncated, and Pillow's limits (on pixels
and on text chunks of a PNG) are process-wide. Therefore these modules read headers themselves, without decoding.
"""
