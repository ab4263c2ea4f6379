"""Files in, arrays out, and back: every kind of source, and every mistake in one sentence."""

import gzip
import hashlib
import io
import os
import struct
import subprocess
import sys
import zlib
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from diabolo.data import Samples, atomically, load_mnist, read, read_idx, write, write_idx
from diabolo.data.mnist import read_split
from diabolo.errors import InputError

rng = np.random.default_rng(0)
GRAY = rng.integers(0, 256, (5, 6, 7), dtype=np.uint8)
COLOUR = rng.integers(0, 256, (5, 3, 6, 7), dtype=np.uint8)
DEEP = rng.integers(0, 65536, (5, 6, 7), dtype=np.uint16)
FLOATS = rng.random((5, 6, 7), dtype=np.float32)
IDX_TYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]


def save(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> Path:
    """Write an image with Pillow alone, as a user's file would have been."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def gray(height: int, width: int, value: int = 0) -> np.ndarray:
    return np.full((height, width), value, np.uint8)


def reason(source: object, **options: object) -> str:
    """The sentence with which `read` refuses a source."""
    with pytest.raises(InputError) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refusal(path: Path, *arguments: object, **options: object) -> str:
    """The sentence with which `write` refuses, having left nothing behind."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(InputError) as caught:
        write(path, *arguments, **options)
    assert sorted(path.parent.rglob("*")) == before
    return str(caught.value)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""
    data = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + data + checksum + b"\0\0\0\0IDAT"


# IDX


@pytest.mark.parametrize("name", ["a-idx3", "a.idx.gz"])
@pytest.mark.parametrize("dtype", IDX_TYPES)
def test_idx_round_trip(tmp_path, name, dtype):
    array = (rng.standard_normal((2, 3, 4)) * 50).astype(dtype)
    write_idx(tmp_path / name, array)
    back = read_idx(tmp_path / name)
    assert back.dtype == array.dtype
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, array)
    assert back.flags.writeable


def test_idx_bytes_are_those_of_the_format(tmp_path):
    write_idx(tmp_path / "a.idx", np.array([[1, 2], [3, -4]], np.int16))
    expected = "00000b02 00000002 00000002 0001 0002 0003 fffc"
    assert (tmp_path / "a.idx").read_bytes() == bytes.fromhex(expected)


def test_idx_gzip_is_deterministic_and_found_by_content(tmp_path):
    write_idx(tmp_path / "a.gz", GRAY)
    write_idx(tmp_path / "b.gz", GRAY)
    packed = (tmp_path / "a.gz").read_bytes()
    assert packed == (tmp_path / "b.gz").read_bytes()
    assert packed[4:8] == bytes(4)
    (tmp_path / "unpacked.gz").write_bytes(gzip.decompress(packed))
    (tmp_path / "packed-idx").write_bytes(packed)
    for name in ("unpacked.gz", "packed-idx"):
        np.testing.assert_array_equal(read_idx(tmp_path / name), GRAY)


@pytest.mark.parametrize(
    ("dtype", "stored"), [("bool", "uint8"), ("uint16", "int32"), ("float16", "float32")]
)
def test_idx_widens_types_it_lacks(tmp_path, dtype, stored):
    array = np.array([[0, 1, 1]]).astype(dtype)
    write_idx(tmp_path / "a.idx", array)
    assert read_idx(tmp_path / "a.idx").dtype == stored
    np.testing.assert_array_equal(read_idx(tmp_path / "a.idx"), array)


def test_idx_cannot_hold_64_bit_integers(tmp_path):
    assert "cannot hold int64 values" in refusal(tmp_path / "a.idx", np.ones((2, 2), np.int64))


