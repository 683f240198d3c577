"""What an image file's header says, one module a format.

OpenCV decodes the pixels but tells neither what it dropped nor that a file was cut off, and Pillow's limits (on pixels,
on text chunks of a PNG) belong to the whole process. So headers are read here, without decoding.
"""
