"""The columns of the audit's tables in plots/ and data/, for those who write and those who read them."""

LAYERS = (
    "model",
    "layer",
    "probe_recall",
    "knn_recall",
    "cka_to_original",
    "cka_to_retrained",
)
CURVES = ("model", "images", "passes", "forget_accuracy")
HISTOGRAMS = ("model", "quantity", "low", "high", "share")
EXAMPLES = ("id", "model", "rank", "class", "probability")