HEADER = struct.pack(">BBBBII", 0, 0, 8, 2, 2, 3)
BAD_IDX = {
    "empty": (b"", "not an IDX file: it begins with nothing"),
    "text": (b"hello world", "not an IDX file: it begins with 68 65 6c 6c, expected 00 00"),
    "type": (b"\0\0\x0a\x01" + bytes(9), "not an IDX file: it begins with 00 00 0a 01"),
    "no sizes": (b"\0\0\x08\x03" + bytes(7), "cut off: 3 dimensions need 12 bytes of sizes, 7"),
    "short": (HEADER + bytes(5), "cut off: its header promises 6 bytes of values"),
    "long": (HEADER + bytes(7), "too long: its header promises 6 bytes of values"),
    "vast": (b"\0\0\x0e\x03" + b"\xff" * 12, "cut off: its header promises 633825"),
    "absurd": (b"\0\0\x08\x04" + bytes(4) + b"\xff" * 12, "shape that no array can have"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", BAD_IDX)
def test_idx_mistakes(tmp_path, case, packed):
    content, sentence = BAD_IDX[case]
    path = tmp_path / "a-idx2-ubyte"
    path.write_bytes(gzip.compress(content) if packed else content)
    message = reason(path)
    assert message.startswith(str(path))
    assert sentence in message


@pytest.mark.parametrize("damage", ["cut", "bits", "checksum"])
def test_idx_damaged_gzip(tmp_path, damage):
    packed = bytearray(gzip.compress(HEADER + bytes(6)))
    if damage == "cut":
        del packed[-9:]
    else:
        packed[10 if damage == "bits" else -7] ^= 0xFF
    (tmp_path / "a.gz").write_bytes(packed)
    assert "a.gz is a damaged gzip file" in reason(tmp_path / "a.gz")


def test_idx_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.idx cannot be read: No such file"):
        read_idx(tmp_path / "none.idx")


# MNIST

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
SHIPPED = resources.files("diabolo.data") / "mnist"


@pytest.mark.parametrize("name", MD5)
def test_shipped_mnist_is_the_original(name):
    content = gzip.decompress((SHIPPED / f"{name}.gz").read_bytes())
    assert hashlib.md5(content).hexdigest() == MD5[name]


def test_mnist_licence_is_shipped():
    text = (SHIPPED / "LICENSE").read_text()
    authors = ["Yann LeCun", "Corinna Cortes", "Christopher J.C. Burges"]
    for part in [*authors, "https://creativecommons.org/licenses/by-sa/3.0/", *MD5]:
        assert part in text


def test_load_mnist():
    (x_train, y_train), (x_test, y_test) = load_mnist()
    assert x_train.shape == (60000, 28, 28)
    assert x_test.shape == (10000, 28, 28)
    assert {a.dtype.name for a in (x_train, y_train, x_test, y_test)} == {"uint8"}
    assert y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_load_mnist_from_a_directory(tmp_path):
    for prefix, count in (("train", 4), ("t10k", 3)):
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", GRAY[:count])
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8))
    (x_train, y_train), (x_test, y_test) = load_mnist(tmp_path)
    np.testing.assert_array_equal(x_train, GRAY[:4])
    np.testing.assert_array_equal(x_test, GRAY[:3])
    assert (y_train.tolist(), y_test.tolist()) == ([0, 1, 2, 3], [0, 1, 2])
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match=r"has no t10k-labels-idx1-ubyte\.gz, nor"):
        load_mnist(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(9, np.uint8))
    with pytest.raises(InputError, match=r"test files in .* do not belong together"):
        read_split("test", tmp_path)


@pytest.mark.parametrize(
    ("source", "first", "count"),
    [("mnist:test", 0, 10000), ("mnist:test:100", 0, 100), ("mnist:test:3-7", 3, 5)],
)
def test_read_mnist(source, first, count):
    samples = read(source)
    images, labels = read_split("test")
    np.testing.assert_array_equal(samples.array, images[first : first + count])
    np.testing.assert_array_equal(samples.labels, labels[first : first + count])
    assert samples.names == [str(i) for i in range(first, first + count)]
    assert samples.kind == "mnist"


def test_mnist_alone_is_the_training_set():
    assert len(read("mnist").array) == 60000
    assert read("mnist:train:2-2").labels.tolist() == [4]


def test_reading_test_digits_leaves_the_training_set_packed(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "diabolo.data.mnist.read_idx",
        lambda path, limit: seen.append((path.name[:4], limit)) or read_idx(path, limit),
    )
    read("mnist:test:10")
    read("mnist:test:20-90", limit=5)
    assert seen == [("t10k", 10)] * 2 + [("t10k", 25)] * 2


@pytest.mark.parametrize(
    "source", ["mnist:", "mnist:tset", "mnist:10", "mnist:test:a", "mnist:test:-3"]
)
def test_mnist_forms_are_explained(source):
    assert f"{source} is not understood: write mnist, mnist:train" in reason(source)


@pytest.mark.parametrize("rows", ["0", "10001", "7-3", "9999-10000"])
def test_mnist_ranges_are_checked(rows):
    assert "there are 10000, numbered 0 to 9999" in reason(f"mnist:test:{rows}")


# Images


@pytest.mark.parametrize(
    ("suffix", "array"),
    [(s, GRAY) for s in ("png", "bmp", "tif", "tiff", "gif", "pgm")]
    + [(s, COLOUR) for s in ("png", "bmp", "tif", "ppm", "webp")]
    + [(s, DEEP) for s in ("png", "tif", "pgm")]
    + [("tif", FLOATS)],
)
def test_image_round_trip(tmp_path, suffix, array):
    path = tmp_path / f"one.{suffix}"
    write(path, array[:1])
    samples = read(path)
    assert samples.array.dtype == array.dtype
    np.testing.assert_array_equal(samples.array, array[:1])
    assert (samples.kind, samples.names, samples.failures) == ("image", [f"one.{suffix}"], [])


