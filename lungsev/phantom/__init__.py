"""Synthetic portable chest films with known lungs and grades: for tests, demo and pre-training."""

from lungsev.phantom.film import PhantomFilm, PhantomOptions, make_phantom

__all__ = ["PhantomFilm", "PhantomOptions", "make_phantom"]
