"""Read public image-quality data sets and ranked sets, and write the lists that Caffe and the port train on.

Each data set has a module with SET (its description) and read(folder), which finds the images and their labels, in the
order of the data set's own files. `base.checked` then compares them with the description, `splits` assigns each
reference to a side, and `list_writer` writes the lists. This package does not open any image.
"""
