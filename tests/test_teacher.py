"""The targets of forget images that follow from what the original says."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from unlearning.game.kept_features import KeptFeatures
from unlearning.game.knowledge import consult
from unlearning.game.teacher import find_targets


def test_targets_join_both_opinions(make_network, data, cpu):
    """Must fail if an exponent, an opinion, the standardisation or the order of images changes."""
    original = make_network(3).eval()
    forget = data.select(role="forget", subset="train")[[4, 0, 7]]
    probed = data.select(role="retain", subset="train")
    known = consult(original, data, torch.cat([forget, probed]), cpu)
    kept_features = KeptFeatures(known, probed, data, torch.Generator())
    ours = find_targets(known, kept_features, forget, probed, data)

    by_index = {index: row for row, index in enumerate(known.indices.tolist())}
    rows = [by_index[index] for index in forget.tolist()]
    middle = known.middle.double().numpy()
    shown = middle[[by_index[index] for index in probed.tolist()]]
    mean, deviation = shown.mean(axis=0), shown.std(axis=0)
    deviation[deviation == 0] = 1
    probe = LogisticRegression(C=0.001, max_iter=500)
    probe.fit((shown - mean) / deviation, data.labels[probed].numpy())
    opinion = np.zeros((3, 4))
    opinion[:, [0, 1, 3]] = probe.predict_proba((middle[rows] - mean) / deviation)

    def without_elephants(logits):
        chances = logits.detach().double().exp().numpy()
        chances[:, 2] = 0
        return chances / chances.sum(axis=1, keepdims=True)

    def product(answers, first, second):
        joined = answers**first * opinion**second
        return torch.from_numpy(joined / joined.sum(axis=1, keepdims=True)).float()

    shares = product(without_elephants(known.logits[rows]), 0.5, 0.8)
    features = kept_features.without_class(known.features[rows], shares.log(), data.labels[forget])
    torch.testing.assert_close(ours.features, features, rtol=1e-4, atol=1e-5)
    wanted = product(without_elephants(original.fc(features)), 0.7, 0.7)
    torch.testing.assert_close(ours.log_probs.exp(), wanted, rtol=1e-4, atol=1e-6)
    assert (ours.log_probs[:, 2] == float("-inf")).all()
