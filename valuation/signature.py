"""The signature of an appraiser: where others can write into the registry too, it says which are ours.

HMAC-SHA256 (RFC 2104) of the digest of the manifest, under a key that those who promote share with those who serve.
"""

from __future__ import annotations

import hmac

TAG = "signature"
LEAST_LETTERS = 32


def checked(key: str) -> str:
    """The same key, or none. Raises ValueError for one that is so short that it could be guessed."""
    if 0 < len(key) < LEAST_LETTERS:
        raise ValueError(f"the key of signatures has {len(key)} letters; it needs {LEAST_LETTERS} or more")
    return key


def sign(*, digest: str, key: str) -> str:
    """The signature of a digest, in hex."""
    return hmac.new(key.encode(), digest.encode(), "sha256").hexdigest()


def holds(signature: str, *, digest: str, key: str) -> bool:
    """Whether a signature was made of this digest with this key; it takes as long for a wrong one."""
    return hmac.compare_digest(signature.encode(), sign(digest=digest, key=key).encode())
