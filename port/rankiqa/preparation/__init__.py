"""From a downloaded collection of pristine images to the folder that `rankiqa distort` reads.

What is chosen depends on names, labels and the seed alone, never on the order of a file or a folder. OUT/NAME.bmp are
the images, 24-bit; OUT.json, beside the folder because upstream's list generators list all that is inside, says what
was chosen and how.
"""
