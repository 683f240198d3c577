"""Thumbnails for self-contained HTML pages."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from rankiqa.data.images import check_image

JPEG_QUALITY = 80


def data_uri(image: np.ndarray, side: int) -> str:
    """Encode an image as a JPEG in a data URI.

    Args:
        image: uint8 (H, W, 3), RGB.
        side: The maximum length of the longer side in pixels. A larger image is scaled down by area averaging.

    Returns:
        The URI, or "" if OpenCV cannot encode the image.

    Raises:
        ValueError: The image is not uint8 (H, W, 3).
    """
    check_image(image)
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode() if done else ""
