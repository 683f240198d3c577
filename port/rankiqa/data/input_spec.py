"""The input format of a network. This module does not import torch."""

from __future__ import annotations

from dataclasses import dataclass

CHANNEL_ORDERS = ("BGR", "RGB")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # for RGB values in 0..1


@dataclass(frozen=True)
class InputSpec:
    """The crops that a network takes: a channel value v in 0..255 becomes (v / 255 * value_range - mean) / std.

    Attributes:
        crop: Side of the square crop in pixels.
        channel_order: "BGR" (Caffe's networks) or "RGB".
        value_range: The value that 255 is scaled to before mean and deviation are applied; 255.0 means no scaling.
        mean: The mean to subtract from each channel, in `channel_order` and in units of `value_range`.
        std: The deviation by which each channel is then divided.

    Raises:
        ValueError: For a value out of range.
    """

    crop: int
    channel_order: str = "BGR"
    value_range: float = 255.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if self.crop < 1:
            raise ValueError(f"input crop: expected 1 pixel or more, got {self.crop}")
        if self.channel_order not in CHANNEL_ORDERS:
            raise ValueError(f"input channel_order: expected BGR or RGB, got {self.channel_order!r}")
        if not self.value_range > 0 or len(self.mean) != 3 or len(self.std) != 3 or not min(self.std) > 0:
            raise ValueError(
                "input: expected value_range above 0 and three means and deviations (above 0), "
                f"got {self.value_range}, {self.mean}, {self.std}"
            )

    @property
    def is_pixels(self) -> bool:
        """Whether the network takes unchanged pixel values, 0..255."""
        return self.value_range == 255.0 and not any(self.mean) and self.std == (1.0, 1.0, 1.0)
