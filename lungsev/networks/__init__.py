"""Networks: segmentation, spatial transformer, severity. The only core part that needs torch."""
