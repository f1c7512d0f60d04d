"""Names of authors, given before family name as papers print them."""

from __future__ import annotations

# Words that belong to the family name behind them.
_PARTICLES = frozenset({"da", "de", "del", "den", "der", "di", "la", "le", "ten", "van", "von"})


def split_name(name: str) -> tuple[str, str]:
    """Family and given names of one author; given is empty where only one word is known.

    >>> [split_name(name) for name in ("In So Kweon", "Loic Le Folgoc", "Le Lu", "Hu")]
    [('Kweon', 'In So'), ('Le Folgoc', 'Loic'), ('Lu', 'Le'), ('Hu', '')]
    """
    words = name.split()
    # Neither the first word nor the last: Le Lu and Quoc Le are not of a family "le".
    inner = range(1, len(words) - 1)
    first = next((k for k in inner if words[k].lower() in _PARTICLES), len(words) - 1)
    return " ".join(words[first:]), " ".join(words[:first])


def short_authors(authors: str) -> str:
    """Family names of up to three authors, of more the first one's and "et al.".

    >>> short_authors("Jie Hu, Li Shen, Gang Sun"), short_authors("A Hu, B Li, C Xu, D Wu")
    ('Hu, Shen, Sun', 'Hu et al.')
    """
    families = [split_name(name)[0] for name in authors.split(", ")]
    return ", ".join(families) if len(families) <= 3 else f"{families[0]} et al."
