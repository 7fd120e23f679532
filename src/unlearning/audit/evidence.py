"""All figures of an audit, from every model, each with its distance to retraining and the floor."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unlearning.audit import auditor, membership, outputs, relearning, representation
from unlearning.audit.estimates import Measured, estimate, needs
from unlearning.audit.observation import EARLY, FEATURES, LAYERS, Observation, Sample, observe
from unlearning.audit.panel import Figure, Panel, mean_of_references, own, relative
from unlearning.data.dataset import Dataset
from unlearning.hardware import Hardware
from unlearning.heads import edit_head
from unlearning.models import new_classifier, predict_logits
from unlearning.versions import Versions
from unlearning.words import Unmeasured

UNLEARNED, ORIGINAL, CONTROL = "unlearned", "original", "head_edited"
# Share of false positives, and the images it takes to read one: a single one must be no larger share.
FALSE_POSITIVE_RATES = {"at_1_percent": (0.01, 100), "at_5_percent": (0.05, 20)}
LEAST_FOR_ATTACKS = 10
WITH_FORGET_IMAGES, RETAIN_ONLY = "forget and retain", "retain only"
RANDOM_NETWORK_SEED = 0


@dataclass(frozen=True)
class Views:
    """What all models make of the audited images.

    `random_logits`: a random network's logits of the forget test images, for ZRF.
    """

    sample: Sample
    models: Panel[Observation]
    random_logits: Float[Tensor, "N C"]


def panel_of(models: Versions[nn.Module], forget_labels: list[int]) -> Panel[nn.Module]:
    """Return the audited models: the unlearned one, two controls, and the references."""
    subjects = {
        UNLEARNED: models.unlearned,
        ORIGINAL: models.original,
        CONTROL: edit_head(models.original, forget_labels),
    }
    return Panel(subjects, models.retrained)


def observe_all(
    models: Panel[nn.Module], data: Dataset, sample: Sample, hardware: Hardware
) -> Views:
    """Return the views of all models, one forward pass each."""
    subjects = {
        name: observe(model, data, sample, hardware)
        for name, model in models.subjects.items()
        if name != CONTROL
    }
    # The control's layers are the original's: its head alone is computed.
    features = subjects[ORIGINAL].layers
    head = models.subjects[CONTROL].get_submodule("fc").cpu()
    with torch.no_grad():
        subjects[CONTROL] = Observation(head(torch.from_numpy(features[FEATURES])), features)
    references = {
        seed: observe(model, data, sample, hardware) for seed, model in models.references.items()
    }
    forget = sample.indices[torch.from_numpy(sample.rows("forget", "test"))]
    random = new_classifier(sample.class_count, RANDOM_NETWORK_SEED)
    random_logits = predict_logits(random, data, forget, hardware)
    return Views(sample, Panel(subjects, references), random_logits)


def output_figures(views: Views) -> dict[str, Figure]:
    """Return the figures of what the models answer, on forget and on retain test images."""
    sample = views.sample
    forget, retain = sample.rows("forget", "test"), sample.rows("retain", "test")
    forget_labels, retain_labels = sample.labels[forget], sample.labels[retain]
    on_forget = views.models.map(lambda view: view.probs[forget])
    on_retain = views.models.map(lambda view: view.probs[retain])
    original = on_retain.subjects[ORIGINAL]
    random = views.random_logits.double().softmax(dim=1).numpy()
    return {
        "forget_accuracy": own(
            on_forget.map(lambda p: mean(outputs.hits(p, forget_labels), least=1)), only_worse=1
        ),
        "retain_accuracy": own(
            on_retain.map(lambda p: mean(outputs.hits(p, retain_labels), least=1)), only_worse=-1
        ),
        "js_to_retrained": relative(on_forget, lambda p, q: mean(outputs.js_divergence(p, q))),
        "destination_tv": relative(on_forget, destination_tv),
        "confidence_mean": own(on_forget.map(lambda p: mean(p.max(axis=1)))),
        "entropy_mean": own(on_forget.map(lambda p: mean(outputs.entropy(p)))),
        "agreement_with_original": own(
            on_retain.map(lambda p: mean(outputs.agreement(p, original))), only_worse=-1
        ),
        "agreement_with_retrained": relative(
            on_retain, lambda p, q: mean(outputs.agreement(p, q)), equal_at=1
        ),
        "calibration_error": own(
            on_retain.map(
                lambda p: estimate(
                    outputs.calibration_error,
                    np.column_stack([p.max(axis=1), outputs.hits(p, retain_labels)]),
                )
            ),
            only_worse=1,
        ),
        "zrf": own(on_forget.map(lambda p: mean(outputs.zero_retrain_forgetting(p, random)))),
    }


def mean(values: np.ndarray, least: int = 10) -> Measured:
    """Return the mean over images, with its interval."""
    return estimate(np.mean, values, least=least)


def destination_tv(left: np.ndarray, right: np.ndarray) -> Measured:
    """Return how far the predicted classes of two models on the same images are apart, N x C each."""
    both = np.stack([outputs.one_hot(left), outputs.one_hot(right)], axis=1)
    return estimate(lambda rows: outputs.total_variation(rows[:, 0], rows[:, 1]), both)


def membership_figures(views: Views) -> dict[str, Figure]:
    """Return how well attackers tell forget images that were trained on from those that were not."""
    sample = views.sample
    train, test = sample.rows("forget", "train"), sample.rows("forget", "test")
    images = np.concatenate([train, test])
    is_member = np.repeat([1, 0], [len(train), len(test)])
    fewest = min(len(train), len(test))
    figures = {"membership_svc": own(views.models.map(lambda view: _svc(view, sample)))}
    if fewest < LEAST_FOR_ATTACKS:
        unmeasured = own(views.models.map(lambda _: needs(LEAST_FOR_ATTACKS)))
        return figures | dict.fromkeys(_membership_names(), unmeasured)

    scores = views.models.map(
        lambda view: membership.attack_scores(view.probs[images], sample.labels[images], is_member)
    )
    for attack in membership.ATTACKS:
        figures |= _attack_figures(attack, scores.map(itemgetter(attack)), is_member == 1)
    return figures


def _attack_figures(
    attack: str, scores: Panel[np.ndarray], is_member: np.ndarray
) -> dict[str, Figure]:
    groups = scores.map(lambda found: (found[is_member], found[~is_member]))
    figures = {
        f"membership_auc.{attack}": own(groups.map(lambda pair: estimate(membership.auc, *pair)))
    }
    for name, (rate, least) in FALSE_POSITIVE_RATES.items():
        measure = partial(
            estimate,
            partial(membership.true_positive_rate, false_positive_rate=rate),
            least=least,
        )
        figures[f"membership_tpr.{name}.{attack}"] = own(groups.map(lambda pair: measure(*pair)))  # noqa: B023
    return figures


def _membership_names() -> list[str]:
    tables = ["membership_auc", *(f"membership_tpr.{name}" for name in FALSE_POSITIVE_RATES)]
    return [f"{table}.{attack}" for table in tables for attack in membership.ATTACKS]


def _svc(view: Observation, sample: Sample) -> Measured:
    chance = view.probs[np.arange(len(sample.labels)), sample.labels]
    flags = membership.svc_non_members(
        *(
            chance[sample.rows(role, subset)]
            for role, subset in (("retain", "train"), ("retain", "test"), ("forget", "train"))
        )
    )
    return mean(flags)


@dataclass(frozen=True)
class Probed:
    """What probes found in one model: per layer, and per forget test image 1 where its class was found."""

    linear: dict[str, Measured]
    neighbours: dict[str, Measured]
    few_shot: Measured


def probe(view: Observation, sample: Sample) -> Probed:
    """Return what probes of the model's layers recall of the forget classes."""
    train, test = sample.probed_rows, sample.rows("forget", "test")
    labels, tested_labels = sample.labels[train], sample.labels[test]

    def recall(kind: Callable[..., np.ndarray], layer: str) -> Measured:
        features = view.layers[layer]
        found = kind(features[train], labels, features[test])
        return mean((found == tested_labels).astype(float))

    shots = min(np.bincount(labels, minlength=sample.class_count)[list(sample.forget_labels)])
    features = view.layers[FEATURES]
    return Probed(
        {layer: recall(representation.linear_probe, layer) for layer in LAYERS.values()},
        {layer: recall(representation.knn_probe, layer) for layer in LAYERS.values()},
        needs(representation.SHOTS)
        if shots < representation.SHOTS
        else mean(
            representation.few_shot_hits(
                features[train], labels, features[test], tested_labels, sample.forget_labels
            )
        ),
    )


