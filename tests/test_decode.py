"""Every mode comes out as the picture a person sees; every broken file as one reason."""

import io
import os
import struct
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import ExifTags, Image, ImageOps

from unlearning.data.decode import MAX_PIXELS, BadImage, decode

RED, BLUE = (255, 0, 0), (0, 0, 255)


def photo(width: int = 97, height: int = 61, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Return a picture with structure at every scale, so that another filter shows."""
    rng = np.random.default_rng(seed)
    rough = Image.fromarray(rng.integers(0, 256, (9, 14, 3), dtype=np.uint8))
    smooth = np.asarray(rough.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    noisy = smooth + rng.integers(-40, 40, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert(mode)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims this size and holds next to nothing."""
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", ihdr), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def refusal(path: Path) -> str:
    with pytest.raises(BadImage) as caught:
        decode(path, 32)
    reason = str(caught.value)
    assert str(path.parent) not in reason
    assert "\n" not in reason
    return reason


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "YCbCr"])
@pytest.mark.parametrize(("width", "height"), [(640, 480), (20, 30), (32, 32), (999, 33)])
def test_pixels_are_those_of_torchvision(tmp_path, mode, width, height):
    """Must fail if the filter, antialiasing, JPEG draft mode or the order of steps changes."""
    path = tmp_path / ("x.png" if mode in ("1", "P") else "x.tif" if mode == "YCbCr" else "x.jpg")
    photo(width, height, mode).save(path)
    loaded = torchvision.datasets.folder.default_loader(str(path))
    resized = torchvision.transforms.Resize((32, 32))(loaded)
    actual = decode(path, 32)
    assert actual.dtype == np.uint8
    np.testing.assert_array_equal(actual, np.asarray(resized))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_show_white(tmp_path, mode):
    """Must fail if the alpha channel is dropped: black shows, or what lies under it."""
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (16, 0, 32, 16))
    image.paste((0, 0, 0, 51), (16, 16, 32, 32))
    image.convert(mode).save(tmp_path / "x.png")
    actual = decode(tmp_path / "x.png", 32)
    assert actual[0, 0].tolist() == [0, 0, 0]
    assert actual[0, 31].tolist() == [255, 255, 255]
    assert actual[31, 31].tolist() == [204, 204, 204]


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_transparent_palette_colour_shows_white(tmp_path, suffix):
    """Must fail if a palette's transparency is ignored."""
    image = Image.new("P", (32, 32), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (16, 0, 32, 32))
    image.save(tmp_path / f"x.{suffix}", transparency=1)
    actual = decode(tmp_path / f"x.{suffix}", 32)
    assert actual[0, 0].tolist() == list(RED)
    assert actual[0, 31].tolist() == [255, 255, 255]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_greyscale_is_scaled_not_clipped(tmp_path, suffix):
    """Must fail if values over 255 become white."""
    ramp = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    Image.fromarray(ramp).save(tmp_path / f"x.{suffix}")
    actual = decode(tmp_path / f"x.{suffix}", 32)
    np.testing.assert_array_equal(actual[..., 0], np.round(ramp / 257).astype(np.uint8))
    np.testing.assert_array_equal(actual[..., 0], actual[..., 2])


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.int32, [0, 257, 65535], [0, 1, 255]),
        (np.int32, [-1000, 0, 1000], [0, 128, 255]),
        (np.int32, [70000, 70000, 70000], [0, 0, 0]),
        (np.float32, [0, 0.2, 1], [0, 51, 255]),
        (np.float32, [0, 51, 255], [0, 51, 255]),
        (np.float32, [-1, 0.2, 1], [0, 153, 255]),
    ],
)
def test_deep_greyscale_is_scaled_from_its_range(tmp_path, dtype, values, expected):
    """Must fail if a range is chosen wrongly, or one value divides by zero."""
    Image.fromarray(np.repeat(np.array(values, dtype), 32)[None]).save(tmp_path / "x.tif")
    actual = decode(tmp_path / "x.tif", 96)
    assert actual[0, [0, 48, 95], 0].tolist() == expected


