"""One image file to pixels, whatever its mode, or one reason why not.

The pixels are those of torchvision's `ImageFolder` and `Resize((size, size))`: the whole picture, bilinear with
antialiasing. We differ where torchvision loses the picture, or time:

- a photograph is turned as its EXIF data say, and as stored where they say nothing that can be read;
- what is transparent shows white (torchvision drops the alpha channel and shows what lies under it);
- an embedded colour profile is followed, as viewers do (torchvision ignores it);
- greyscale of 16 or 32 bit or float is shown from black to white over the range of the whole data set
  (`depth`; torchvision clips it to white);
- a JPEG at least six times as large as asked for is decoded at a half, a quarter or an eighth of its size:
  what is left is at least three times as large, and the mean difference below one level of 255.
"""

import logging
import os
import stat
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pi_heif
from jaxtyping import Shaped, UInt8
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from unlearning.sources.depth import PLAIN, Depth, Span

# A fixed list, tried in this order: others of Pillow's formats run programs (EPS) or hold no photo.
FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF", "JPEG2000", "TGA"
)  # fmt: skip
pi_heif.register_heif_opener()
# 67 million, room for a 64-megapixel photograph; 268 MB while it is decoded, in each process.
MAX_PIXELS = 2**26
# Of a JPEG that is decoded at reduced size: 200-megapixel phones. Not of a progressive one, whose coefficients
# are held in memory as a whole.
MAX_JPEG_PIXELS = 2**28
# Pillow refuses twice as many before the header is ours to judge.
Image.MAX_IMAGE_PIXELS = MAX_JPEG_PIXELS
MARGIN = 3  # times the side asked for that a reduced JPEG must keep
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PNG_START = b"\x89PNG\r\n\x1a\n"
MAX_PNG_BYTES = 2**28  # of one that is copied without its metadata
SRGB = ImageCms.createProfile("sRGB")

# Pillow logs what it finds odd in TIFF files; without a handler that goes to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class BadImage(Exception):  # noqa: N818, it is a verdict on a file, not a fault of the program
    """The file is no usable image; the message is the reason, without the file's path."""


def span(path: Path) -> Span | None:
    """Return the values of a deep greyscale file; None of any other, of which the header alone is read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                if not _is_deep(image) or image.width * image.height > MAX_PIXELS:
                    return None
                values = np.asarray(image)
    except Exception:  # it is `decode` that says what is wrong with it
        return None
    if not np.isfinite(values).all():
        return None
    return Span(float(values.min()), float(values.max()), values.dtype.kind == "f")


def decode(path: Path, size: int, depth: Depth = PLAIN) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Return the picture in RGB; of a moving picture the first frame.

    `depth`: which values of deep greyscale are black and white; of a file beyond it, its own range is.

    Raises: BadImage if it is empty, in no known format, truncated, broken, unreadable or too large
    (`MAX_PIXELS`, `MAX_JPEG_PIXELS`); the last is seen in the header, before any pixel is decoded.
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
            try:
                return _pixels(path, size, depth)
            except (SyntaxError, ValueError, UnidentifiedImageError) as error:
                try:
                    return _pixels(without_ancillary_chunks(path), size, depth)
                except Exception:
                    raise error from None
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage(f"no image in a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise BadImage(f"more than {MAX_PIXELS:,} pixels") from None
    except OSError as error:
        reason = f"cannot be read: {error.strerror}" if error.errno else _one_line(error)
        raise BadImage(reason) from None
    # Broken files make Pillow's parsers raise all sorts: struct.error, SyntaxError, KeyError, ...
    except Exception as error:
        raise BadImage(f"broken: {_one_line(error)}") from None


def _pixels(file: Path | BytesIO, size: int, depth: Depth) -> UInt8[np.ndarray, "{size} {size} 3"]:
    with Image.open(file, formats=FORMATS) as image:
        if image.format in ("JPEG", "MPO") and not image.info.get("progressive"):
            if image.width * image.height > MAX_JPEG_PIXELS:
                raise BadImage(f"more than {MAX_JPEG_PIXELS:,} pixels")
            image.draft(None, (MARGIN * size, MARGIN * size))
        if image.width * image.height > MAX_PIXELS:
            raise BadImage(f"more than {MAX_PIXELS:,} pixels")
        image.load()
        shown = _upright(image)
        profile = image.info.get("icc_profile")
        if not profile or not isinstance(profile, bytes) or _is_deep(image):
            return np.asarray(_resized(_rgb(shown, depth), size))
        if shown.mode == "L" and shown.has_transparency_data:
            # On white, and grey again: a grey profile is of no use to RGB.
            shown = _rgb(shown, depth).convert("L")
        # Colours after the size: it is the same to the eye, and the profile sees few pixels.
        small = _resized(shown if shown.mode in ("L", "CMYK") else _rgb(shown, depth), size)
        return np.asarray(_followed(small, profile))


def of_array(values: UInt8[np.ndarray, "..."], size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Return a picture that is decoded already, grey or RGB, at this size and in RGB."""
    return np.asarray(_resized(Image.fromarray(values).convert("RGB"), size))


