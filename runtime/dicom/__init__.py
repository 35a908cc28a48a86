"""DICOM network services: listener, limits, storage commitment."""
