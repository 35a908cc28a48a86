"""Drawing: the result on the image, for the Python API, the outputs and the charts."""
