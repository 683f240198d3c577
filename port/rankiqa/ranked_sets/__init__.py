"""From a folder of photographs to a ranked set: the original's folders, made by any number of processes and machines.

OUT/TYPE/TYPE<level>/NAME.bmp (.jpg, .jp2), as upstream's MATLAB writes them and its list generators read them, and
OUT/pristine_images/NAME.bmp, written last: a photograph that stands there has all the files that were asked for.
(`images` may itself be OUT/pristine_images, upstream's own arrangement; nothing is written there then.)
NAME is the photograph's without its suffix; white space and dots in it become "_", because upstream's lists are split
at white space and sorted with the suffix.

The same bytes always: what is random comes from a numpy Generator seeded with the SHA-256 of (seed, NAME, TYPE, level),
so neither the workers, nor the shard, nor the other photographs matter. (Libraries choose their instructions by the
processor: on machines of different kinds the last bit before rounding, and so a grey level here and there, may differ.)

Whole files only: each is written to OUT/.rankiqa/run-*/ and renamed into its place, so that a kill leaves nothing
half-written in a folder that lists are made from; the next run removes what a killed one left there.

What is there and right: OUT/.rankiqa/records/NAME.json holds the photograph's SHA-256, the settings' digest, and the
size and SHA-256 of each file made from it. It is written after the files. A file that a record names is right when its
bytes have that SHA-256 (`quick`: when it has that size) and the photograph and the settings are those of the record;
anything else is made again. When a photograph or the settings have changed, all that the old record names is removed
first. OUT/settings.json says what the folder is; a run with another set, seed, version or code of the distortions is
refused.

Memory: the command itself holds names by the thousand, never all of them; a worker holds one photograph.
"""
