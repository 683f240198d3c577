"""Networks: a table of the paper's architectures, the modules built from it, the weights files and the registry."""
