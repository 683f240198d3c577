"""Our own Caffe Python layers, for machines without upstream's and for the paper's two other networks."""
