"""What a person must know of the references before a figure is read: where models come from."""

from unlearning.settings.whole import Params


def cautions(params: Params, *, split_given: bool) -> list[str]:
    """Return a sentence for each reason why a difference may not be what forgetting did or did not do.

    `split_given`: whether the source says which images the given model was trained on.
    """
    model, found = params.model, []
    given = model.weights and not params.forget.previous
    if given and not split_given:
        found.append(
            "The given model's own split is not known (folders train, val and test, or a table with split): "
            "what is held out here may be what it was trained on, and then no figure of memory means anything."
        )
    if given and not params.retrain.weights and params.retrain.seeds:
        found.append(
            "The retrained models follow the recipe of `original`, not the given model's own: where the two "
            "recipes differ, that reads as a difference that forgetting made. The control trained by the same "
            "recipe on all images shows how much that is."
        )
    if model.start and not params.retrain.weights:
        found.append(
            "Original and retrained models start from the same weights: if these have seen the class, no "
            "retrained model is one that never saw it."
        )
    return found
