"""What a branch changes, for the person who reviews it: parameters, figures, limits, and pictures of both.

Needs neither data nor models nor PyTorch: metrics and series are in Git.
"""
