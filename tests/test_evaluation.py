"""The evaluation's figures against scikit-learn, NumPy and values by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score

from unlearning.audit import evaluation
from unlearning.audit.evaluation import accuracy
from unlearning.models.panel import CONTROL, ORIGINAL, SAME_RECIPE, START, UNLEARNED, Panel
from unlearning.observe.record import EXTRACTOR, Observation, Observed, Sample, Shared

CLASSES = ("cat", "cow", "dog", "elephant")


def logits(count: int, seed: int = 0) -> np.ndarray:
    return (3 * np.random.default_rng(seed).normal(size=(count, len(CLASSES)))).astype(np.float32)


def labels(count: int) -> np.ndarray:
    return np.arange(count) % len(CLASSES)


def certain(*predicted: int) -> np.ndarray:
    """Return logits of about 1 for these classes."""
    return 20 * np.eye(len(CLASSES), dtype=np.float32)[list(predicted)]


def flat(tree: object, path: str = "") -> dict[str, object]:
    if not isinstance(tree, dict):
        return {path: tree}
    return {k: v for name, part in tree.items() for k, v in flat(part, f"{path}/{name}").items()}


def test_accuracy_agrees_with_scikit_learn():
    """Must fail if the smallest logit is taken, or the number of errors is returned."""
    outputs, truth = logits(50), labels(50)
    expected = accuracy_score(truth, outputs.argmax(axis=1))
    assert accuracy(outputs, truth) == pytest.approx(expected)


def test_score_statistics_agree_with_numpy():
    """Must fail if the deviation is the sample's, or 0.3 and 0.5 count as below themselves."""
    values = np.array([0.05, 0.29, 0.3, 0.31, 0.5, 0.9])
    statistics = evaluation.score_statistics(values)
    assert statistics == pytest.approx(
        {"mean": values.mean(), "std": values.std(), "below_0.3": 2 / 6, "below_0.5": 4 / 6}
    )


def test_one_score_has_a_deviation_of_zero():
    """Must fail if the deviation divides by N - 1, which is NaN for one image."""
    assert evaluation.score_statistics(np.array([0.25]))["std"] == 0


def test_top_predictions_are_the_softmax_in_order():
    """Must fail if the classes are mixed up, or probabilities are scaled to sum to 1 over the top."""
    probs = np.array([0.1, 0.2, 0.4, 0.3])
    top = evaluation.top_predictions(np.log(probs), CLASSES)
    assert [name for name, _ in top] == ["dog", "elephant", "cow"]
    assert [prob for _, prob in top] == pytest.approx([0.4, 0.3, 0.2])
    everything = evaluation.top_predictions(np.log(probs), CLASSES, count=9)
    assert len(everything) == 4
    assert sum(prob for _, prob in everything) == pytest.approx(1)


def test_an_observation_is_right_of_an_image_or_not():
    """Must fail if rows and labels are paired wrongly, or of equal logits the last class counts."""
    views = observed(panel(certain(3, 1, 2, 0), certain(0)), np.array([3, 2, 2, 0]), "forget")
    found = views.models.subjects[UNLEARNED].right(views.sample, np.array([3, 1, 0]))
    assert found.tolist() == [1.0, 0.0, 1.0]
    undecided = Observation(np.zeros((4, 4)), {}).right(views.sample, np.arange(4))
    assert undecided.tolist() == [0.0, 0.0, 0.0, 1.0]


def test_examples_pair_each_image_with_its_own_predictions(monkeypatch):
    """Must fail if before and after are swapped, or a row's text stands under another image."""
    monkeypatch.setattr(evaluation, "EXAMPLES", 3)
    after = [row % 2 for row in range(9)]
    views = observed(panel(certain(*after), certain(*[2] * 9)), np.full(9, 3), "forget")
    views = replace(views, sample=replace(views.sample, indices=np.arange(9) + 100))
    indices, texts = evaluation.example_texts(views)
    assert indices.tolist() == [100, 103, 106]
    for text, row in zip(texts, (0, 3, 6), strict=True):
        first, second = text.split("after:")
        assert first.split()[1] == "dog"
        assert second.split()[0] == ("cat", "cow")[row % 2]


