"""The evaluation's figures against scikit-learn, NumPy and values by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, recall_score

from unlearning import evaluation
from unlearning.versions import Versions

CLASSES = ("cat", "cow", "dog", "elephant")


def logits(count: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(count, len(CLASSES), generator=torch.Generator().manual_seed(seed))


def labels(count: int) -> torch.Tensor:
    return torch.arange(count) % len(CLASSES)


def certain(*predicted: int) -> torch.Tensor:
    """Return logits of about 1 for these classes."""
    return 20 * torch.eye(len(CLASSES))[list(predicted)]


def flat(tree: object, path: str = "") -> dict[str, object]:
    if not isinstance(tree, dict):
        return {path: tree}
    return {k: v for name, part in tree.items() for k, v in flat(part, f"{path}/{name}").items()}


def test_accuracy_agrees_with_scikit_learn():
    """Must fail if the smallest logit is taken, or the number of errors is returned."""
    outputs, truth = logits(50), labels(50)
    expected = accuracy_score(truth, outputs.argmax(dim=1))
    assert evaluation.accuracy(outputs, truth) == pytest.approx(expected)


def test_score_statistics_agree_with_numpy():
    """Must fail if the deviation is the sample's, or 0.3 and 0.5 count as below themselves."""
    values = np.array([0.05, 0.29, 0.3, 0.31, 0.5, 0.9])
    statistics = evaluation.score_statistics(torch.tensor(values))
    assert statistics == pytest.approx(
        {"mean": values.mean(), "std": values.std(), "below_0.3": 2 / 6, "below_0.5": 4 / 6}
    )


def test_one_score_has_a_deviation_of_zero():
    """Must fail if the deviation divides by N - 1, which is NaN for one image."""
    assert evaluation.score_statistics(torch.tensor([0.25]))["std"] == 0


def test_top_predictions_are_the_softmax_in_order():
    """Must fail if the classes are mixed up, or probabilities are scaled to sum to 1 over the top."""
    probs = torch.tensor([0.1, 0.2, 0.4, 0.3])
    top = evaluation.top_predictions(probs.log(), CLASSES)
    assert [name for name, _ in top] == ["dog", "elephant", "cow"]
    assert [prob for _, prob in top] == pytest.approx([0.4, 0.3, 0.2])
    everything = evaluation.top_predictions(probs.log(), CLASSES, count=9)
    assert len(everything) == 4
    assert sum(prob for _, prob in everything) == pytest.approx(1)


def test_equal_logits_give_the_class_that_accuracy_counts():
    """Must fail if `predict` names another class than the one the metrics count: bf16 makes ties."""
    outputs = torch.zeros(10)
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
    expected = recall_score(truth, outputs.argmax(dim=1), labels=[0, 1, 2], average=None)
    by_class = evaluation.per_class_accuracy(outputs, truth, CLASSES)
    assert by_class == pytest.approx(dict(zip(CLASSES[:3], expected, strict=True)))


def test_retrained_models_are_summed_up_by_mean_and_spread():
    """Must fail if a nested figure is dropped, or the spread is a deviation."""
    models = [
        {"test_accuracy": 0.5, "score": {"mean": 0.2}},
        {"test_accuracy": 0.9, "score": {"mean": 0.4}},
        {"test_accuracy": 0.7, "score": {"mean": 0.0}},
    ]
    figures = evaluation.mean_figures(models)
    assert flat(figures) == pytest.approx(
        {"/test_accuracy": 0.7, "/score/mean": 0.2, "/models": 3, "/test_accuracy_spread": 0.4}
    )


def test_without_retrained_models_the_figures_say_so():
    """Must fail if the mean of nothing becomes NaN or 0."""
    assert evaluation.mean_figures([]) == "no reference"
    alone = Versions({"cat": 0.8}, {"cat": 0.7}, {})
    assert evaluation.related_classes(alone)["cat"]["against_retrained"] == "no reference"


def test_related_classes_are_negative_where_the_unlearned_model_is_worse():
    """Must fail if a difference is turned round, or one retrained model stands for all."""
    per_class = Versions(
        original={"cow": 0.9, "cat": 0.5},
        unlearned={"cow": 0.6, "cat": 0.8},
        retrained={"1": {"cow": 0.7, "cat": 0.7}, "2": {"cow": 0.9, "cat": 0.7}},
    )
    related = evaluation.related_classes(per_class)
    assert related["cow"] == pytest.approx({"against_original": -0.3, "against_retrained": -0.2})
    assert related["cat"] == pytest.approx({"against_original": 0.3, "against_retrained": 0.1})


def test_confusion_rows_name_the_actual_class_first():
    """Must fail if actual and predicted are swapped."""
    rows = evaluation.confusion_rows(certain(1, 2), torch.tensor([0, 2]), CLASSES)
    assert rows == [
        {"actual": "cat", "predicted": "cow"},
        {"actual": "dog", "predicted": "dog"},
    ]


