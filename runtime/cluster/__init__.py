"""Archives: many images from folders, object stores and DICOMweb, scored by threads or a Ray cluster into Parquet."""
