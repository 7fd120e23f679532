"""Subsets as indices, pixels to network input, and the augmentation against a loop that pads and slices."""

import numpy as np
import pytest
import torch
from PIL import Image
from test_split import assign
from test_tree import data_params
from torch.utils._python_dispatch import TorchDispatchMode

from unlearning.base import cores
from unlearning.base.files import read_table, write_table
from unlearning.data import request
from unlearning.data.dataset import crop_and_flip, load, scaled, shuffled_batches
from unlearning.data.request import Request
from unlearning.settings.split import SplitParams
from unlearning.sources import pack
from unlearning.sources.folder import list_images

CPU = torch.device("cpu")


def random_pixels(count: int, size: int = 32) -> torch.Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_load_reads_what_the_stages_before_it_wrote(tmp_path, monkeypatch):
    """Must fail if rows of the two tables are paired by place, or labels are not in order of names."""
    monkeypatch.setattr(cores, "available", lambda: 1)
    pictures = random_pixels(18).numpy()
    for number, pixels in enumerate(pictures):
        path = tmp_path / "photos" / "zcb"[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    params = data_params(image_size=32, path=str(tmp_path / "photos"))
    root = tmp_path / "photos"
    pack.pack(list_images(params, root), root, params, tmp_path)
    samples = read_table(tmp_path / "samples.csv")
    assigned = assign(samples, SplitParams(validation=0.2, test=0.2, seed=0), Request(("c",)))
    write_table(tmp_path / "split.csv", assigned.iloc[::-1])
    request.write(Request(("c",)), tmp_path / "request.json")

    data = load(tmp_path)

    assert data.classes == ("b", "c", "z")
    assert data.image_size == 32
    assert data.labelling.classes == data.classes
    assert data.forget_labels == [1]
    assert data.distinct(torch.arange(18)).tolist() == list(range(18))
    copy = samples.assign(
        pixels=samples["pixels"].replace(samples["pixels"][9], samples["pixels"][7])
    )
    write_table(tmp_path / "samples.csv", copy)
    assert load(tmp_path).distinct(torch.tensor([9, 7, 3, 1])).tolist() == [9, 3, 1]
    for index, path in enumerate(data.paths):
        folder, name = path.split("/")
        assert data.classes[data.labels[index]] == folder
        assert data.roles[index] == ("forget" if folder == "c" else "retain")
        assert data.subsets[index] == assigned["subset"][index]
        number = int(name.removesuffix(".png"))
        assert np.array_equal(data.pixels(torch.tensor([index]))[0].numpy(), pictures[number])


def test_select_takes_role_and_subset_together_and_in_order(make_data):
    """Must fail if either is ignored, or one stands for the other."""
    data = make_data({"cat": 3, "dog": 1, "elephant": 2})
    # cat: 0-2 train, 3 validation, 4 test; dog: 5 train, 6, 7; elephant: 8, 9 train, 10, 11.
    assert data.select(role="retain", subset="train").tolist() == [0, 1, 2, 5]
    assert data.select(role="forget", subset="train").tolist() == [8, 9]
    assert data.select(subset="validation").tolist() == [3, 6, 10]
    assert data.select(role="forget").tolist() == [8, 9, 10, 11]
    assert data.select().tolist() == list(range(12))
    assert data.forget_labels == [2]


def test_pixels_are_a_copy_in_the_order_asked_for(data):
    """Must fail if rows are sorted, or writing to them reaches the data set."""
    wanted = torch.tensor([5, 2, 5])
    pixels = data.pixels(wanted)
    before = data.images[[5, 2, 5]].copy()
    assert np.array_equal(pixels.numpy(), before)
    pixels.zero_()
    assert np.array_equal(data.images[[5, 2, 5]], before)


def test_a_classifier_takes_colours_from_0_to_1_and_normalises_them_itself(make_network):
    """Must fail if channels are swapped, the image is transposed, or 255 is not 1.0."""
    pixels = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    pixels[0, 0, 1] = torch.tensor([255, 51, 0])
    images = scaled(pixels, CPU)
    assert images.shape == (1, 3, 2, 2)
    assert images[0, :, 0, 1].tolist() == pytest.approx([1, 0.2, 0])
    model, seen = make_network(0), []
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.eval()(images.repeat(1, 1, 4, 4))
    images = seen[0]
    by_hand = [(1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0 - 0.406) / 0.225]
    assert images[0, :, 0, 1].tolist() == pytest.approx(by_hand, rel=1e-5)
    assert images[0, 0, 1, 0].item() == pytest.approx(-0.485 / 0.229, rel=1e-5)


def test_scaled_images_are_channels_last_in_memory():
    """Must fail if a copy to the usual layout slows every convolution down."""
    images = scaled(random_pixels(2), CPU)
    assert images.is_contiguous(memory_format=torch.channels_last)


class _Devices(TorchDispatchMode):
    """Notes on which devices the indices are that pixels are asked for by."""

    def __init__(self) -> None:
        super().__init__()
        self.of_indices: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.index.Tensor:
            self.of_indices |= {index.device.type for index in args[1]}
        return func(*args, **(kwargs or {}))


def pad_and_slice(image: np.ndarray, down: int, right: int, mirrored: bool) -> np.ndarray:
    reach = 2
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    top, left = reach + down, reach + right
    cut = padded[top : top + len(image), left : left + image.shape[1]]
    return cut[:, ::-1] if mirrored else cut


def test_crop_and_flip_only_shifts_by_a_sixteenth_and_mirrors():
    """Must fail if the reach changes, the border is black, or a shift or mirror image never occurs."""
    pixels = random_pixels(150)
    augmented = crop_and_flip(pixels, seeded(0))
    assert augmented.shape == pixels.shape
    assert augmented.dtype == torch.uint8
    found = []
    for before, after in zip(pixels.numpy(), augmented.numpy(), strict=True):
        matches = [
            (down, right, mirrored)
            for down in range(-2, 3)
            for right in range(-2, 3)
            for mirrored in (False, True)
            if np.array_equal(pad_and_slice(before, down, right, mirrored), after)
        ]
        assert len(matches) == 1
        found += matches
    assert {down for down, _, _ in found} == {-2, -1, 0, 1, 2}
    assert {right for _, right, _ in found} == {-2, -1, 0, 1, 2}
    assert 0.35 < np.mean([mirrored for _, _, mirrored in found]) < 0.65
    assert len(set(found)) > 35, "images are not drawn independently of each other"


def test_crops_are_drawn_on_the_cpu_and_made_where_the_pixels_are():
    """Must fail if a GPU draws other numbers, or waits for indices made by the CPU one pixel at a time."""
    on_cpu, elsewhere = seeded(0), seeded(0)
    crop_and_flip(random_pixels(6), on_cpu)
    with _Devices() as made:
        found = crop_and_flip(random_pixels(6).to("meta"), elsewhere)
    assert found.device.type == "meta" and found.shape == random_pixels(6).shape
    assert torch.equal(on_cpu.get_state(), elsewhere.get_state())
    assert made.of_indices == {"meta"}


def test_crop_and_flip_depends_on_its_own_generator_alone():
    """Must fail if the global generator is drawn from, or the seed is ignored."""
    pixels = random_pixels(20)
    state = torch.get_rng_state()
    first, again, other = (crop_and_flip(pixels, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(pixels, random_pixels(20))


def test_an_epoch_of_batches_holds_every_index_once():
    """Must fail if the rest of the division is dropped, or places stand for indices."""
    indices = torch.arange(100, 123)
    batches = shuffled_batches(indices, 5, seeded(0))
    assert [len(batch) for batch in batches] == [5, 5, 5, 4, 4]
    drawn = torch.cat(batches)
    assert drawn.sort().values.tolist() == indices.tolist()
    assert drawn.tolist() != indices.tolist()


@pytest.mark.parametrize("batch_size", [3, 4, 7, 16])
def test_no_batch_is_left_with_a_single_image(batch_size):
    """Must fail if the last batch takes the rest: batch normalisation has no variance of one image."""
    for count in range(2, 40):
        sizes = [
            len(batch) for batch in shuffled_batches(torch.arange(count), batch_size, seeded(0))
        ]
        assert min(sizes) >= 2
        assert max(sizes) <= batch_size
        assert len(sizes) == -(-count // batch_size)


def test_each_epoch_has_an_order_of_its_own_that_the_seed_decides():
    """Must fail if the generator is made anew each epoch, or ignored."""

    def two_epochs(seed: int) -> list[list[int]]:
        generator = seeded(seed)
        return [torch.cat(shuffled_batches(torch.arange(20), 6, generator)).tolist() for _ in "12"]

    first, second = two_epochs(0)
    assert first != second
    assert two_epochs(0) == [first, second]
    assert two_epochs(1)[0] != first


@pytest.mark.parametrize(
    ("images", "batch_size", "least", "sizes"),
    [
        (9, 8, 1, [5, 4]),
        (3, 2, 1, [2, 1]),
        (3, 2, 2, [3]),
        (5, 2, 2, [3, 2]),
        (1, 2, 2, [1]),
        (4, 1, 1, [1] * 4),
    ],
)
def test_batches_have_no_fewer_images_than_asked_for(images, batch_size, least, sizes):
    """Must fail if the last batch is what is left over, or `least` cuts a batch that is large enough."""
    generator = torch.Generator().manual_seed(0)
    batches = shuffled_batches(torch.arange(images), batch_size, generator, least)
    assert [len(batch) for batch in batches] == sizes
    assert sorted(torch.cat(batches).tolist()) == list(range(images))
