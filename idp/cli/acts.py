"""Which act each command needs, on whom and where: one table, beside that of the console (idp/web/admin/routes.py).

place.py asks here before every command, when the configuration names `operators`; without any, whoever holds the machine may do all. A command that
is not in the table is refused then. docs/reference/acts.md is generated from here. Judges nothing: policies/acts.py does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from policies.acts import Act


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a command needs. `act` None: nothing, for it concerns nobody, or the operating system alone says who may.

    `whom`: parameters that name people; the act is asked about each. `where`: the parameter that names an establishment; when it is not given, the
    act must be held in the whole group. `thing`: a parameter that names something of an establishment (idp/cli/operators.py finds it).
    `is_everywhere`: the act must be held in the whole group, for the command shows or changes things of all of it.
    """

    act: Act | None
    whom: tuple[str, ...] = ()
    where: str | None = None
    thing: str | None = None
    is_everywhere: bool = False


_NOTHING = Needs(act=None)
_READ = Needs(act=Act.SEE_CONSOLE)
_GROUP_AUDIT = Needs(act=Act.READ_AUDIT, is_everywhere=True)
_CLIENTS = Needs(act=Act.MANAGE_CLIENTS)
_PLACE = Needs(act=Act.EDIT_PLACE, where="slug")
_SOURCES = Needs(act=Act.MANAGE_SOURCES)
# What goes round the desk's gates: whoever runs it knows the password, or opens the account to another sign-in, and nobody stands beside them.
_UNGATED = Needs(act=Act.MANAGE_ADMINISTRATORS, whom=("who",))

COMMAND_ACTS: Mapping[str, Needs] = {
    "account add": Needs(act=Act.EDIT_ACCOUNT, where="slug"),
    "account attach": Needs(act=Act.ATTACH, whom=("who",), where="slug"),
    "account detach": Needs(act=Act.DETACH, whom=("who",), where="slug"),
    "account end": Needs(act=Act.SUSPEND, whom=("who",), is_everywhere=True),
    "account import": Needs(act=Act.EDIT_ACCOUNT, is_everywhere=True),
    "account link": _UNGATED,
    "account list": Needs(act=Act.FIND, is_everywhere=True),
    "account merge": Needs(act=Act.MANAGE_ADMINISTRATORS, whom=("keep", "retire")),
    "account reinstate": Needs(act=Act.SUSPEND, whom=("who",)),
    "account set-password": _UNGATED,
    "account show": Needs(act=Act.FIND, whom=("who",)),
    "account suspend": Needs(act=Act.SUSPEND, whom=("who",)),
    "account stuck": Needs(act=Act.FIND, whom=("who",), where="slug"),
    "account unblock": Needs(act=Act.UNLOCK, whom=("who",)),
    "account unlink": _UNGATED,
    "account unlock": Needs(act=Act.UNLOCK, whom=("who",)),
    "account unmerge": Needs(act=Act.MANAGE_ADMINISTRATORS, whom=("retired",)),
    "admin bootstrap": _UNGATED,
    "admin give": _UNGATED,
    "admin list": Needs(act=Act.MANAGE_ADMINISTRATORS),
    "admin take": _UNGATED,
    "audit export": Needs(act=Act.READ_AUDIT, where="slug"),
    "audit rights": Needs(act=Act.MANAGE_ADMINISTRATORS),
    "audit seal": _GROUP_AUDIT,
    "audit show": _GROUP_AUDIT,
    "audit streams": _GROUP_AUDIT,
    "audit tail": Needs(act=Act.READ_AUDIT, where="slug"),
    "audit verify": _GROUP_AUDIT,
    "break-glass seal": Needs(act=Act.MANAGE_ADMINISTRATORS),
    "check-config": _NOTHING,
    "client add": _CLIENTS,
    "client change": _CLIENTS,
    "client end": _CLIENTS,
    "client list": _CLIENTS,
    "client rotate-secret": _CLIENTS,
    "client show": _CLIENTS,
    "connector check": _READ,
    "connector list": _READ,
    "cut list": _GROUP_AUDIT,
    "cut show": Needs(act=Act.READ_AUDIT, whom=("who",)),
    "cut verify": _NOTHING,
    "establishment add": Needs(act=Act.ADD_PLACE),
    "establishment change": _PLACE,
    "establishment list": _READ,
    "factor list": Needs(act=Act.FIND, whom=("who",)),
    "factor missing": Needs(act=Act.FIND, where="slug"),
    "factor reset": _UNGATED,
    "factor unblock": Needs(act=Act.UNLOCK, whom=("who",)),
    "keys list": Needs(act=Act.MANAGE_ADMINISTRATORS),
    "keys new-master": _NOTHING,
    "keys rotate": Needs(act=Act.MANAGE_ADMINISTRATORS),
    "mapping explain": Needs(act=Act.FIND, is_everywhere=True),
    "mapping try": _READ,
    "message list": _GROUP_AUDIT,
    "message test": _SOURCES,
    "migrate": _NOTHING,
    "outbox list": _GROUP_AUDIT,
    "pass issue": Needs(act=Act.ISSUE_PASS, whom=("who",)),
    "pass print": Needs(act=Act.MANAGE_ADMINISTRATORS),
    "policy explain": Needs(act=Act.FIND, whom=("person",)),
    "policy replay": Needs(act=Act.READ_AUDIT, where="slug"),
    "policy show": _READ,
    "policy test": _NOTHING,
    "reload": _NOTHING,
    "reset cancel": Needs(act=Act.RESET_PASSWORD, thing="reset_id"),
    "reset list": Needs(act=Act.FIND, where="slug"),
    "reset show": Needs(act=Act.FIND, thing="reset_id"),
    "scim confirm": _SOURCES,
    "scim dismiss": _SOURCES,
    "scim settle": _SOURCES,
    "scim show": Needs(act=Act.FIND, is_everywhere=True),
    "serve": _NOTHING,
    "stream list": _CLIENTS,
    "sync": _SOURCES,
    "work": _NOTHING,
    "workstation list": Needs(act=Act.SEE_CONSOLE, where="slug"),
    "workstation pass": Needs(act=Act.EDIT_PLACE, where="establishment"),
    "workstation revoke": Needs(act=Act.EDIT_PLACE, thing="workstation_id"),
    "zone add": Needs(act=Act.EDIT_PLACE, where="establishment"),
    "zone check": Needs(act=Act.SEE_CONSOLE, is_everywhere=True),
    "zone end": Needs(act=Act.EDIT_PLACE, where="establishment"),
    "zone list": Needs(act=Act.SEE_CONSOLE, where="slug"),
}
