"""What `doctor` and `verify` check: model, machine, clock, folders, ports, destinations."""
