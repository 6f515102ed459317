"""What may stand in a header: one plain address, one line of words. Pure, and light enough to be imported with the settings."""

import re

ADDRESS = re.compile(r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}$")


def check_address(text: str) -> str:
    """A plain ASCII address; ValueError when it is anything else: a name, a list, a quoted or an international local part."""
    if len(text) > 254 or not ADDRESS.match(text):
        raise ValueError("is not an e-mail address such as connexion@example.fr")
    return text


def check_words(text: str) -> str:
    """A name for people, on one line; ValueError otherwise."""
    if len(text) > 80 or not text.isprintable():
        raise ValueError("is not a name of at most 80 characters on one line")
    return text
