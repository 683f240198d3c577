"""The paper's experiments on a folder of photographs: training, CSV files and a page (`rankiqa experiment`)."""
