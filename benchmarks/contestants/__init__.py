"""Who is compared: each module prepares one way to do the same work."""
