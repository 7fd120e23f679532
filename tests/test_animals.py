"""The drawn animals: reproducible, varied, and strict about names."""

import numpy as np
import pytest
from PIL import Image

from unlearning.sources.drawn import SPECIES, draw, scene


def pixels(species, seed, size=48):
    return np.asarray(draw(species, np.random.default_rng(seed), size)).astype(int)


def blue_screen(rng, place, horizon, pixels):
    return Image.new("RGB", (pixels, pixels), "blue")


def test_species_are_the_ten_classes_of_animals_10_in_alphabetical_order():
    """Must fail if a species is dropped, renamed or out of order."""
    names = "butterfly cat chicken cow dog elephant horse sheep spider squirrel"
    assert tuple(names.split()) == SPECIES


@pytest.mark.parametrize("species", SPECIES)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(species):
    """Must fail if any choice comes from a generator of its own, or none from the caller's."""
    first = draw(species, np.random.default_rng(3), 48)
    again = draw(species, np.random.default_rng(3), 48)
    other = draw(species, np.random.default_rng(4), 48)
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("species", SPECIES)
def test_one_generator_gives_a_new_picture_at_each_call(species):
    """Must fail if `draw` copies or reseeds the generator instead of advancing it."""
    rng = np.random.default_rng(0)
    assert draw(species, rng, 32).tobytes() != draw(species, rng, 32).tobytes()


@pytest.mark.parametrize("size", [32, 144])
@pytest.mark.parametrize("species", SPECIES)
def test_pictures_are_rgb_squares_of_the_requested_size(species, size):
    """Must fail if the supersampled picture is returned, or the transparent layer."""
    picture = draw(species, np.random.default_rng(1), size)
    assert (picture.mode, picture.size) == ("RGB", (size, size))


def test_the_size_changes_the_resolution_and_not_the_picture(monkeypatch):
    """Must fail if a length is given in pixels, or the size enters the random choices."""
    monkeypatch.setattr(scene, "DEGRADATION", 0.0)
    for species in SPECIES:
        small = draw(species, np.random.default_rng(5), 48)
        large = draw(species, np.random.default_rng(5), 144).reduce(3)
        difference = np.abs(np.asarray(small).astype(int) - np.asarray(large))
        assert difference.mean() < 12, species


def test_species_drawn_from_the_same_generator_state_differ():
    """Must fail if two names lead to the same drawing."""
    pictures = {draw(species, np.random.default_rng(2), 48).tobytes() for species in SPECIES}
    assert len(pictures) == len(SPECIES)


def test_animals_face_left_and_right_about_equally_often(monkeypatch):
    """Must fail if the facing is fixed: the tusks then lie on one side of every elephant."""
    monkeypatch.setattr(scene, "CLUTTER", 0.0)
    monkeypatch.setattr(scene, "DEGRADATION", 0.0)
    monkeypatch.setattr(scene, "background", blue_screen)
    rightward = 0
    for seed in range(30):
        picture = pixels("elephant", seed, 96)
        tusks = np.abs(picture - (234, 224, 198)).max(axis=2) < 25
        body = picture[..., 2] < 200
        if tusks.any():
            rightward += np.nonzero(tusks)[1].mean() > np.nonzero(body)[1].mean()
    assert 7 <= rightward <= 23


def test_the_degradation_knob_at_zero_switches_noise_off(monkeypatch):
    """Must fail if `camera` ignores DEGRADATION: neighbours then differ by sensor noise."""
    noisy = np.mean([np.abs(np.diff(pixels("cow", s), axis=1)).mean() for s in range(8)])
    monkeypatch.setattr(scene, "DEGRADATION", 0.0)
    clean = np.mean([np.abs(np.diff(pixels("cow", s), axis=1)).mean() for s in range(8)])
    assert clean < noisy


def test_an_unknown_species_is_refused_by_name():
    """Must fail if an unknown name draws a default animal or the message omits it."""
    with pytest.raises(ValueError, match="unicorn"):
        draw("unicorn", np.random.default_rng(0))
