"""Live recording: the bus, the service that stores what is published on it, the feed's client, and its replay."""
