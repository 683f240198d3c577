"""The paper's experiments on any folder of photographs: training, CSV files and a page each (`rankiqa experiment`)."""
