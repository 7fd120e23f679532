"""The last layer: how the outputs of forgotten classes are retired."""

import copy
from collections.abc import Sequence

import torch

from unlearning.models.classifier import Classifier

# Nats below the mean of the kept classes' logits: models trained without a class put its logit 4.6 to 7.1
# below, on images of any class (measured with ten classes: docs/experiments.md).
RETIRED_BELOW = 6.0


def edit_head(model: Classifier, forget_labels: Sequence[int]) -> Classifier:
    """Return a copy of the model that hides the forget classes by editing its last layer alone.

    A forget class's logit becomes the mean of the kept classes' less 6 nats: never the largest, and about as
    improbable as with a model that never saw the class. By accuracy the class is forgotten, the others are
    kept, and the features are untouched.
    Alone it is a control that an audit of the features must catch; after a game that moved the features it
    takes away what the class's own output still says of it. Without a class nothing is edited.
    """
    edited = copy.deepcopy(model)
    if not forget_labels:
        return edited
    head = edited.head
    forget = torch.tensor(list(forget_labels))
    kept = torch.ones(head.out_features, dtype=torch.bool).index_fill(0, forget, False)
    with torch.no_grad():
        head.weight[forget] = head.weight[kept].mean(dim=0)
        head.bias[forget] = head.bias[kept].mean() - RETIRED_BELOW
    return edited
