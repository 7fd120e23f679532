"""What each model makes of the audited images, once per run: everything that judgement reads.

`views` and `relearn` run networks; `record` is what they leave in data/observed, and needs no PyTorch.
"""
