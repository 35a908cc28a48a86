"""TensorRT and TensorRT-RTX: library, build, engine cache, runner."""
