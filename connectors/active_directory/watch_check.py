"""`vestibule connector check`, the part about listening to a domain: tried for a moment on the controller that answers.

Says what to do if it does not tell. Speaks to an operator, in plain words; changes nothing.
"""

from collections.abc import Iterator

from connectors.active_directory.listening import is_heard
from connectors.active_directory.settings import ActiveDirectorySettings
from connectors.active_directory.watch import open_line
from connectors.base import CheckStep, Clock, ConnectorError
from connectors.ldap.pool import ServerPool

TITLE = "Listening"


def check_listening(settings: ActiveDirectorySettings, pool: ServerPool, clock: Clock) -> Iterator[CheckStep]:
    """One step, two where those who were deleted cannot be seen. Raises nothing of the family."""
    if not settings.watch.enabled:
        say = "watch.enabled is false: whoever is disabled there is noticed when the directory's last word on them is too old"
        yield CheckStep(title=TITLE, outcome="warning", explanation=say)
        return
    try:
        line, controller = open_line(settings, pool, clock)
        try:
            line.start()
            is_heard(line)
            controller.reached()
            sees_deleted = controller.sees_deleted()
        finally:
            controller.close()
            line.close()
    except ConnectorError as error:
        say = f"{error.detail}. Until then whoever is disabled there is noticed when the directory's last word on them is too old."
        yield CheckStep(title=TITLE, outcome="failed", explanation=say)
        return
    yield CheckStep(title=TITLE, outcome="ok", explanation="the controller says by itself what changes (change notification)")
    if not sees_deleted:
        say = (
            "those who were deleted cannot be seen (or nobody ever was): whoever is deleted, not disabled, is noticed within ten minutes only. "
            "Let the service account list CN=Deleted Objects (docs/connect-active-directory.md)."
        )
        yield CheckStep(title=TITLE, outcome="warning", explanation=say)
