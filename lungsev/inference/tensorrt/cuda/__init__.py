"""CUDA driver behind one contract, on pycuda or cuda-bindings."""

from lungsev.inference.tensorrt.cuda.bindings import CudaBindingsDriver
from lungsev.inference.tensorrt.cuda.driver import CudaDriver, DeviceInfo
from lungsev.inference.tensorrt.cuda.opening import count_devices, open_driver
from lungsev.inference.tensorrt.cuda.pycuda import PycudaDriver

__all__ = ["CudaBindingsDriver", "CudaDriver", "DeviceInfo", "PycudaDriver", "count_devices", "open_driver"]