def test_equal_logits_give_the_class_that_accuracy_counts():
    """Must fail if `predict` names another class than the one the metrics count: bf16 makes ties."""
    outputs = np.zeros(10)
    names = [str(number) for number in range(10)]
    assert evaluation.top_predictions(outputs, names)[0][0] == names[outputs.argmax()]


def test_destinations_are_shares_of_all_images():
    """Must fail if a class without images is left out, or counts are returned."""
    shares = evaluation.destinations(certain(0, 0, 1, 0, 3), CLASSES)
    assert shares == {"cat": 0.6, "cow": 0.2, "dog": 0.0, "elephant": 0.2}
    assert sum(evaluation.destinations(logits(31), CLASSES).values()) == pytest.approx(1)


def test_per_class_accuracy_is_scikit_learns_recall():
    """Must fail if it is the precision, or a class without images is given a number."""
    outputs, truth = logits(40), labels(40) % 3
    expected = recall_score(truth, outputs.argmax(axis=1), labels=[0, 1, 2], average=None)
    by_class = evaluation.per_class_accuracy(outputs, truth, CLASSES)
    assert by_class == pytest.approx(dict(zip(CLASSES[:3], expected, strict=True)))


def test_retrained_models_are_summed_up_by_mean_and_spread():
    """Must fail if the spread is a deviation, or the mean of nothing becomes NaN or 0."""
    assert evaluation.against(test=[0.5, 0.9, 0.7]) == pytest.approx(
        {"test_accuracy": 0.7, "test_accuracy_spread": 0.4}
    )
    assert evaluation.against(test=[]) == "no reference"


def test_a_row_per_class_holds_each_model_and_the_mean_of_the_retrained_ones():
    """Must fail if a model that saw the class enters the mean, as controls have, or one seed stands for all."""
    controls = {CONTROL: {"cow": 0.0}, SAME_RECIPE: {"cow": 1.0}, START: {"cow": 0.2}}
    subjects = {UNLEARNED: {"cow": 0.6}, ORIGINAL: {"cow": 0.9}, **controls}
    models = Panel(subjects, {"1": {"cow": 0.7}, "2": {"cow": 0.9}}).without_controls()
    (row,) = evaluation.by_class(models)
    assert row.pop("retrained") == pytest.approx(0.8)
    assert row == {
        "class": "cow", "original": 0.9, "unlearned": 0.6, "retrained (1)": 0.7, "retrained (2)": 0.9,
    }  # fmt: skip
    assert "retrained" not in evaluation.by_class(Panel(subjects, {}).without_controls())[0]


def test_confusion_rows_name_the_actual_class_first():
    """Must fail if actual and predicted are swapped."""
    rows = evaluation.confusion_rows(certain(1, 2), np.array([0, 2]), CLASSES)
    assert rows == [
        {"actual": "cat", "predicted": "cow"},
        {"actual": "dog", "predicted": "dog"},
    ]


def observed(
    models: Panel[np.ndarray], truth: np.ndarray, role: str, train: float = 0.25, score: float = 0.2
) -> Observed:
    """Return what was observed of test images with this role; an original that scored 0.9."""
    count = len(truth)
    accuracies = {"forget": train, "retain": train + 0.5}
    forget = tuple(np.unique(truth).tolist()) if role == "forget" else ()
    sample = Sample(
        np.arange(count), truth, np.array([role] * count), np.array(["test"] * count), forget, CLASSES,
        np.full(count, role == "forget"), np.zeros(count, dtype=int),
    )  # fmt: skip
    scores = {UNLEARNED: np.full(count, score), ORIGINAL: np.full(count, 0.9)}
    scores[EXTRACTOR] = np.linspace(0, 1, count)
    views = models.map(lambda outputs: Observation(outputs, {}, accuracies))
    views.subjects[CONTROL] = replace(
        views.subjects[CONTROL], train_accuracy={}
    )  # none is observed
    return Observed(sample, views, Shared(logits(count), np.zeros(4), scores))