def _resized(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.BILINEAR)


def _followed(image: Image.Image, profile: bytes) -> Image.Image:
    """Return the picture's colours in sRGB; as they are where the profile is broken or of another kind."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        followed = ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        followed = None
    return followed or image.convert("RGB")


def without_ancillary_chunks(path: Path) -> BytesIO:
    """Return a PNG with nothing in it but its pixels.

    No text, date or broken profile may cost a picture: Pillow refuses the whole file for one of them.
    Raises: ValueError of any other file, or if what is kept exceeds `MAX_PNG_BYTES`.
    Source: PNG specification, 5.4: a chunk whose name begins with a small letter may be left out.
    """
    kept, left = BytesIO(), MAX_PNG_BYTES
    with path.open("rb") as file:
        # Before the rest is read: a film of gigabytes may stand among the pictures.
        if file.read(len(PNG_START)) != PNG_START:
            raise ValueError("no PNG")
        kept.write(PNG_START)
        while len(head := file.read(8)) == 8:
            length, name = int.from_bytes(head[:4], "big"), head[4:]
            # The rest is no PNG, and may be gigabytes of zeros that take no place on the disk.
            if not name.isalpha():
                break
            if name[:1].isupper() or name == b"tRNS":
                left -= 12 + length
                if left < 0:
                    raise ValueError("a PNG too large to be read without its metadata")
                kept.write(head)
                kept.write(file.read(length + 4))
            else:
                file.seek(length + 4, os.SEEK_CUR)
    kept.seek(0)
    return kept


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _upright(image: Image.Image) -> Image.Image:
    """Return the picture turned as its EXIF data say; as stored where they are none, or broken.

    Not `ImageOps.exif_transpose`, which also writes the data anew and fails where they are odd.
    """
    try:
        method = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # its parser raises all sorts: SyntaxError, struct.error, TypeError, ...
        method = None
    return image if method is None else image.transpose(method)


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith(("I", "F"))


def _rgb(image: Image.Image, depth: Depth) -> Image.Image:
    if _is_deep(image):
        return Image.fromarray(_to_8_bit(np.asarray(image), depth)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(values: Shaped[np.ndarray, "H W"], depth: Depth) -> UInt8[np.ndarray, "H W"]:
    """Return deep greyscale in 0-255 by the data set's rule; by its own where that does not hold it."""
    if not np.isfinite(values).all():
        raise BadImage("holds values that are not numbers")
    own = Span(float(values.min()), float(values.max()), values.dtype.kind == "f")
    known = depth.floats if own.floats else depth.integers
    if known is None or own.low < known[0] or own.high > known[1]:
        rule = Depth.of([own])
        known = rule.floats if own.floats else rule.integers
    assert known is not None
    low, high = known
    contrast = 255 / (high - low) if high > low else 0.0
    return ((values.astype(np.float64) - low) * contrast).round().astype(np.uint8)
