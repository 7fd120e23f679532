"""Where else the images of a request are, once the model has forgotten them, and their removal."""
