"""Public image-quality data sets and ranked sets, read into the lists that Caffe and the port train on.

Each module of a data set has SET (what it is) and read(folder), which finds the images and their labels, in the order
of the data set's own files. `base.checked` then holds them to what the set should be, `splits` gives each reference to
a side, and `writing` makes the lists. Nothing here opens an image.
"""
