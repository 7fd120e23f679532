"""What a person must know of the references before a figure is read: where models come from."""

from unlearning.data.request import Request
from unlearning.settings.whole import Params


def cautions(params: Params, request: Request, *, split_given: bool) -> list[str]:
    """Return a sentence for each reason why a difference may not be what forgetting did or did not do.

    `split_given`: whether the source says which images the given model was trained on.
    """
    model, found = params.model, []
    given = request.began_with_given(model.weights)
    if given and not split_given:
        found.append(
            "The given model's own split is not known (folders train, val and test, or a table with split): "
            "what is held out here may be what it was trained on, and then no figure of memory means anything."
        )
    if given and params.retrain.seeds:
        found.append(
            "The retrained models follow the recipe of `original`, not the given model's own: where the two "
            "recipes differ, that reads as a difference that forgetting made. The control trained by the same "
            "recipe on all images shows how much that is."
        )
    if model.start and params.retrain.seeds:
        alike = "" if given else ", as the original did"
        found.append(
            f"The retrained models begin with given weights{alike}: if these have seen the class, no retrained "
            "model is one that never saw it."
        )
    if params.retrain.weights:
        found.append(
            "The retrained models were given: that they follow the original's recipe, and never saw the forget "
            "images nor what is held out here, is not known to this run."
        )
    if not given and params.original.seed in params.retrain.seeds:
        found.append(
            f"Seed {params.original.seed} of `retrain.seeds` is the original's own: that model begins with "
            "its initial weights and its draws, and may resemble it more than one of another seed does."
        )
    return found
