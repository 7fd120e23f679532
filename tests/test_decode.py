"""Every mode comes out as the picture a person sees; every broken file as one reason."""

import base64
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
from PIL import ExifTags, Image, ImageCms, ImageOps

from unlearning.sources import decode as decoding
from unlearning.sources.decode import MAX_PIXELS, BadImage, decode, span
from unlearning.sources.depth import Depth, Span

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
@pytest.mark.parametrize(("width", "height"), [(500, 180), (20, 30), (32, 32), (999, 33)])
def test_pixels_are_those_of_torchvision(tmp_path, mode, width, height):
    """Must fail if the filter, antialiasing or the order of steps changes; large JPEGs are another rule's."""
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
    """Must fail if a NaN becomes some grey, or one among numbers makes a NaN of the range of all files."""
    values = np.full((8, 8), np.nan, np.float32)
    for values[4:] in (np.nan, 0.5):
        Image.fromarray(values).save(tmp_path / "x.tif")
        assert refusal(tmp_path / "x.tif") == "holds values that are not numbers"
        assert span(tmp_path / "x.tif") is None


def test_floats_have_a_range_of_their_own_beside_integers(tmp_path):
    """Must fail if they are shown by that of the integers, or each file by its own."""
    values = np.repeat(np.array([[0.2, 0.6]], np.float32), 2, axis=0)
    Image.fromarray(values).save(tmp_path / "x.tif")
    rule = Depth(integers=(0.0, 4095.0), floats=(0.0, 1.0))
    assert decode(tmp_path / "x.tif", 2, rule)[0, :, 0].tolist() == [51, 153]


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


@pytest.mark.parametrize("start", [b"", b"\x89PNG\r\n\x1a\n"], ids=["film", "of a PNG"])
def test_a_large_file_that_is_no_picture_is_not_read(tmp_path, start):
    """Must fail if the whole of a film in a class folder is read to look for a PNG's chunks.

    Or if zeros behind a PNG's signature, which take no place on the disk, are taken for chunks.
    """
    (tmp_path / "small.mov").write_bytes(b"no picture")
    refusal(tmp_path / "small.mov")  # Pillow loads its readers with the first file
    path = tmp_path / "film.mov"
    path.write_bytes(start)
    os.truncate(path, 2**26)
    begin = time.perf_counter()
    tracemalloc.start()
    try:
        assert refusal(path).startswith("no image in a known format")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1e6
    assert time.perf_counter() - begin < 2


def test_a_png_is_copied_without_its_metadata_up_to_a_limit(tmp_path, monkeypatch):
    """Must fail if a chunk that claims gigabytes is read whole, or chunks are counted one by one."""
    photo().save(tmp_path / "x.png")
    size = (tmp_path / "x.png").stat().st_size
    monkeypatch.setattr(decoding, "MAX_PNG_BYTES", size)
    assert (
        decoding.without_ancillary_chunks(tmp_path / "x.png").read()
        == (tmp_path / "x.png").read_bytes()
    )
    monkeypatch.setattr(decoding, "MAX_PNG_BYTES", size - 9)
    with pytest.raises(ValueError, match="too large"):
        decoding.without_ancillary_chunks(tmp_path / "x.png")


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


# --- large JPEGs, deep greyscale, colour profiles, phones, metadata --------------------------------------

# 24 x 16, left half blue, right half red, with the orientation "turn right" in EXIF data and container.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAcdtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ADRpbG9jAAAAAERAAAIAAQAAAAAB6wABAAAAAAAAAEsAAgAAAAACNgABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABBmlwcnAAAADlaXBjbwAAAHVodmNDAQNwAAAA"
    "kAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq"
    "rprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFw"
    "AAAAGAAAAAEAAAAQAAAAAf///9gAAAAC////0AAAAAIAAAAQcGl4aQAAAAADCAgIAAAACWlyb3QDAAAAGWlwbWEAAAAAAAAAAQAB"
    "BoECAwWEhgAAABppcmVmAAAAAAAAAA5jZHNjAAIAAQABAAAAd21kYXQAAABHKAGvCchqCBojm1H/cI5GlV/uWuze9nX2n8Vy6NKq"
    "8L4LSM46/aDlWAAbeRhvJt+b6IUJSxiJKfg+gOolNqrm/sDjUfbQXZwAAAAGRXhpZgAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAA"
    "AAA="
)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1000, 192), (2000, 1500)])
def test_a_large_jpeg_is_decoded_at_reduced_size_and_looks_the_same(
    tmp_path, monkeypatch, width, height
):
    """Must fail if the mean difference from full decoding reaches one level of 255, or nothing is reduced."""
    photo(width, height).save(tmp_path / "x.jpg", quality=92)
    loaded = torchvision.datasets.folder.default_loader(str(tmp_path / "x.jpg"))
    whole = np.asarray(torchvision.transforms.Resize((32, 32))(loaded)).astype(int)
    sizes = []
    resized = decoding._resized
    monkeypatch.setattr(
        decoding, "_resized", lambda image, size: sizes.append(image.size) or resized(image, size)
    )
    actual = decode(tmp_path / "x.jpg", 32)
    assert abs(actual - whole).mean() < 1
    assert 3 * 32 <= min(sizes[0]) <= height // 2