def probe_all(views: Views) -> Panel[Probed]:
    """Return what probes found in every model; the control shares the original's layers and figures."""
    found = {id(view.layers): view for view in views.models.named().values()}
    probed = {key: probe(view, views.sample) for key, view in found.items()}
    return views.models.map(lambda view: probed[id(view.layers)])


def representation_figures(views: Views, probed: Panel[Probed]) -> dict[str, Figure]:
    """Return the figures of the features: probes, and similarity of layers on forget test images."""
    forget = views.sample.rows("forget", "test")
    figures = {
        "probe_recall": own(probed.map(lambda found: found.linear[FEATURES])),
        "early_probe_recall": own(probed.map(lambda found: found.linear[EARLY])),
        "few_shot_recall": own(probed.map(lambda found: found.few_shot)),
        "knn_recall": own(probed.map(lambda found: found.neighbours[FEATURES])),
    }
    for layer in LAYERS.values():
        figures |= _likeness(layer, views.models.map(partial(_features, layer=layer, rows=forget)))
    return figures


def _features(view: Observation, layer: str, rows: np.ndarray) -> np.ndarray:
    return view.layers[layer][rows]


def _likeness(layer: str, features: Panel[np.ndarray]) -> dict[str, Figure]:
    original = features.subjects[ORIGINAL]
    return {
        f"cka_to_original.{layer}": own(
            features.map(lambda values: representation.cka(values, original))
        ),
        f"cka_to_retrained.{layer}": relative(features, representation.cka, equal_at=1),
    }