def test_floats_that_are_no_numbers_are_refused(tmp_path):
    """Must fail if a NaN becomes some grey."""
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "x.tif")
    assert refusal(tmp_path / "x.tif") == "holds values that are not numbers"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_exif_data_say(tmp_path, orientation):
    """Must fail if the orientation is ignored, or one of the eight turns is another."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "x.jpg"
    photo(64, 32).save(path, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(path))
    expected = upright.resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(decode(path, 32), np.asarray(expected))


@pytest.mark.parametrize("data", [b"II", b"garbage garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*"])
def test_unreadable_exif_data_do_not_cost_the_picture(tmp_path, data):
    """Must fail if an error in the metadata makes a good picture a bad one."""
    path, plain = tmp_path / "x.jpg", tmp_path / "plain.jpg"
    path.write_bytes(jpeg(photo(), exif=b"Exif\0\0" + data))
    plain.write_bytes(jpeg(photo()))
    np.testing.assert_array_equal(decode(path, 32), decode(plain, 32))


def test_odd_exif_data_do_not_hide_the_orientation(tmp_path):
    """Must fail if the data are written anew, as `ImageOps.exif_transpose` does: it raises here."""
    entries = [(0x0100, 2, 4, b"wide"), (0x0112, 3, 1, struct.pack("<HH", 6, 0))]
    body = b"".join(struct.pack("<HHI", *head) + value for *head, value in entries)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)
    (tmp_path / "x.jpg").write_bytes(jpeg(photo(64, 32), exif=exif))
    stored = Image.open(io.BytesIO(jpeg(photo(64, 32))))
    turned = stored.transpose(Image.Transpose.ROTATE_270).resize(
        (32, 32), Image.Resampling.BILINEAR
    )
    np.testing.assert_array_equal(decode(tmp_path / "x.jpg", 32), np.asarray(turned))


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_the_first_frame_of_a_moving_picture_is_taken(tmp_path, suffix):
    """Must fail if another frame, or a mixture, comes out."""
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, BLUE)]
    lossless = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=frames[1:], **lossless)
    assert decode(tmp_path / f"x.{suffix}", 32)[5, 5].tolist() == list(RED)


def test_the_content_decides_not_the_suffix(tmp_path):
    """Must fail if the format is guessed from the file's name."""
    photo().save(tmp_path / "x.jpg", "PNG")
    photo().save(tmp_path / "x.png")
    np.testing.assert_array_equal(decode(tmp_path / "x.jpg", 32), decode(tmp_path / "x.png", 32))


def test_files_that_are_no_image_are_refused(tmp_path):
    """Must fail if an empty file, a text or a missing file raises anything else."""
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    assert refusal(tmp_path / "empty.jpg") == "empty file"
    assert refusal(tmp_path / "text.jpg").startswith("no image in a known format (JPEG, PNG")
    assert refusal(tmp_path / "none.jpg") == "cannot be read: No such file or directory"


def test_formats_that_run_programs_are_refused(tmp_path):
    """Must fail if all of Pillow's formats are allowed: EPS starts Ghostscript."""
    photo().save(tmp_path / "x.eps")
    photo().save(tmp_path / "x.jpg", "PDF")
    assert "no image in a known format" in refusal(tmp_path / "x.eps")
    assert "no image in a known format" in refusal(tmp_path / "x.jpg")


@pytest.mark.parametrize(
    "suffix", ["jpg", "png", "gif", "bmp", "webp", "tif", "ppm", "tga", "avif"]
)
def test_a_truncated_file_is_refused(tmp_path, suffix):
    """Must fail if half a picture is padded with grey and taken."""
    path = tmp_path / f"x.{suffix}"
    photo(300, 200).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refusal(path)


def test_a_parsers_own_error_is_a_reason(tmp_path):
    """Must fail if only the usual errors are caught: for this chunk Pillow raises SyntaxError."""
    photo(300, 200).save(tmp_path / "x.png")
    first, second, rest = (tmp_path / "x.png").read_bytes().split(b"IDAT", 2)
    (tmp_path / "x.png").write_bytes(first + b"IDAT" + second + b"\x04\t,\xf0" + rest)
    assert refusal(tmp_path / "x.png").startswith("broken: broken PNG file")


def test_a_file_cut_or_changed_anywhere_is_decoded_or_refused(tmp_path):
    """Must fail if any error of Pillow's parsers escapes: struct.error, KeyError, ..."""
    rng = np.random.default_rng(0)
    path = tmp_path / "x"
    for suffix in ("jpeg", "png", "gif", "webp", "tiff", "bmp"):
        buffer = io.BytesIO()
        photo(24, 16).save(buffer, suffix)
        whole = buffer.getvalue()
        for _ in range(100):
            broken = bytearray(whole[: rng.integers(1, len(whole) + 1)])
            for _ in range(rng.integers(0, 4)):
                broken[rng.integers(min(len(broken), 200))] = rng.integers(256)
            path.write_bytes(broken)
            try:
                assert decode(path, 32).shape == (32, 32, 3)
            except BadImage as bad:
                assert str(bad)


@pytest.mark.parametrize("side", [60_000, 12_000, 8193])
def test_a_decompression_bomb_is_refused_from_its_header(tmp_path, side):
    """Must fail if memory is taken for the pixels before the size is judged."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    start = time.perf_counter()
    tracemalloc.start()
    try:
        assert refusal(path) == f"more than {MAX_PIXELS:,} pixels"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5e6
    assert time.perf_counter() - start < 1


def test_the_largest_allowed_picture_is_decoded(tmp_path):
    """Must fail if the limit is lower than it says."""
    path = tmp_path / "x.png"
    Image.new("1", (8192, MAX_PIXELS // 8192)).save(path)
    assert decode(path, 32).max() == 0


def test_no_warning_leaks(tmp_path):
    """Must fail if Pillow's warnings of odd files reach the person's terminal."""
    (tmp_path / "bomb.png").write_bytes(png_header(12_000, 12_000))
    (tmp_path / "exif.jpg").write_bytes(jpeg(photo(), exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refusal(tmp_path / "bomb.png")
        decode(tmp_path / "exif.jpg", 32)


def test_same_file_same_pixels(tmp_path):
    """Must fail if decoding depends on anything but the file."""
    photo().save(tmp_path / "x.jpg")
    os.link(tmp_path / "x.jpg", tmp_path / "y.png")
    np.testing.assert_array_equal(decode(tmp_path / "x.jpg", 48), decode(tmp_path / "y.png", 48))
