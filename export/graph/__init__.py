"""Passes on ONNX graphs: fusion, precision, costs."""
