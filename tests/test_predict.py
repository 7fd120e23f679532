"""What is said of single pictures is what the models say of the same pixels in the data set."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from unlearning import predict
from unlearning.audit.words import confidence_band, score_band
from unlearning.base.errors import UserError
from unlearning.data.dataset import Dataset
from unlearning.models.discriminator import load_discriminator, scores
from unlearning.models.forward import predict_logits
from unlearning.models.weights import load_classifier
from unlearning.predict import Prediction, Unreadable


def save_pictures(data: Dataset, indices: list[int], folder: Path) -> list[Path]:
    """Write images of the data set as files that decode to the same pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{place}_{index}.png" for place, index in enumerate(indices)]
    for path, index in zip(paths, indices, strict=True):
        Image.fromarray(data.images[index]).save(path)
    return paths


def ask(paths: list[Path], model: str, folder: Path, cpu) -> list[Prediction | Unreadable]:
    return list(predict.predict(paths, model, folder, cpu))


def test_a_prediction_is_the_models_own(tmp_path, data, model_folder, cpu):
    """Must fail if the two scores are swapped, the wrong model is asked, or the top is not in order."""
    indices = [30, 5, 17]
    answers = ask(save_pictures(data, indices, tmp_path), "unlearned", model_folder, cpu)

    wanted = torch.tensor(indices)
    model, extractor = (
        load_classifier(model_folder / f"{name}.safetensors")[0]
        for name in ("unlearned", "init/feature_extractor")
    )
    discriminator = load_discriminator(model_folder / "discriminator.safetensors")
    logits = predict_logits(model, data, wanted, cpu)
    extracted = predict_logits(extractor, data, wanted, cpu)
    for row, answer in enumerate(answers):
        probs = logits[row].softmax(dim=0)
        best = probs.sort(descending=True)
        assert answer.predicted == answer.top[0][0]
        assert [name for name, _ in answer.top] == [data.classes[i] for i in best.indices[:3]]
        assert [p for _, p in answer.top] == pytest.approx(best.values[:3].tolist(), abs=1e-4)
        assert answer.confidence == answer.top[0][1]
        score, own = (scores(discriminator, x)[row].item() for x in (extracted, logits))
        assert answer.discriminator_score == pytest.approx(score, abs=1e-4)
        assert answer.generator_score == pytest.approx(own, abs=1e-4)
        assert abs(score - own) > 1e-3, (
            "the two scores must differ for this test to tell them apart"
        )
        assert answer.reading_if_forgotten == score_band(answer.discriminator_score)
        assert answer.confidence_reading == confidence_band(answer.confidence)


def test_the_original_names_the_colour_of_a_picture(tmp_path, data, model_folder, cpu):
    """Must fail if pictures are normalised otherwise than in training, or classes are mixed up."""
    indices = data.select(subset="test").tolist()
    answers = ask(save_pictures(data, indices, tmp_path), "original", model_folder, cpu)
    assert [answer.predicted for answer in answers] == list(data.classes)


def test_a_picture_of_another_size_is_resized(tmp_path, data, model_folder, cpu):
    """Must fail if the network sees another size than it was trained at."""
    Image.new("RGB", (90, 50), (220, 40, 40)).save(tmp_path / "wide.png")
    (answer,) = ask([tmp_path / "wide.png"], "original", model_folder, cpu)
    assert answer.predicted == "cat"


def test_broken_files_keep_their_place_among_the_others(
    tmp_path, data, model_folder, cpu, monkeypatch
):
    """Must fail if a broken file stops the run, or shifts the answers after it, at a batch's end too."""
    monkeypatch.setattr(predict, "BATCH_SIZE", 2)
    good = save_pictures(data, data.select(subset="test").tolist(), tmp_path)
    broken = [tmp_path / f"broken{number}.jpg" for number in range(3)]
    for path in broken:
        path.write_text("no image")
    paths = [good[0], broken[0], broken[1], broken[2], good[1], good[2], good[3]]
    answers = ask(paths, "original", model_folder, cpu)
    assert [answer.path for answer in answers] == [str(path) for path in paths]
    read = [answer.predicted for answer in answers if isinstance(answer, Prediction)]
    assert read == list(data.classes)
    assert all("no image in a known format" in answer.reason for answer in answers[1:4])


