"""Make a trained image classifier forget a class, and prove it against models that never saw it."""