def panel(unlearned: np.ndarray, original: np.ndarray, *retrained: np.ndarray) -> Panel[np.ndarray]:
    return Panel(
        {UNLEARNED: unlearned, ORIGINAL: original, CONTROL: original},
        {str(seed): outputs for seed, outputs in enumerate(retrained, 1)},
    )


def test_forget_figures_give_each_model_its_own_numbers():
    """Must fail if two models are mixed up, or train and test are."""
    models = panel(
        certain(0, 0, 3, 2), certain(3, 3, 3, 0), certain(0, 0, 0, 0), certain(3, 0, 0, 0)
    )
    figures = evaluation.forget_figures(observed(models, np.array([3, 3, 3, 3]), "forget"))
    assert figures["images"] == 4
    assert figures["train_accuracy"] == 0.25
    assert figures["test_accuracy"] == 0.25
    assert figures["original"] == {"test_accuracy": 0.75}
    assert figures["retrained"]["test_accuracy"] == 0.125
    assert figures["misclassification_rate"] == 0.75
    assert figures["generator_score"]["mean"] == pytest.approx(0.2)
    assert figures["discriminator_score"]["mean"] == pytest.approx(0.5)
    assert figures["discriminator_score"]["below_0.5"] == 0.5


def test_the_mean_confidence_is_that_of_the_predicted_class():
    """Must fail if it is the true class's probability, or the largest mean."""
    outputs = np.log(np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.5, 0.2, 0.2]], np.float32))
    figures = evaluation.forget_figures(
        observed(panel(outputs, outputs), np.array([3, 3]), "forget")
    )
    assert figures["confidence_mean"] == pytest.approx(0.6)


def test_retain_figures_give_each_model_its_own_numbers():
    """Must fail if two models are mixed up, train and test are, or the largest loss is turned round."""
    models = panel(certain(0, 2, 1, 1), certain(0, 0, 1, 1), certain(0, 0, 0, 1))
    figures = evaluation.retain_figures(observed(models, np.array([0, 0, 1, 1]), "retain"))
    assert figures == {
        "images": 4,
        "train_accuracy": 0.75,
        "test_accuracy": 0.75,
        "chance": 0.5,
        "kept_against": 0.75,
        "loss_p_value": 0.5,  # one image lost, one that retrained models do not know gained
        "largest_class_loss": 0.5,
        "original": {"test_accuracy": 1},
        "retrained": {"test_accuracy": 0.75, "test_accuracy_spread": 0},
    }


@pytest.mark.parametrize("retrained", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_no_figure_is_ever_a_nan(retrained, count, scale):
    """Must fail if one image, equal or enormous logits, or no retrained model makes a NaN."""
    models = panel(*(scale * logits(count, seed) for seed in range(2 + retrained)))
    figures = {
        "forget": evaluation.forget_figures(observed(models, labels(count), "forget")),
        "retain": evaluation.retain_figures(observed(models, labels(count), "retain")),
    }
    numbers = [value for value in flat(figures).values() if not isinstance(value, str)]
    assert len(numbers) >= 14
    assert all(math.isfinite(value) for value in numbers)


def test_the_order_of_the_images_changes_no_figure():
    """Must fail if a row's value depends on its place in the batch."""
    models, truth = panel(*(logits(12, seed) for seed in range(4))), labels(12)
    order = np.random.default_rng(0).permutation(12)
    shuffled = models.map(lambda values: values[order])
    for figures, role in (
        (evaluation.forget_figures, "forget"),
        (evaluation.retain_figures, "retain"),
    ):
        before = figures(observed(models, truth, role))
        after = figures(observed(shuffled, truth[order], role))
        assert flat(after) == pytest.approx(flat(before))
