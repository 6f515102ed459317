"""A mail as RFC 5322 wants it, in plain text. Pure: every header is one line by construction, whoever wrote what goes in it.

Auto-Submitted (RFC 3834) keeps holiday answers away; Message-ID and Date are ours, so that a second try is the same mail.
"""

from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from connectors.delivery import Outgoing
from connectors.mail.address import check_address, check_words

WIDE = SMTP.clone(max_line_length=78)


def compose(outgoing: Outgoing, *, sender: str, sender_name: str, reply_to: str | None, host: str) -> EmailMessage:
    """The mail; ValueError when the recipient is not an address or the subject not one line. `host` is the issuer's, for the Message-ID."""
    check_address(outgoing.to)
    check_words(outgoing.subject)
    mail = EmailMessage(policy=WIDE)
    try:
        mail["From"] = Address(check_words(sender_name), addr_spec=check_address(sender))
        mail["To"] = Address(addr_spec=outgoing.to)
        if reply_to is not None:
            mail["Reply-To"] = Address(addr_spec=check_address(reply_to))
    except HeaderParseError as error:
        raise ValueError("is not an e-mail address") from error
    mail["Subject"] = outgoing.subject
    mail["Date"] = format_datetime(outgoing.at)
    mail["Message-ID"] = f"<{outgoing.id}@{host}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(outgoing.text, charset="utf-8", cte="quoted-printable")
    mail["Content-Language"] = outgoing.language  # set_content forgets what was said of another content
    return mail
