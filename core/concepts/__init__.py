"""Concepts, what people say of images about them, and what follows from it."""
