"""What a person reads: one self-contained page and a model card, made from metrics/, plots/ and data/."""
