"""Ranked sets: the original's folders of distorted images, made from a folder of photographs.

Layout: OUT/TYPE/TYPE<level>/NAME.bmp (.jpg, .jp2), as upstream's MATLAB code writes them and its list generators read
them, and OUT/pristine_images/NAME.bmp, which is written last: a photograph that is there has all its files. `images`
may be OUT/pristine_images itself (upstream's arrangement); nothing is written there then. NAME is the photograph's
name without its suffix; white space and dots in it become "_", because upstream's lists are split at white space and
sorted with the suffix.

The same bytes for any number of workers and shards: what is random in a file comes from a numpy Generator that is
seeded with the SHA-256 of (seed, NAME, TYPE, level). Libraries choose their instructions by the processor, so on
machines of different kinds the last bit before rounding, and with it a grey level here and there, may differ.

Files appear whole or not at all: each is written to OUT/.rankiqa/run-*/ and renamed into its place. The next run
removes what a killed one left there.

Valid files are not made again. OUT/.rankiqa/records/NAME.json has the SHA-256 of the photograph, the digest of the
settings, and the size and SHA-256 of each file; it is written after the files. A file is valid when its bytes have the
recorded SHA-256 (`quick`: when it has the recorded size) and photograph and settings are those of the record. When the
photograph or the settings have changed, all files that the old record names are removed first. OUT/settings.json
describes the folder; a run with another set, seed, version or code of the distortions is refused.

Memory: the command holds a few thousand names at a time, each worker one photograph.
"""
