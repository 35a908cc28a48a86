"""What a file may cost before it is refused.

Every limit is checked before the work it limits, on what the file says of itself, and again on what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

from lungsev.errors import SkippedImageError, UnreadableImageError

MIB = 1024 * 1024


@dataclass(frozen=True)
class ReadLimits:
    """Limits on the reading of one image.

    Attributes:
        file_bytes: Size on disk. The largest detectors write 4,300 x 4,300 x 2 bytes = 35 MiB uncompressed.
        pixels: Rows x columns. 36 million covers every detector (18.5 million) and film digitisers with room.
        side_px: Rows or columns; also keeps the products of sizes far from 32-bit overflow in the codecs.
        min_side_px: Below it there is nothing to grade: icons, dose screens, cropped thumbnails.
        decoded_bytes: A picture with its colours: 24 million pixels of 16-bit RGB, 36 million of float32.
        inflated_bytes: Dataset after inflation (deflated transfer syntax); a large image and its header fit.
        inflation_ratio: Inflated over deflated bytes, once 16 MiB have come out; images reach 5, zeros 1,000.
        cpu_seconds: Processor time of one image in the reading process; a large JPEG 2000 takes 2-3 s on a Jetson.
        wall_seconds: The same on the clock, for hangs that use no processor; long, since a machine may be busy.
        memory_bytes: Address space the reading process may add while it works on one image. With the 80 MB that it
            begins with it stays below 400 MB; 36 million pixels of 16 bits take 270 MB.
    """

    file_bytes: int = 128 * MIB
    pixels: int = 36_000_000
    side_px: int = 16_384
    min_side_px: int = 64
    decoded_bytes: int = 144_000_000
    inflated_bytes: int = 96 * MIB
    inflation_ratio: int = 100
    cpu_seconds: float = 20.0
    wall_seconds: float = 60.0
    memory_bytes: int = 304 * MIB

    def check_size(self, rows: int, columns: int) -> None:
        """Refuse a size outside the limits, before anything is decoded.

        Raises:
            UnreadableImageError: `too_large` or `wrong_shape`.
            SkippedImageError: `too_small`.
        """
        found = f"the image is {rows} x {columns} pixels"
        if rows < 1 or columns < 1:
            raise UnreadableImageError("wrong_shape", f"{found}, expected at least one row and one column")
        if rows * columns > self.pixels or max(rows, columns) > self.side_px:
            raise UnreadableImageError(
                "too_large", f"{found}, the limit is {self.pixels} pixels and {self.side_px} a side"
            )
        if min(rows, columns) < self.min_side_px:
            raise SkippedImageError("too_small", f"{found}, an X-ray has at least {self.min_side_px} a side")
