"""The routes that take a body, as addresses that can be asked."""

from serving.entries import ENTRIES, FORM, JSON

NO_QUOTE = "0" * 32
POSTED = {
    name.removeprefix("POST ").replace("{quote_id}", NO_QUOTE): entry
    for name, entry in ENTRIES.items()
    if entry.body
}
ADDRESSES = [path for path, entry in POSTED.items() if entry.body == JSON]
FORMS = [path for path, entry in POSTED.items() if entry.body == FORM]
PRICED = [path for path in ADDRESSES if NO_QUOTE not in path]