def test_a_jpeg_of_108_megapixels_is_taken_and_a_progressive_one_is_not(tmp_path):
    """Must fail if phones' largest photographs are refused; or a progressive one, held as a whole, is not."""
    image = Image.new("L", (12_000, 9_000), 200)
    image.paste(50, (0, 0, 6000, 9000))
    image.save(tmp_path / "x.jpg")
    actual = decode(tmp_path / "x.jpg", 32)
    assert abs(actual[:, 5].astype(int) - 50).max() <= 2
    assert abs(actual[:, 28].astype(int) - 200).max() <= 2
    image.save(tmp_path / "x.jpg", progressive=True)
    assert refusal(tmp_path / "x.jpg") == "more than 67,108,864 pixels"


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 3000), (0, 4000)], (0, 4095)),
        ([(0, 100)], (0, 255)),
        ([(0, 4095), (12, 4096)], (0, 16383)),
        ([(0, 900)], (0, 1023)),
        ([(0, 65535)], (0, 65535)),
        ([(-1000, 3000), (-1024, 2000)], (-1024, 3000)),
        ([(0, 70_000)], (0, 70_000)),
    ],
)
def test_black_and_white_follow_from_the_range_of_the_whole_data_set(spans, expected):
    """Must fail if each file has a rule of its own, or the values of another file or end are taken."""
    assert Depth.of(Span(*map(float, each), False) for each in spans) == Depth(
        tuple(map(float, expected))
    )
    rule = Depth.of([*(Span(*map(float, each), False) for each in spans), Span(0.0, 0.5, True)])
    assert rule == Depth(tuple(map(float, expected)), (0.0, 1.0))
    assert Depth.loads(rule.dumps()) == rule


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_twelve_bits_in_a_file_of_sixteen_keep_their_contrast(tmp_path, suffix):
    """Must fail if 4095 is taken for nearly black."""
    values = np.repeat(np.array([[0, 1365, 4095]], np.uint16), 3, axis=0)
    Image.fromarray(values).save(tmp_path / f"x.{suffix}")
    (found,) = [span(tmp_path / f"x.{suffix}")]
    assert found == Span(0.0, 4095.0, False)
    assert decode(tmp_path / f"x.{suffix}", 3, Depth.of([found]))[0, :, 0].tolist() == [0, 85, 255]
    # Beside a picture of 16 bits its contrast is what a viewer of both would show.
    both = Depth.of([found, Span(0.0, 65535.0, False)])
    assert decode(tmp_path / f"x.{suffix}", 3, both)[0, :, 0].tolist() == [0, 5, 16]


def test_plain_files_have_no_span_and_none_is_decoded_for_it(tmp_path, monkeypatch):
    """Must fail if looking for deep greyscale costs a pass over all pixels."""
    photo().save(tmp_path / "x.png")
    monkeypatch.setattr(Image.Image, "load", None)
    assert span(tmp_path / "x.png") is None
    (tmp_path / "x.txt").write_text("no picture")
    assert span(tmp_path / "x.txt") is None
    assert span(tmp_path) is None


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def profile_of(space: bytes, own: dict[bytes, bytes]) -> bytes:
    """Return a colour profile, written by hand; `own`: tags beside description and white point."""
    tags = {
        b"desc": b"desc\0\0\0\0\0\0\0\x05wide\0" + bytes(78),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.8249),
        **own,
    }
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value
    size = start + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02100000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


GAMMA = b"curv" + bytes(7) + b"\x01\x02\x33"  # 2.2


def adobe_rgb() -> bytes:
    """Return a profile with other primaries than sRGB: matrix and gamma."""
    tags = {
        b"rXYZ": b"XYZ \0\0\0\0" + fixed(0.60974, 0.31111, 0.01947),
        b"gXYZ": b"XYZ \0\0\0\0" + fixed(0.20528, 0.62567, 0.06087),
        b"bXYZ": b"XYZ \0\0\0\0" + fixed(0.14919, 0.06322, 0.74457),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), GAMMA),
    }
    return profile_of(b"RGB ", tags)


