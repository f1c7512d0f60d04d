"""Settings of all tests."""

from hypothesis import settings

settings.register_profile("attnbench", deadline=None)
settings.load_profile("attnbench")
