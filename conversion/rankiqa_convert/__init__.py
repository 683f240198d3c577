"""The converter between caffemodel files and the port's weights. `rankiqa convert` runs it."""