def auditor_figures(views: Views) -> dict[str, Figure]:
    """Return how well a fresh auditor tells each model's forget test images from the references'."""
    sample = views.sample
    forget, retain = sample.rows("forget", "test"), sample.rows("retain", "train")

    def features(view: Observation) -> np.ndarray:
        layer = view.layers[FEATURES]
        return auditor.feature_view(layer[forget], layer[retain], sample.labels[retain])

    seen = {
        "outputs": views.models.map(
            lambda view: auditor.output_view(view.probs[forget], sample.forget_labels)
        ),
        "features": views.models.map(features),
    }
    return {
        f"auditor_auc.{name}": relative(panel, auditor.told_apart, equal_at=0.5)
        for name, panel in seen.items()
    }


def relearn_all(
    models: Panel[nn.Module], data: Dataset, hardware: Hardware, back_at: float
) -> dict[str, Panel[relearning.Curve]]:
    """Return the curves of every model, fine-tuned with a few forget images and with none."""
    few = relearning.few_forget_images(data)

    def curves(given: Tensor) -> Panel[relearning.Curve]:
        return models.map(lambda model: relearning.relearn(model, data, given, back_at, hardware))

    return {WITH_FORGET_IMAGES: curves(few), RETAIN_ONLY: curves(few[:0])}


def back_at(views: Views) -> float:
    """Return the forget accuracy at which the class counts as back: most of the original's."""
    forget = views.sample.rows("forget", "test")
    probs = views.models.subjects[ORIGINAL].probs[forget]
    return relearning.BACK_AT * float(outputs.hits(probs, views.sample.labels[forget]).mean())


def relearning_figures(
    curves: dict[str, Panel[relearning.Curve]], back_at: float
) -> dict[str, Figure]:
    """Return the passes until the class was back, and how much of it came back without a forget image."""
    if back_at == 0:
        unmeasured = own(curves[RETAIN_ONLY].map(lambda _: Unmeasured.NEVER_KNOWN))
        return {"relearn_passes": unmeasured, "returned_accuracy": unmeasured}
    return {
        "relearn_passes": own(
            curves[WITH_FORGET_IMAGES].map(lambda curve: curve.passes_until_back(back_at)),
            only_worse=-1,
            resolution=relearning.RESOLUTION,
        ),
        "returned_accuracy": own(curves[RETAIN_ONLY].map(lambda curve: curve.best()), only_worse=1),
    }


def relearn_ratio(passes: Figure) -> float | str:
    """Return the unlearned model's passes over the references' mean; below 1: back sooner."""
    mine, theirs = passes.values.subjects[UNLEARNED], mean_of_references(passes.values)
    if isinstance(mine, str) or isinstance(theirs, str):
        return mine if isinstance(mine, str) else theirs
    return mine.value / theirs if theirs else Unmeasured.KNOWN_AT_ONCE
