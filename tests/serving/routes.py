"""The routes that take a body, as addresses that can be asked."""

from serving import api

NO_QUOTE = "0" * 32
ADDRESSES = [path.replace("{quote_id}", NO_QUOTE) for path in api.ENTRIES]
PRICED = [path for path in api.ENTRIES if "{" not in path]