@pytest.mark.parametrize("suffix", ["jpg", "jpeg"])
@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 3, 16, 16)])
def test_jpeg_is_close(tmp_path, suffix, shape):
    smooth = np.broadcast_to(np.linspace(0, 255, 16), shape).astype(np.uint8)
    write(tmp_path / f"a.{suffix}", smooth)
    back = read(tmp_path / f"a.{suffix}").array
    assert back.shape == shape
    np.testing.assert_allclose(back, smooth, atol=6)


def test_transparency_is_laid_on_white(tmp_path):
    clear = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    clear.putpixel((1, 0), (0, 0, 0, 0))
    half = Image.new("LA", (2, 1), (0, 255))
    half.putpixel((1, 0), (0, 51))
    colour = read(save(tmp_path / "a.png", clear)).array
    assert colour[0, :, 0].tolist() == [[200, 255], [0, 255], [0, 255]]
    assert read(save(tmp_path / "b.png", half)).array.tolist() == [[[0, 204]]]
    keyed = save(tmp_path / "c.png", np.array([[7, 9]], np.uint8), transparency=9)
    assert read(keyed).array.tolist() == [[[7, 255]]]


def test_palettes_become_colour_or_gray(tmp_path):
    image = Image.frombytes("P", (2, 1), b"\0\1")
    image.putpalette([10, 20, 30, 40, 50, 60])
    assert read(save(tmp_path / "a.png", image)).array[0, :, 0, 1].tolist() == [40, 50, 60]
    image.putpalette([10, 10, 10, 40, 40, 40])
    assert read(save(tmp_path / "b.png", image)).array.tolist() == [[[10, 40]]]


def test_black_and_white_is_0_and_255(tmp_path):
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert read(save(tmp_path / "a.png", bits)).array.tolist() == [[[0, 255]]]


def test_the_first_frame_is_read(tmp_path):
    frames = [Image.fromarray(gray(2, 2, value)) for value in (9, 99)]
    path = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert (read(path).array == 9).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_exif_orientation_is_applied(tmp_path, suffix):
    upright = np.zeros((16, 32), np.uint8)
    upright[:, 16:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter clockwise
    stored = Image.fromarray(np.rot90(upright).copy())
    path = save(tmp_path / f"a.{suffix}", stored, exif=exif)
    for samples in (read(path), read(path, image_shape=(1, 16, 32))):
        assert samples.array.shape == (1, 16, 32)
        np.testing.assert_allclose(samples.array[0], upright, atol=3)


def test_32_bit_gray_is_16_bit_or_refused(tmp_path):
    small = save(tmp_path / "a.tif", np.array([[0, 65535]], np.int32))
    assert read(small).array.dtype == np.uint16
    assert read(small).array.tolist() == [[[0, 65535]]]
    large = save(tmp_path / "b.tif", np.array([[0, 65536]], np.int32))
    assert reason(large) == "b.tif cannot be read: its pixels need more than 16 bits"


def test_image_shape_fixes_the_channels(tmp_path):
    colour = save(tmp_path / "a.png", np.full((2, 2, 3), [255, 0, 0], np.uint8))
    plain = save(tmp_path / "b.png", gray(2, 2, 7))
    deep = save(tmp_path / "c.png", np.full((2, 2), 514, np.uint16))
    assert read(colour, image_shape=(1, 2, 2)).array.tolist() == [[[76, 76], [76, 76]]]
    assert read(plain, image_shape=(3, 2, 2)).array.shape == (1, 3, 2, 2)
    assert (read(plain, image_shape=(3, 2, 2)).array == 7).all()
    assert (read(deep, image_shape=(1, 2, 2)).array == 514).all()
    assert (read(deep, image_shape=(3, 2, 2)).array == np.full((1, 3, 2, 2), 2, np.uint8)).all()
    assert "the model takes 4" in reason(plain, image_shape=(4, 2, 2))


def test_folder_is_recursive_sorted_and_selective(tmp_path):
    for value, name in enumerate(["b.png", "a.PNG", "sub/c.png", "Z.bmp"]):
        save(tmp_path / name, gray(2, 3, value))
    for name in (".hidden.png", ".git/d.png", "sub/.thumbs/e.png"):
        save(tmp_path / name, gray(9, 9))
    (tmp_path / "notes.txt").write_text("no image")
    samples = read(tmp_path)
    assert samples.names == ["Z.bmp", "a.PNG", "b.png", "sub/c.png"]
    assert samples.array[:, 0, 0].tolist() == [3, 1, 0, 2]
    assert samples.array.shape == (4, 2, 3)
    assert (samples.kind, samples.failures, samples.labels) == ("folder", [], None)


def test_folder_is_colour_if_one_image_is(tmp_path):
    save(tmp_path / "a.png", gray(2, 2, 9))
    save(tmp_path / "b.png", np.full((2, 2, 3), [1, 2, 3], np.uint8))
    array = read(tmp_path).array
    assert array.shape == (2, 3, 2, 2)
    assert array[:, :, 0, 0].tolist() == [[9, 9, 9], [1, 2, 3]]


def test_folder_is_16_bit_only_if_all_are(tmp_path):
    save(tmp_path / "a.png", np.full((2, 2), 65535, np.uint16))
    assert read(tmp_path).array.dtype == np.uint16
    save(tmp_path / "b.png", gray(2, 2, 9))
    assert read(tmp_path).array.dtype == np.uint8
    assert read(tmp_path).array[:, 0, 0].tolist() == [255, 9]


def broken_images(folder: Path) -> dict[str, str]:
    """Write broken images; return the sentence expected for each."""
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)).save(buffer, "png")
    (folder / "bomb.png").write_bytes(png_header(20000, 20000))
    (folder / "cut.png").write_bytes(buffer.getvalue()[:900])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "large.png").write_bytes(png_header(10000, 10000))
    (folder / "text.png").write_text("not a picture")
    return {
        "bomb.png": "bomb.png has more than 89478485 pixels",
        "cut.png": "cut.png cannot be read: ",
        "empty.jpg": "empty.jpg is not an image that can be read",
        "large.png": "large.png has more than 89478485 pixels",
        "text.png": "text.png is not an image that can be read",
    }


