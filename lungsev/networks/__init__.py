"""Networks: what is trained, and what is exported. Needs torch, timm and segmentation-models-pytorch."""

from lungsev.networks.alignment import AlignmentNetwork
from lungsev.networks.checkpoint import load_network
from lungsev.networks.fused import FusedNetwork
from lungsev.networks.segmentation import SegmentationNetwork
from lungsev.networks.severity import SeverityNetwork

__all__ = ["AlignmentNetwork", "FusedNetwork", "SegmentationNetwork", "SeverityNetwork", "load_network"]
