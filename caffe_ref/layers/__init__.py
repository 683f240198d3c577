"""Our Caffe Python layers, for machines without upstream and for the paper's two other networks."""