def test_a_folder_is_taken_with_all_below_it_in_order(tmp_path, data, model_folder, cpu):
    """Must fail if nested pictures are left out, or the order is the disk's."""
    (nested,) = save_pictures(data, [0], tmp_path / "b")
    (first,) = save_pictures(data, [1], tmp_path / "a" / "x")
    answers = ask([tmp_path], "original", model_folder, cpu)
    assert [answer.path for answer in answers] == [str(first), str(nested)]


@pytest.mark.parametrize(
    ("path", "said"),
    [("none.png", "none.png does not exist: give a picture"), ("empty", "empty holds no file")],
)
def test_a_path_without_pictures_is_refused(tmp_path, model_folder, cpu, path, said):
    """Must fail if nothing to look at passes for an answer."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=said):
        ask([tmp_path / path], "original", model_folder, cpu)


def test_the_models_to_ask_are_all_but_the_discriminators(model_folder):
    """Must fail if a discriminator is offered, a subfolder's model is not, or seeds are sorted as words."""
    assert predict.model_names(model_folder) == [
        "init/feature_extractor", "init/generator", "original",
        "retrained/2", "retrained/10", "unlearned",
    ]  # fmt: skip


def test_a_retrained_model_is_asked_by_its_seed(tmp_path, data, model_folder, cpu):
    """Must fail if only the models at the top can be asked."""
    (answer,) = ask(save_pictures(data, [0], tmp_path), "retrained/10", model_folder, cpu)
    assert answer.predicted == "cat"


@pytest.mark.parametrize(
    "model", ["unlerned", "discriminator", "../models/original", "original.safetensors"]
)
def test_an_unknown_model_is_refused_with_those_there_are(tmp_path, data, model_folder, cpu, model):
    """Must fail if any file can be named, or the person is left to guess."""
    paths = save_pictures(data, [0], tmp_path)
    with pytest.raises(UserError) as caught:
        ask(paths, model, model_folder, cpu)
    assert repr(model) in str(caught.value)
    assert "original, retrained/2, retrained/10, unlearned" in str(caught.value)


def test_a_folder_without_models_says_how_to_make_them(tmp_path, data, cpu):
    """Must fail if an empty list of choices is offered."""
    paths = save_pictures(data, [0], tmp_path / "pictures")
    with pytest.raises(UserError, match="holds no model: run `dvc repro`"):
        ask(paths, "original", tmp_path / "models", cpu)


def test_the_table_lines_up_whatever_the_length_of_names():
    """Must fail if columns have a fixed width, a reason is lost, or "failed" is said of any picture."""
    top = [("elephant", 0.345), ("a very long name", 0.3), ("cow", 0.2)]
    lines = predict.table(
        [
            Prediction("a.png", "elephant", 0.345, "low", top, 0.0874, 0.9, "excellent"),
            Unreadable("a much longer path/b.png", "empty file"),
        ]
    )
    assert len(lines) == 3
    assert lines[0].endswith("score  if it is to be forgotten"), (
        "a kept class's score is no failure"
    )
    column = lines[0].index("predicted")
    assert lines[1][column:].startswith("elephant  ")
    assert lines[2][column:].startswith("-  ")
    assert lines[1][lines[0].index("confidence") :].startswith("0.3450 (low)  ")
    assert "elephant 0.3450, a very long name 0.3000, cow 0.2000" in lines[1]
    assert lines[1].endswith("0.087  excellent")
    assert "empty file" in lines[2]


def test_a_path_and_a_model_are_found_in_either_unicode_form(tmp_path):
    """Must fail if what a person types must have the form that the disk has."""
    composed, decomposed = "\xe9t\xe9", "e\u0301te\u0301"
    for folder, typed in (("a", composed), ("b", decomposed)):
        disk = {composed: decomposed, decomposed: composed}[typed]
        picture = tmp_path / folder / disk / f"{disk}.png"
        picture.parent.mkdir(parents=True)
        picture.write_bytes(b"x")
        assert predict._pictures(tmp_path / folder / typed / f"{typed}.png") == [picture]
        assert predict._pictures(tmp_path / folder / typed) == [picture]
        (tmp_path / f"{folder}/{disk}.safetensors").touch()
        assert predict._model_file(typed, tmp_path / folder).is_file()
    with pytest.raises(UserError, match="does not exist"):
        predict._pictures(tmp_path / "c" / typed / "x.png")
