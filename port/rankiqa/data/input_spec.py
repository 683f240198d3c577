"""What a network takes as input, without torch."""

from __future__ import annotations

from dataclasses import dataclass

CHANNEL_ORDERS = ("BGR", "RGB")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB, of 0..1


@dataclass(frozen=True)
class InputSpec:
    """The crops that a network takes: (v / 255 * value_range - mean) / std of each channel value v in 0..255.

    Attributes:
        crop: Side of the square crop in pixels.
        channel_order: "BGR" (Caffe's networks) or "RGB".
        value_range: What 255 becomes before mean and deviation: 255.0 leaves pixel values as they are.
        mean: Subtracted from each channel, in `channel_order` and in units of `value_range`.
        std: Divides each channel afterwards.

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
        """Whether the network takes pixel values as they are, 0..255."""
        return self.value_range == 255.0 and not any(self.mean) and self.std == (1.0, 1.0, 1.0)
