"""What is made of a reading: drawings for people, result objects for archives. Pure."""
