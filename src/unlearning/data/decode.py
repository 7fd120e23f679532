"""One image file to pixels, whatever its mode, or one reason why not.

The pixels are those of torchvision's `ImageFolder` and `Resize((size, size))`: the whole picture,
decoded at full size (no JPEG draft mode), bilinear with antialiasing. We differ where torchvision
loses the picture: a photograph is turned as its EXIF data say, what is transparent shows white
(torchvision drops the alpha channel and shows what lies under it), 16-bit, 32-bit and float
greyscale is scaled to 8 bit (torchvision clips it to white). Colour profiles are ignored by both.
"""

import logging
import stat
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import ExifTags, Image, UnidentifiedImageError

# A fixed list, tried in this order: others of Pillow's formats run programs (EPS) or hold no photo.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA")
# 67 million, room for a 64-megapixel photograph; 268 MB while it is decoded, in each process.
MAX_PIXELS = 2**26
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow logs what it finds odd in TIFF files; without a handler that goes to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class BadImage(Exception):  # noqa: N818, it is a verdict on a file, not a fault of the program
    """The file is no usable image; the message is the reason, without the file's path."""


def decode(path: Path, size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Return the picture in RGB; of a moving picture the first frame.

    Raises: BadImage if it is empty, in no known format, truncated, broken, unreadable or has more
    than `MAX_PIXELS` pixels; the last is seen in the header, before any pixel is decoded.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            # To open a pipe may block for ever, to read a device never end.
            raise BadImage("no file, but a folder, pipe, socket or device")
        if status.st_size == 0:
            raise BadImage("empty file")
        with warnings.catch_warnings():
            # Pillow warns of odd metadata and of large pictures; we judge both ourselves.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise BadImage(_TOO_LARGE)
                image.load()
                rgb = _rgb(_upright(image))
        return np.asarray(rgb.resize((size, size), Image.Resampling.BILINEAR))
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage(f"no image in a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise BadImage(_TOO_LARGE) from None
    except OSError as error:
        reason = f"cannot be read: {error.strerror}" if error.errno else _one_line(error)
        raise BadImage(reason) from None
    # Broken files make Pillow's parsers raise all sorts: struct.error, SyntaxError, KeyError, ...
    except Exception as error:
        raise BadImage(f"broken: {_one_line(error)}") from None


_TOO_LARGE = f"more than {MAX_PIXELS:,} pixels"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _upright(image: Image.Image) -> Image.Image:
    """Return the picture turned as its EXIF data say.

    Not `ImageOps.exif_transpose`, which also writes the data anew and fails where they are odd.
    """
    method = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if method is None else image.transpose(method)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(values: Shaped[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Return deep greyscale in 0-255, scaled from the smallest usual range that holds all values.

    Integers: 0-65535; floats: 0-1, 0-255 or 0-65535. Where none does: from their own range.
    """
    if not np.isfinite(values).all():
        raise BadImage("holds values that are not numbers")
    low, high = float(values.min()), float(values.max())
    for white in (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (65535.0,):
        if low >= 0 and high <= white:
            low, high = 0.0, white
            break
    contrast = 255 / (high - low) if high > low else 0.0
    return ((values.astype(np.float64) - low) * contrast).round().astype(np.uint8)
