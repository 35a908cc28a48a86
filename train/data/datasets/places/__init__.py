"""Datasets that say where in an image the opacity is: outlines and boxes, one file per published layout."""
