"""The tool chain around the book: reading chapters, pairing them, executing them, rendering them."""
