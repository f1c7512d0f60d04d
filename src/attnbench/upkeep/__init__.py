"""A study after it was run: what is gone of it, what may go, and how it comes back."""
