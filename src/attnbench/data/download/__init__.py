"""Verified originals: fetched over HTTP or from a mirror, unpacked, kept whole."""
