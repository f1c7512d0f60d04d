"""Addresses as they may be shown and kept: without user, password, token or key."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_IN_TEXT = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)(?:[^/\s?#]*@)?([^\s?#'\"]*)(\?[^\s'\"]*)?")


def is_url(address: str) -> bool:
    """Return whether an address is reached over HTTP; otherwise it is a path."""
    return address.lower().startswith(("http://", "https://"))


def has_secrets(address: str) -> bool:
    """Return whether an address has a user or a query, as tokens are written; a path has none."""
    return without_secrets(address) != address and not {"@", "?"}.isdisjoint(address)


def without_secrets(address: str) -> str:
    """A URL without user, password and fragment; of a query it only says that there is one.

    A path is returned as it is; of a URL that cannot be read, only the scheme.

    >>> without_secrets("HTTPS://me:word@[::1]:80/a?token=b"), without_secrets("HTTP://me:w/@b")
    ('HTTPS://[::1]:80/a?...', 'HTTP://...')
    """
    if not _SCHEME.match(address):
        return address
    scheme, _, rest = address.partition("://")
    try:
        parts = urlsplit(address)
        # Reading the port tells `user:pass/word@host`, whose host would be `user`.
        readable = parts.hostname and parts.port is not False
    except ValueError:
        readable = None
    if not readable:
        return f"{scheme}://..."
    rest = rest.partition("#")[0]
    place, asked, _ = rest.partition("?")
    host, slash, path = place.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{'?...' if asked else ''}"


def shown(address: str) -> str:
    """An address for a message: without secrets, and printable."""
    return printable(without_secrets(address))


def printable(text: str) -> str:
    """What somebody else wrote, without what moves a terminal's cursor, and not without end."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:500])


def hide_secrets(text: str, address: str = "") -> str:
    """`text` without the secrets of any URL in it, nor those of `address` wherever they stand."""
    text = _IN_TEXT.sub(lambda found: without_secrets(found[0]), text)
    for secret in sorted(_secrets_of(address), key=len, reverse=True):
        text = text.replace(secret, "...")
    return text


def _secrets_of(address: str) -> set[str]:
    if not _SCHEME.match(address):
        return set()
    before, _, query = address.partition("?")
    user = before.partition("://")[2].partition("/")[0].rpartition("@")[0]
    password = user.partition(":")[2]
    values = [value for _, value in parse_qsl(query)]
    found = {user, password, query, *values}
    if without_secrets(address).endswith("://..."):
        # Where a password ends cannot be told.
        found |= {part for part in re.split("[:/@]", before.partition("://")[2])[1:] if part}
    # Shorter ones would be replaced within innocent words.
    return {part for one in found for part in (one, unquote(one)) if len(part) > 2}
