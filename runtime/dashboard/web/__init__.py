"""What the dashboard answers to requests: routes, access, forms, errors, files."""
