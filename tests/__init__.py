"""One test file for each room of the package."""
