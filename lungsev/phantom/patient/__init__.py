"""The synthetic patient: anatomy, disease, devices."""
