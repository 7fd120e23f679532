"""The names of a classifier's layers, for those who read what was observed; `anatomy` knows where they are."""

LAYERS = ("stem", "layer1", "layer2", "layer3", "features")  # in order, the penultimate one last
MIDDLE, FEATURES, LOGITS = "layer2", "features", "logits"
DEEP = LAYERS[-2:]  # where what a network memorised shows
