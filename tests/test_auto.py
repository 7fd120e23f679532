"""What params.yaml leaves to the data: image size, epochs and batches."""

import os
from pathlib import Path

import pytest
from PIL import Image
from test_any_model import photographs, run
from test_settings import VALID

from unlearning.base.errors import UserError
from unlearning.base.files import read_metrics
from unlearning.base.shards import Shards
from unlearning.check import possible
from unlearning.settings.data import DataParams
from unlearning.settings.original import OriginalParams, batch_size_for, epochs_for
from unlearning.settings.whole import load_params
from unlearning.sources import size
from unlearning.sources.listed import Listed


def data_params(**changes: object) -> DataParams:
    return DataParams(**VALID["data"] | {"source": "folder", "image_size": "auto"} | changes)


def listed_of(folder, sizes):
    for number, wide_and_high in enumerate(sizes):
        Image.new("RGB", wide_and_high).save(folder / f"{number}.png")
    return [Listed(f"{number}.png", "cat") for number in range(len(sizes))]


@pytest.mark.parametrize(
    ("sizes", "pixels"),
    [
        ([(28, 28)], 32),
        ([(40, 200)], 32),
        ([(50, 60)], 64),
        ([(96, 96)], 96),
        ([(4000, 3000)], 128),
        ([(8, 8)], 32),
        ([(64, 64), (64, 70), (900, 900)], 64),
    ],
)
def test_images_are_packed_as_large_as_they_are(tmp_path, sizes, pixels):
    """Must fail if the longer side counts, the largest picture, or small ones are blown up."""
    assert size.chosen(data_params(), listed_of(tmp_path, sizes), tmp_path) == pixels


def test_what_cannot_be_read_has_no_size(tmp_path):
    """Must fail if one broken file stops a run that would name it later; or a given size is not taken."""
    listed = listed_of(tmp_path, [(96, 96)])
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = [Listed("broken.png", "cat"), Listed("missing.png", "cat")]
    assert size.chosen(data_params(), [*broken, *listed], tmp_path) == 96
    assert size.chosen(data_params(), broken, tmp_path) == 64
    assert size.chosen(data_params(image_size=48), listed, tmp_path) == 48
    assert size.chosen(data_params(source="synthetic"), [], tmp_path) == 48


def test_a_pipe_among_the_pictures_has_no_size(tmp_path, monkeypatch):
    """Must fail if it is opened: that waits for ever for somebody to write."""
    listed = listed_of(tmp_path, [(96, 96)])
    os.mkfifo(tmp_path / "pipe.png")
    real = Image.open

    def opened(path: Path, **options: object) -> Image.Image:
        if path.is_fifo():
            pytest.fail("the pipe is opened")
        return real(path, **options)

    monkeypatch.setattr(Image, "open", opened)
    assert size.chosen(data_params(), [Listed("pipe.png", "cat"), *listed], tmp_path) == 96


def test_a_recipe_in_numbers():
    """Must fail if a number that was given is replaced, or `auto` reaches a training."""
    given = OriginalParams(**VALID["original"] | {"epochs": 3, "batch_size": 5}).training(10**6)
    assert (given.epochs, given.batch_size) == (3, 5)
    auto = OriginalParams(**VALID["original"] | {"epochs": "auto", "batch_size": "auto"})
    for images in (2, 490, 5000, 10**6):
        found = auto.training(images)
        assert (found.epochs, found.batch_size) == (epochs_for(images), batch_size_for(images))
    # 10,000 passes of 300 images, 500,000 of 40,000; the example's 490 images have 20 epochs.
    assert [epochs_for(images) for images in (100, 300, 490, 25_000, 40_000, 10**6)] == [
        80,
        33,
        20,
        20,
        12,
        10,
    ]
    assert epochs_for(100) >= epochs_for(5000) >= epochs_for(10**6) >= 1
    assert 2 <= batch_size_for(100) <= batch_size_for(5000) <= batch_size_for(10**6)


def test_what_was_chosen_stands_in_the_metrics(tmp_path, monkeypatch, restored_torch):
    """Must fail if a stage takes another number than the one before, or nobody is told which."""
    photographs(tmp_path / "photos")
    auto = {"data__image_size": "auto", "original__batch_size": "auto"}
    run(tmp_path, monkeypatch, model__name="timm/test_convnext", **auto)
    pixels = read_metrics("metrics/prepare_data.json")["image_size"]
    assert Shards("data/images").shape[1] == pixels == 32
    trained = read_metrics("metrics/train_original.json")
    assert (trained["epochs"], trained["batch_size"]) == (1, batch_size_for(27))


def test_given_weights_need_their_own_size(tmp_path, monkeypatch):
    """Must fail if a network is asked about images of another size than it was trained on."""
    from test_any_model import project

    photographs(tmp_path / "photos")
    project(tmp_path, model__weights="mine.pth", data__image_size="auto")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="given weights were trained at one size"):
        possible.require(load_params())


def test_each_process_needs_a_gpu_of_its_own(tmp_path, monkeypatch):
    """Must fail if two processes are started on one GPU, where they never meet, or not on two, or on cores."""
    from test_any_model import project

    photographs(tmp_path / "photos")
    project(tmp_path, distributed__processes=2, device="auto")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UserError, match=r"distributed\.processes is 2, but 1 CUDA GPUs are"):
        possible.require(load_params())
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    possible.require(load_params())
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    possible.require(load_params().model_copy(update={"device": "cpu"}))
