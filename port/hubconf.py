"""torch.hub's entry file; it works from a checkout, without installing the package.

`torch.hub.load("CHECKOUT/port", "rankiqa", path="W.safetensors", source="local")`
"""

from rankiqa.hub import dependencies, rankiqa, rankiqa_network

__all__ = ["dependencies", "rankiqa", "rankiqa_network"]
