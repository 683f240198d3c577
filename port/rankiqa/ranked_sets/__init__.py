"""Ranked sets: the original's folders of distorted images, made from a folder of photographs.

Layout: OUT/TYPE/TYPE<level>/NAME.bmp (.jpg, .jp2), as upstream's MATLAB code writes them and its list generators read
them, and OUT/pristine_images/NAME.bmp. The pristine image is written last, so a photograph that has one has all its
files. `images` may be OUT/pristine_images itself (upstream's arrangement); nothing is written there then. NAME is the
photograph's name without its suffix. White space and dots in it become "_", because upstream's lists are split at white
space and sorted with the suffix.

The bytes do not depend on the number of workers and shards: the random numbers of a file come from a numpy Generator
seeded with the SHA-256 of (seed, NAME, TYPE, level). Libraries choose their instructions by the processor. On machines
of different types, the last bit before rounding may therefore differ, and with it some pixels by one grey level.

Files are written atomically: each is written to OUT/.rankiqa/run-*/ and then renamed. The next run removes what a
killed run left there.

Valid files are not made again. OUT/.rankiqa/records/NAME.json contains the SHA-256 of the photograph, the digest of the
settings, and the size and SHA-256 of each file; it is written after the files. A file is valid if its bytes have the
recorded SHA-256 (with `quick`: if it has the recorded size) and the photograph and the settings are those of the
record. If the photograph or the settings have changed, all files in the old record are removed first. OUT/settings.json
describes the folder; a run with another set, seed, version or code of the distortions is refused.

Memory: the command keeps a few thousand names, each worker one photograph.
"""
