"""The converter: caffemodel files to the port's weights, and back. `rankiqa convert` runs it."""
