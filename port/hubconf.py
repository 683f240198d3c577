"""torch.hub: `torch.hub.load("CHECKOUT/port", "rankiqa", path="W.safetensors", source="local")`, without installing."""

from rankiqa.hub import dependencies, rankiqa, rankiqa_network

__all__ = ["dependencies", "rankiqa", "rankiqa_network"]
