"""What each page shows, as data; the templates make HTML of it."""
