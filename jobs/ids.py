"""Random ids of 12 characters (60 bits) that cannot be guessed or counted."""

import secrets

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford: no i, l, o, u


def new_id() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(12))
