"""What leaves the program, built from the configuration: the queue of messages to people, the gateways that carry them, the audit trail's streams.

Opens no connection; a gateway's library is imported when the configuration names that gateway.
"""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from idp.clock import Clock
from idp.composition.stores import Stores
from idp.config import Config

if TYPE_CHECKING:
    from connectors.delivery import Gateway
    from connectors.streams.base import Sink
    from idp.messages.messenger import Messenger
    from idp.messages.sender import Sender
    from idp.store.leases import Fenced


def messenger(stores: Stores) -> "Messenger":
    """What queues messages to people."""
    from idp.messages.messenger import Messenger

    return Messenger(stores.config, keyring=stores.keyring, clock=stores.clock)


def sender(stores: Stores, database: "Fenced | None" = None) -> "Sender":
    """What sends the queued messages, for the worker; `database` is the store as the lease's holder sees it."""
    from idp.messages.sender import Sender

    gateways = open_gateways(stores.config, stores.clock)
    return Sender(stores.config, database or stores.database, gateways, messenger=messenger(stores), clock=stores.clock)


def open_gateways(config: Config, clock: Clock) -> "dict[str, Gateway]":
    """The configured ways of reaching people, by channel; nothing is asked before it is needed."""
    found: dict[str, Gateway] = {}
    if config.sms.http is not None:
        from connectors.sms.http import HttpSms

        found["sms"] = HttpSms(config.sms.http, clock, sender=config.sms.sender)
    elif config.sms.file is not None:
        from connectors.sms.file import FileSms

        found["sms"] = FileSms(config.sms.file)
    if config.mail.is_set:
        from connectors.mail.smtp import Mail

        found["email"] = Mail(config.mail, clock, host=urlsplit(config.issuer).hostname or "", sender_name=config.pages.product_name)
    return found


def open_sinks(config: Config) -> "dict[str, Sink]":
    """Where the audit trail is streamed to, by name; nothing is asked before it is needed."""
    found: dict[str, Sink] = {}
    for settings in config.audit.streams:
        if settings.type == "syslog":
            from connectors.streams.syslog import Syslog

            found[settings.name] = Syslog(settings)
        else:
            from connectors.streams.json_lines import JsonLines

            found[settings.name] = JsonLines(settings)
    return found
