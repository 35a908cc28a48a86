"""How repeatable a bundle is on courses of graded images, and how good the changes are that follow from it."""
