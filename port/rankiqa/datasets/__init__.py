"""Public image-quality data sets and ranked sets, read into the lists that Caffe and the port train on."""