def test_broken_images_are_named_and_the_rest_is_read(tmp_path):
    expected = broken_images(tmp_path)
    for value, name in enumerate(["a.png", "d.png", "z.png"]):
        save(tmp_path / name, gray(40, 40, value + 1))
    samples = read(tmp_path)
    assert samples.names == ["a.png", "d.png", "z.png"]
    assert samples.array[:, 0, 0].tolist() == [1, 2, 3]
    assert len(samples.failures) == len(expected)
    for failure, sentence in zip(samples.failures, expected.values(), strict=True):
        assert failure.startswith(sentence)


def test_a_broken_image_alone_is_refused(tmp_path):
    for name, sentence in broken_images(tmp_path).items():
        assert reason(tmp_path / name).startswith(sentence)


def test_folders_without_usable_images(tmp_path):
    assert reason(tmp_path) == f"{tmp_path} is a folder without images"
    broken_images(tmp_path)
    assert f"none of the 5 images in {tmp_path} can be used; the first: bomb.png" in reason(
        tmp_path
    )


def test_a_closed_file_or_folder_is_named(tmp_path, monkeypatch):
    def closed(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    save(tmp_path / "a.png", gray(2, 2))
    np.save(tmp_path / "a.npy", GRAY)
    write_idx(tmp_path / "a.idx", GRAY)
    monkeypatch.setattr("diabolo.data.decoding.opened", closed)
    monkeypatch.setattr("numpy.lib.format.open_memmap", closed)
    assert reason(tmp_path / "a.png") == "a.png cannot be read: Permission denied"
    assert reason(tmp_path / "a.npy") == f"{tmp_path / 'a.npy'} cannot be read: Permission denied"
    monkeypatch.setattr(Path, "open", closed)
    assert reason(tmp_path / "a.idx") == f"{tmp_path / 'a.idx'} cannot be read: Permission denied"
    monkeypatch.setattr("os.scandir", closed)
    assert reason(tmp_path) == f"{tmp_path} cannot be read: Permission denied"


def test_a_closed_folder_inside_is_named(tmp_path, monkeypatch):
    def scan(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    save(tmp_path / "a.png", gray(2, 2))
    save(tmp_path / "closed" / "b.png", gray(2, 2))
    scandir = os.scandir
    monkeypatch.setattr("os.scandir", scan)
    samples = read(tmp_path)
    assert samples.names == ["a.png"]
    assert samples.failures == [f"{tmp_path / 'closed'} cannot be read: Permission denied"]


# NumPy files


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("array", [GRAY, COLOUR, DEEP, FLOATS, FLOATS[0] > 0.5, FLOATS[0] * -7.0])
def test_numpy_round_trip(tmp_path, suffix, array):
    write(tmp_path / f"a.{suffix}", array)
    samples = read(tmp_path / f"a.{suffix}")
    assert samples.array.dtype == array.dtype
    np.testing.assert_array_equal(samples.array, array)
    assert samples.names == [str(i) for i in range(len(array))]
    assert (samples.kind, samples.labels, samples.columns) == (suffix, None, None)


def test_numpy_bytes_and_order_become_native(tmp_path):
    np.save(tmp_path / "a.npy", np.asfortranarray(DEEP.astype(">u2")))
    array = read(tmp_path / "a.npy").array
    assert array.dtype.isnative
    assert array.flags.c_contiguous
    assert not isinstance(array, np.memmap)
    np.testing.assert_array_equal(array, DEEP)


BAD_ARRAYS = {
    "text": (np.array([["a", "b"]]), "values; expected bool, integers or floats"),
    "complex": (np.ones((2, 2), complex), "holds complex128 values"),
    "scalar": (np.float64(1), "has 0 dimensions"),
    "vector": (np.ones(3), "has 1 dimensions, shape (3,); expected (N, D)"),
    "six": (np.ones((1, 1, 1, 1, 1, 1)), "has 6 dimensions"),
    "none": (np.ones((0, 4)), "holds no samples: its shape is (0, 4)"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_of_a_wrong_type_or_shape(tmp_path, case):
    array, sentence = BAD_ARRAYS[case]
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", array)
    for name in ("a.npy", "a.npz"):
        assert sentence in reason(tmp_path / name)
        assert name in reason(tmp_path / name)


def test_pickled_objects_are_never_loaded(tmp_path):
    trap = np.empty(1, object)
    trap[0] = Samples
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=trap)
    for name in ("a.npy", "a.npz"):
        assert "Python objects, which are not loaded" in reason(tmp_path / name)


def test_damaged_numpy_files(tmp_path):
    np.save(tmp_path / "a.npy", GRAY)
    np.savez_compressed(tmp_path / "a.npz", GRAY)
    swapped = {"npy": (tmp_path / "a.npz").read_bytes(), "npz": (tmp_path / "a.npy").read_bytes()}
    header = (tmp_path / "a.npy").read_bytes().replace(b"}", b"(")
    untidy = {"npy": header, "npz": swapped["npy"].replace(b"\x08\0", b"\x63\0")}
    for suffix, what in (("npy", "array"), ("npz", "archive")):
        whole = (tmp_path / f"a.{suffix}").read_bytes()
        for number, content in enumerate(
            [b"", b"hello", whole[:-30], swapped[suffix], untidy[suffix]]
        ):
            path = tmp_path / f"{number}.{suffix}"
            path.write_bytes(content)
            assert f"{path} is not a NumPy {what} that can be read" in reason(path)


def test_npz_takes_x_or_the_only_array_and_labels(tmp_path):
    y = np.arange(5)
    np.savez(tmp_path / "a.npz", x=GRAY, other=DEEP, y=y)
    np.savez(tmp_path / "b.npz", images=GRAY, y=y)
    np.savez(tmp_path / "c.npz", y=GRAY)
    for name in ("a.npz", "b.npz"):
        samples = read(tmp_path / name)
        np.testing.assert_array_equal(samples.array, GRAY)
        assert samples.labels.tolist() == [0, 1, 2, 3, 4]
    assert read(tmp_path / "c.npz").labels is None


def test_npz_mistakes(tmp_path):
    np.savez(tmp_path / "a.npz", left=GRAY, right=GRAY)
    np.savez(tmp_path / "b.npz", x=GRAY, y=np.arange(4))
    np.savez(tmp_path / "c.npz")
    assert 'has the arrays left, right; name the one to read "x"' in reason(tmp_path / "a.npz")
    assert 'labels "y" of shape (4,) for samples of shape (5, 6, 7)' in reason(tmp_path / "b.npz")
    assert "has the arrays none" in reason(tmp_path / "c.npz")


# IDX as a source


@pytest.mark.parametrize("name", ["a-idx3-ubyte", "a.idx", "a.gz", "data-ubyte.gz"])
def test_idx_source_round_trip(tmp_path, name):
    write(tmp_path / name, GRAY)
    samples = read(tmp_path / name)
    np.testing.assert_array_equal(samples.array, GRAY)
    assert (samples.kind, samples.names) == ("idx", ["0", "1", "2", "3", "4"])


@pytest.mark.parametrize("name", ["digits", "digits.dat"])
@pytest.mark.parametrize("packed", ["a.idx", "a.gz"])
def test_idx_is_known_by_its_content(tmp_path, name, packed):
    write(tmp_path / packed, GRAY)
    (tmp_path / packed).rename(tmp_path / name)
    np.testing.assert_array_equal(read(tmp_path / name).array, GRAY)


def test_idx_labels_alone_are_no_samples(tmp_path):
    write_idx(tmp_path / "a.idx", np.arange(9, dtype=np.uint8))
    assert "has 1 dimensions, shape (9,)" in reason(tmp_path / "a.idx")


# Tables


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float32", "float64", "int64"])
def test_parquet_round_trip(tmp_path, dtype):
    array = (rng.random((6, 3)) * 9).astype(dtype)
    write(tmp_path / "a.parquet", array)
    samples = read(tmp_path / "a.parquet")
    assert samples.array.dtype == ("float64" if dtype == "int64" else dtype)
    np.testing.assert_array_equal(samples.array, array)
    assert (samples.kind, samples.columns) == ("parquet", ["0", "1", "2"])
    assert samples.names == ["0", "1", "2", "3", "4", "5"]


def numbers(table):
    """The values of a table with gaps."""
    return table.to_numpy("float64", na_value=np.nan)


def test_a_table_of_several_types_is_float64(tmp_path):
    frame = pd.DataFrame({"a": np.array([1, 2], "uint8"), "b": np.array([0.5, 1], "float32")})
    frame["c"] = pd.array([3, None], dtype="Int64")
    frame.to_parquet(tmp_path / "a.parquet")
    table = read(tmp_path / "a.parquet").array
    np.testing.assert_array_equal(numbers(table), [[1, 0.5, 3], [2, 1, np.nan]])
    frame[["a", "b"]].to_parquet(tmp_path / "b.parquet")
    assert read(tmp_path / "b.parquet").array.dtype == np.float64


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_csv_round_trip(tmp_path, dtype):
    array = (rng.random((999, 3)) * 9).astype(dtype)
    write(tmp_path / "a.csv", array)
    samples = read(tmp_path / "a.csv")
    assert samples.array.dtype == np.float64
    np.testing.assert_allclose(samples.array.astype(dtype), array, rtol=1e-15)
    assert (samples.kind, samples.columns) == ("csv", ["0", "1", "2"])


def test_table_keeps_columns_and_empty_cells(tmp_path):
    (tmp_path / "a.csv").write_text("height,width\n1,2.5\n3,\n")
    samples = read(tmp_path / "a.csv")
    np.testing.assert_array_equal(numbers(samples.array), [[1, 2.5], [3, np.nan]])
    assert samples.columns == ["height", "width"]
    write(tmp_path / "b.parquet", numbers(samples.array) * 2, samples)
    again = read(tmp_path / "b.parquet")
    np.testing.assert_array_equal(numbers(again.array), numbers(samples.array) * 2)
    assert again.columns == ["height", "width"]
    write(tmp_path / "codes.csv", np.ones((2, 1)), samples)
    assert read(tmp_path / "codes.csv").columns == ["code_0"]


def test_images_in_a_table_are_one_row_each(tmp_path):
    write(tmp_path / "a.csv", GRAY)
    np.testing.assert_array_equal(read(tmp_path / "a.csv").array, GRAY.reshape(5, 42))


BAD_TABLES = {
    "text": ("a\nx\n1\n2\n", 'column "a" holds numbers, but "x" in line 2'),
    "mixed": ("a,b\n1,1\n2,2!\n3,3\n", 'column "b" holds numbers, but "2!" in line 3'),
    "empty": ("", "{} cannot be read as a table: No columns to parse"),
    "header": ("a,b\n", "{} holds no samples: there are no rows"),
    "ragged": ("a,b\n1,2\n1,2,3\n", "{} has rows with more cells than its header"),
    "wide": ("a,b\n1,2,3\n1,2,3\n", "{} has rows with more cells than its header"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables(tmp_path, case):
    content, sentence = BAD_TABLES[case]
    (tmp_path / "a.csv").write_text(content)
    assert sentence.format(tmp_path / "a.csv") in reason(tmp_path / "a.csv")


def test_bad_bytes_in_tables(tmp_path):
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).write_bytes(b"a,b\n\xff\xfe,1\n")
        assert f"{tmp_path / name} cannot be read as a table" in reason(tmp_path / name)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_tables_without_pandas_say_what_to_install(tmp_path, monkeypatch, name):
    (tmp_path / name).write_text("a\n1\n")
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert 'pip install "diabolo[tables]"' in reason(tmp_path / name)
    assert 'pip install "diabolo[tables]"' in refusal(tmp_path / f"out-{name}", np.ones((2, 2)))


# Sources that are none


def test_missing_source_lists_the_forms(tmp_path):
    message = reason(tmp_path / "none.png")
    assert message.startswith(f"{tmp_path / 'none.png'} does not exist: a source is mnist, ")
    for form in ("mnist:test:3-7", "folder of images", ".npy", ".npz", "IDX", ".csv", ".parquet"):
        assert form in message
    assert "cannot be read: File name too long" in reason("x" * 5000)


@pytest.mark.parametrize("name", ["a.xyz", "noname"])
def test_unknown_kinds_list_the_forms(tmp_path, name):
    (tmp_path / name).write_text("hello")
    assert f"{name} is of no kind that can be read: a source is mnist" in reason(tmp_path / name)


def test_devices_are_no_sources():
    assert reason("/dev/null") == "/dev/null is neither a file nor a folder"


def test_source_may_be_text_or_path(tmp_path):
    write(str(tmp_path / "a.npy"), GRAY)
    np.testing.assert_array_equal(read(str(tmp_path / "a.npy")).array, GRAY)


# Writing


@pytest.mark.parametrize("array", [GRAY, COLOUR, DEEP])
def test_folder_round_trip(tmp_path, array):
    for row, pixels in enumerate(array):
        write(tmp_path / f"in/{row % 2}/{row}.png", pixels[None])
    first = read(tmp_path / "in")
    write(tmp_path / "out", first.array.astype(np.float32), first)
    second = read(tmp_path / "out")
    assert second.names == first.names == ["0/0.png", "0/2.png", "0/4.png", "1/1.png", "1/3.png"]
    assert second.array.dtype == array.dtype
    np.testing.assert_array_equal(second.array, array[[0, 2, 4, 1, 3]])
    assert (tmp_path / "out").stat().st_mode & 0o777 == (tmp_path / "in").stat().st_mode & 0o777


def test_a_folder_of_float_tiffs_stays_float(tmp_path):
    for row, pixels in enumerate(FLOATS):
        write(tmp_path / f"in/{row}.tif", pixels[None] * 9)
    first = read(tmp_path / "in")
    write(tmp_path / "out", first.array, first)
    np.testing.assert_array_equal(read(tmp_path / "out").array, FLOATS * 9)


def test_a_folder_of_numbers_sorts_in_order(tmp_path):
    ramp = np.arange(12, dtype=np.uint8)[:, None, None] * np.ones((2, 2), np.uint8)
    write(tmp_path / "out", ramp)
    samples = read(tmp_path / "out")
    assert samples.names[:3] == ["00.png", "01.png", "02.png"]
    np.testing.assert_array_equal(samples.array, ramp)


def test_lossy_and_unfit_names_become_png(tmp_path):
    names = ["a.jpg", "a.png", "b.webp", "c.bmp", "d/e.JPEG"]
    like = Samples(GRAY, names, "folder")
    write(tmp_path / "out", GRAY, like)
    written = read(tmp_path / "out")
    assert written.names == ["a.jpg.png", "a.png", "b.png", "c.bmp", "d/e.png"]
    np.testing.assert_array_equal(written.array, GRAY)
    write(tmp_path / "deep", DEEP, like, dtype=np.uint16)
    assert read(tmp_path / "deep").names == ["a.jpg.png", "a.png", "b.png", "c.png", "d/e.png"]


def test_values_are_rounded_and_clipped(tmp_path):
    values = np.array([[[-3.0, 0.4, 1.5, 2.5, 254.6, 300.0]]])
    write(tmp_path / "a.png", values, Samples(GRAY, [], "image"))
    assert read(tmp_path / "a.png").array.tolist() == [[[0, 0, 2, 2, 255, 255]]]


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("source", ["float32", "float64", "int64", "uint64"])
def test_integer_types_are_clipped_not_wrapped(tmp_path, dtype, source):
    info, wide = np.iinfo(dtype), np.dtype(source)
    low, high = (-1e30, 1e30) if wide.kind == "f" else (np.iinfo(wide).min, np.iinfo(wide).max)
    values = np.array([[low, 5, high]], wide)
    write(tmp_path / "a.npy", values, dtype=dtype)
    back = read(tmp_path / "a.npy").array
    assert back.dtype == dtype
    assert back[0, 0] == max(low, info.min)
    assert back[0, 1] == 5
    assert int(back[0, 2]) == pytest.approx(min(int(high), info.max), rel=1e-6)


def test_bool_is_split_at_one_half(tmp_path):
    values = np.array([[0.2, 0.5, 0.9, 0.49]])
    write(tmp_path / "a.npy", values, dtype=bool)
    assert read(tmp_path / "a.npy").array.tolist() == [[False, True, True, False]]
    write(tmp_path / "a.png", values[:, None], dtype=bool)
    assert read(tmp_path / "a.png").array.tolist() == [[[0, 255, 255, 0]]]


def test_float_images_in_unit_range_are_scaled(tmp_path):
    write(tmp_path / "a.png", np.array([[[0, 0.5, 1]]]))
    assert read(tmp_path / "a.png").array.tolist() == [[[0, 128, 255]]]
    small = np.array([[[0, 255]]], np.int64)
    write(tmp_path / "b.png", small)
    assert read(tmp_path / "b.png").array.dtype == np.uint8
    write(tmp_path / "c.png", small + 1)
    assert read(tmp_path / "c.png").array.tolist() == [[[1, 256]]]


def test_one_channel_is_gray(tmp_path):
    write(tmp_path / "a.png", GRAY[:1, None])
    np.testing.assert_array_equal(read(tmp_path / "a.png").array, GRAY[:1])


DEEP_COLOUR = np.zeros((1, 3, 2, 2), np.uint16)
REFUSED = {
    "many": ("a.png", GRAY, "is one image and there are 5 samples: give a folder"),
    "none": ("a.npy", GRAY[:0], "there are no samples to write"),
    "range": ("a.png", FLOATS[:1] * 2 - 1, "cannot be written as images, which take 0 to 1"),
    "nan": ("a.png", FLOATS[:1] * np.nan, "float values from nan to nan"),
    "folder range": ("out", FLOATS * 3, "cannot be written as images"),
    "negative": ("a.png", np.full((1, 2, 2), -1), "integers from -1 to -1 cannot be written"),
    "large": ("a.png", np.full((1, 2, 2), 65536), "take 0 to 65535"),
    "vectors": ("a.png", np.ones((1, 9)), "samples of shape (9,) are no images"),
    "two channels": ("out", np.ones((3, 2, 4, 4)), "samples of shape (2, 4, 4) are no images"),
    "deep jpg": ("a.jpg", DEEP[:1], "cannot hold 16-bit gray images: write .png instead"),
    "colour gif": ("a.gif", COLOUR[:1], "cannot hold 8-bit colour images: write .png instead"),
    "colour pgm": ("a.pgm", COLOUR[:1], "cannot hold 8-bit colour images"),
    "deep colour": ("a.png", DEEP_COLOUR, "cannot hold 16-bit colour images: write .npy instead"),
    "deep colour folder": ("out", DEEP_COLOUR, "cannot hold 16-bit colour images"),
    "suffix": ("a.xyz", GRAY, "a.xyz names no kind that can be written: end it in"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_writes(tmp_path, case):
    name, array, sentence = REFUSED[case]
    assert sentence in refusal(tmp_path / name, array)


def test_nan_cannot_become_an_integer(tmp_path):
    message = refusal(tmp_path / "a.npy", np.array([[1, np.nan]]), dtype=np.uint8)
    assert "hold NaN, which uint8 cannot" in message


def test_paths_that_cannot_be_written(tmp_path):
    (tmp_path / "a.npy").mkdir()
    (tmp_path / "file").write_text("in the way")
    assert "a.npy is a folder: give the name of a file." in refusal(tmp_path / "a.npy", GRAY)
    for name in ("file", "file/b.npy", "file/c"):
        assert f"{tmp_path / name} cannot be written: " in refusal(tmp_path / name, GRAY)
    assert (tmp_path / "file").read_text() == "in the way"


def test_outputs_are_replaced_whole(tmp_path):
    write(tmp_path / "out", GRAY)
    write(tmp_path / "out", GRAY[:2])
    assert read(tmp_path / "out").names == ["0.png", "1.png"]
    write(tmp_path / "a.npy", GRAY)
    write(tmp_path / "a.npy", GRAY[:2])
    assert len(read(tmp_path / "a.npy").array) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "out"]


@pytest.mark.parametrize("name", ["out", "a.png", "a.npy", "a.npz", "a.idx.gz", "a.csv"])
def test_a_failed_write_leaves_the_old_output(tmp_path, monkeypatch, name):
    write(tmp_path / name, GRAY[:1])
    old = read(tmp_path / name).array

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    header = "numpy.lib.format.write_array_header_1_0"
    for writer in ("PIL.Image.Image.save", header, "numpy.savez", "gzip.GzipFile.write"):
        monkeypatch.setattr(writer, full)
    monkeypatch.setattr("pandas.DataFrame.to_csv", full)
    assert "cannot be written: No space left on device" in refusal(tmp_path / name, GRAY[1:2])
    np.testing.assert_array_equal(read(tmp_path / name).array, old)


def test_folder_names_must_fit_the_samples(tmp_path):
    with pytest.raises(ValueError, match="5 samples for 1 names"):
        write(tmp_path / "out", GRAY, Samples(GRAY, ["a.png"], "folder"))


def test_atomically_keeps_the_old_file_on_failure(tmp_path):
    def fail_midway(path: Path) -> None:
        with atomically(path) as temporary:
            temporary.write_text("two")
            raise RuntimeError

    path = tmp_path / "new" / "a.txt"
    with atomically(path) as temporary:
        temporary.write_text("one")
    with pytest.raises(RuntimeError):
        fail_midway(path)
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, diabolo.data; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "diabolo.data" in loaded
    assert not loaded & {"torch", "sklearn", "scipy", "pandas", "pyarrow", "PIL", "matplotlib"}
