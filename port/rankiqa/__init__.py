"""RankIQA in PyTorch."""