def versions(count: int, seeds: tuple[str, ...]) -> Versions[torch.Tensor]:
    return Versions(
        logits(count, seed=1),
        logits(count, seed=2),
        {seed: logits(count, seed=10 + int(seed)) for seed in seeds},
    )


def forget_figures(outputs: Versions, truth: torch.Tensor, train: torch.Tensor) -> dict:
    scores = outputs.map(lambda values: values[:, 0].sigmoid())
    return evaluation.forget_figures(outputs, scores, truth, train, labels(len(train)), CLASSES)


def test_forget_figures_give_each_version_its_own_numbers():
    """Must fail if two versions are mixed up, or train and test are."""
    truth = torch.tensor([3, 3, 3, 3])
    outputs = Versions(
        certain(3, 3, 3, 0), certain(0, 0, 1, 2), {"1": certain(0, 0, 0, 0), "2": certain(3, 0, 0, 0)}
    )  # fmt: skip
    scores = Versions(
        torch.full((4,), 0.9), torch.full((4,), 0.2), {s: torch.full((4,), 0.4) for s in "12"}
    )
    figures = evaluation.forget_figures(
        outputs, scores, truth, certain(3, 0), torch.tensor([3, 3]), CLASSES
    )
    assert figures["images"] == 4
    assert figures["train_accuracy"] == 0.5
    assert figures["test_accuracy"] == 0
    assert figures["misclassification_rate"] == 1
    assert figures["original"]["test_accuracy"] == 0.75
    assert figures["original"]["misclassification_rate"] == 0.25
    assert figures["retrained"]["test_accuracy"] == 0.125
    assert figures["retrained"]["destinations"]["cat"] == 0.875
    assert figures["destinations"] == {"cat": 0.5, "cow": 0.25, "dog": 0.25, "elephant": 0}
    assert figures["generator_score"]["mean"] == pytest.approx(0.2)
    assert figures["original"]["generator_score"]["mean"] == pytest.approx(0.9)
    assert figures["retrained"]["generator_score"]["mean"] == pytest.approx(0.4)


def test_the_mean_confidence_is_that_of_the_predicted_class():
    """Must fail if it is the true class's probability, or the largest mean."""
    outputs = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.1, 0.5, 0.2, 0.2]]).log()
    figures = forget_figures(Versions(outputs, outputs, {}), torch.tensor([3, 3]), logits(4))
    assert figures["confidence_mean"] == pytest.approx(0.6)


def test_retain_figures_give_each_version_its_own_numbers():
    """Must fail if two versions are mixed up, or train and test are."""
    truth = torch.tensor([0, 0, 1, 1])
    outputs = Versions(certain(0, 0, 1, 1), certain(0, 2, 1, 1), {"5": certain(0, 0, 0, 1)})
    figures = evaluation.retain_figures(
        outputs, truth, certain(0, 1, 2), torch.tensor([0, 1, 0]), CLASSES
    )
    assert figures["images"] == 4
    assert figures["train_accuracy"] == pytest.approx(2 / 3)
    assert figures["test_accuracy"] == 0.75
    assert figures["chance"] == 0.5
    assert figures["original"] == {"test_accuracy": 1}
    assert figures["retrained"] == {"test_accuracy": 0.75, "models": 1, "test_accuracy_spread": 0}
    assert figures["per_class"] == {"cat": 0.5, "cow": 1}
    assert figures["related_classes"] == {
        "cat": {"against_original": -0.5, "against_retrained": -0.5},
        "cow": {"against_original": 0, "against_retrained": 0.5},
    }


@pytest.mark.parametrize("seeds", [(), ("1",), ("1", "2")])
@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_no_figure_is_ever_a_nan(seeds, count, scale):
    """Must fail if one image, equal or enormous logits, or no retrained model makes a NaN."""
    outputs = versions(count, seeds).map(lambda values: values * scale)
    figures = {
        "forget": forget_figures(outputs, labels(count), logits(4)),
        "retain": evaluation.retain_figures(outputs, labels(count), logits(4), labels(4), CLASSES),
    }
    numbers = [value for value in flat(figures).values() if not isinstance(value, str)]
    assert len(numbers) >= 30
    assert all(math.isfinite(value) for value in numbers)


def test_the_order_of_the_images_changes_no_figure():
    """Must fail if a row's value depends on its place in the batch."""
    outputs, truth = versions(12, ("1", "2")), labels(12)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    shuffled = outputs.map(lambda values: values[order])
    train, train_truth = logits(8, seed=5), labels(8)
    for before, after in [
        (forget_figures(outputs, truth, train), forget_figures(shuffled, truth[order], train)),
        (
            evaluation.retain_figures(outputs, truth, train, train_truth, CLASSES),
            evaluation.retain_figures(shuffled, truth[order], train, train_truth, CLASSES),
        ),
    ]:
        assert flat(after) == pytest.approx(flat(before))
