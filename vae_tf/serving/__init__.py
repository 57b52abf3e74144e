"""What endpoints answer."""
