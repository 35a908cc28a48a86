"""HL7 v2 messages in: parsing, acknowledgements, the listener for merges of patients."""
