"""The device: takes an image in, reads it, keeps it, hands it on. Importing this does nothing."""