def linear_grey() -> bytes:
    """Return a profile of grey whose values are proportional to the light: shown brighter than sRGB's."""
    return profile_of(b"GRAY", {b"kTRC": b"curv" + bytes(8)})


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [("jpg", "RGB"), ("png", "RGB"), ("png", "RGBA"), ("tif", "RGB"), ("webp", "RGB")],
)
def test_an_embedded_profile_is_followed(tmp_path, suffix, mode):
    """Must fail if colours of a wider profile are shown as if they were sRGB's; by littlecms, at full size.

    Or if a picture that could be transparent turns grey.
    """
    profile = adobe_rgb()
    image = Image.new(mode, (32, 32), (60, 200, 60))
    options = {"quality": 100} if suffix in ("jpg", "webp") else {}
    image.save(tmp_path / f"x.{suffix}", icc_profile=profile, **options)
    with Image.open(tmp_path / f"x.{suffix}") as stored:
        shown = ImageCms.profileToProfile(
            stored.convert("RGB"),
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
        )
    actual = decode(tmp_path / f"x.{suffix}", 32)
    assert abs(actual[16, 16].astype(int) - shown.getpixel((16, 16))).max() <= 1
    assert abs(actual[16, 16].astype(int) - (60, 200, 60)).max() > 20


def test_transparent_grey_with_a_profile_shows_white_and_the_profile_is_followed(tmp_path):
    """Must fail if the grey below transparent pixels is shown, or their profile costs the others theirs."""
    image = Image.new("L", (32, 32), 60)
    image.paste(100, (0, 0, 16, 32))
    image.save(tmp_path / "x.png", transparency=60, icc_profile=linear_grey())
    actual = decode(tmp_path / "x.png", 32)
    assert (actual[:, 16:] == 255).all()
    # 255 (1.055 x^(1/2.4) - 0.055), the curve of sRGB, at x = 100 / 255.
    assert abs(actual[:, :16].astype(int) - 168).max() <= 1


@pytest.mark.parametrize(
    "profile", [b"nonsense", adobe_rgb()[:200], adobe_rgb()[:-40] + bytes(40), b"\0" * 500]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_broken_profile_or_one_of_another_kind_costs_no_picture(tmp_path, mode, profile):
    """Must fail if littlecms's complaint is a reason to skip a picture."""
    image = photo(32, 32, mode)
    image.save(tmp_path / "plain.tif")
    image.save(tmp_path / "x.tif", icc_profile=profile)
    np.testing.assert_array_equal(
        decode(tmp_path / "x.tif", 32), decode(tmp_path / "plain.tif", 32)
    )


def png_with(image: Image.Image, name: bytes, body: bytes, crc: int | None = None) -> bytes:
    """Return a PNG with another chunk before its pixels."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    whole = buffer.getvalue()
    check = zlib.crc32(name + body) if crc is None else crc
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)
    return whole[:33] + chunk + whole[33:]


@pytest.mark.parametrize(
    ("name", "body", "crc"),
    [
        (b"eXIf", b"this is no TIFF", None),
        (b"eXIf", b"", None),
        (b"eXIf", b"II*\0\xff\xff\xff\xff", None),
        (b"tEXt", b"no zero byte", None),
        (b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8)), None),
        (b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(10**8)), None),
        (b"iCCP", b"n\0\0" + zlib.compress(bytes(10**8)), None),
        (b"iCCP", b"n\0\0no zlib", None),
        (b"gAMA", b"1", None),
        (b"cHRM", b"1", None),
        (b"pHYs", b"1", None),
        (b"tIME", b"1", 7),
    ],
)
def test_no_metadata_of_a_png_costs_its_picture(tmp_path, name, body, crc):
    """Must fail if EXIF data that are no TIFF, a text that is a bomb or a wrong checksum skip whole pixels."""
    image = photo(40, 30)
    (tmp_path / "x.png").write_bytes(png_with(image, name, body, crc))
    image.save(tmp_path / "plain.png")
    np.testing.assert_array_equal(
        decode(tmp_path / "x.png", 32), decode(tmp_path / "plain.png", 32)
    )


@pytest.mark.parametrize("suffix", ["webp", "jpg", "png"])
@pytest.mark.parametrize(
    "exif", [b"no TIFF at all", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12"]
)
def test_broken_exif_data_leave_the_picture_as_stored(tmp_path, suffix, exif):
    """Must fail if a parser's SyntaxError or struct.error skips a picture whose pixels are whole."""
    image = photo(40, 30)
    image.save(tmp_path / f"plain.{suffix}")
    image.save(tmp_path / f"x.{suffix}", exif=exif)
    np.testing.assert_array_equal(
        decode(tmp_path / f"x.{suffix}", 32), decode(tmp_path / f"plain.{suffix}", 32)
    )


def test_a_phones_heic_is_read_and_turned_once(tmp_path):
    """Must fail if the format is not known, or the container's turn and the EXIF data's are both followed."""
    (tmp_path / "x.heic").write_bytes(HEIC)
    actual = decode(tmp_path / "x.heic", 32).astype(int)
    assert abs(actual[3, 16] - (30, 60, 220)).max() < 12
    assert abs(actual[28, 16] - (200, 30, 40)).max() < 12


@pytest.mark.parametrize("length", [8, 40, 100, 300, 560])
def test_a_heic_cut_short_is_refused_in_one_line(tmp_path, length):
    """Must fail if libheif's own exceptions end the run."""
    (tmp_path / "x.heic").write_bytes(HEIC[:length])
    assert refusal(tmp_path / "x.heic")
