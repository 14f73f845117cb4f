"""A picture's way from its bytes to its pixels."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from inference_engine.decoding import decode_image

if TYPE_CHECKING:
    from inference_engine.images import Image
    from inference_engine.sniff import ImageLimits
    from workers.flights import Flight
    from workers.media import MediaReader


def read_bytes(flight: Flight, media: MediaReader) -> None:
    """Give a flight its item's bytes and their hash; hashlib lets other threads run meanwhile."""
    flight.data = media.read(flight.item.uri)
    flight.content = hashlib.sha256(flight.data).hexdigest()


def pixels_of(flight: Flight, limits: ImageLimits) -> Image:
    """Take a flight's bytes and decode them, or take the pixels that a frame brings along."""
    (data, flight.data), (image, flight.image) = (flight.data, None), (flight.image, None)
    return flight.timed("decode", decode_image, data or b"", limits) if image is None else image
