"""Networks: the paper's architectures as a table, the modules built from it, their weights files and their registry."""
