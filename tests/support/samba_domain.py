"""The domain that Samba controllers (samba.py) are copied from: provisioned and furnished with its cast once a day, for all test runs and workers."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from tests.support.certificates import PrivateAuthority
from tests.support.processes import needed_file, program
from tests.support.samba import Samba
from tests.support.samba_cast import (
    ADMINISTRATOR_PASSWORD,
    CAST,
    CAST_GROUPS,
    ELSEWHERE,
    GROUPS,
    NETBIOS,
    NIGHTS,
    PASSWORD,
    PEOPLE,
    REALM,
    RESET_SERVICE,
    SERVICE,
    SERVICE_PASSWORD,
    SERVICES,
)
from tests.support.samba_people import DELEGATED, WEEK


class Domain:
    """A provisioned domain that controllers are copied from; it never runs itself. `authority` signs their certificates."""

    def __init__(self, template: Path, tls: Path, lock: IO[bytes]) -> None:
        self.template = template
        self._lock = lock  # held for as long as controllers may be copied
        self.authority = PrivateAuthority(tls)

    def close(self) -> None:
        """No controller will be copied from it any more."""
        self._lock.close()

    def provision(self) -> None:
        """Make the domain and its cast. Takes 10 s."""
        needed_file(Path("/usr/lib/python3/dist-packages/samba/samdb.py"), "samba")
        command = [
            *(program("samba-tool", "samba"), "domain", "provision", f"--realm={REALM}", f"--domain={NETBIOS}", "--server-role=dc"),
            *("--dns-backend=NONE", f"--adminpass={ADMINISTRATOR_PASSWORD}", f"--targetdir={self.template}", "--host-name=dc1"),
            *("--host-ip=127.0.0.1", "--option=interfaces=lo", "--option=bind interfaces only=yes"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stderr[-4000:]


def shared_domain(own: Path) -> Domain:
    """The domain of today: made by whoever wants it first, waited for by the others. `own`: a folder of this worker.

    It is kept for the day in the folder for temporary files, under a name that changes with these modules: making it takes 10 s, a minute on
    a machine that is busy.
    """
    root = Path(tempfile.gettempdir()) / f"vestibule-samba-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    modules = sorted(Path(__file__).parent.glob("samba*.py"))
    made_by = hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()[:12]
    kept = root / f"{datetime.now(UTC):%Y-%m-%d}-{made_by}"
    kept.mkdir(exist_ok=True)
    lock = (kept / "lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_SH)  # whoever removes old ones takes it alone
    domain = Domain(kept / "template", own / "tls", lock)
    with (kept / "making").open("wb") as making:
        fcntl.flock(making, fcntl.LOCK_EX)
        if not (kept / "is-ready").exists():
            shutil.rmtree(domain.template, ignore_errors=True)
            domain.provision()
            _furnish(domain, own / "furnishing")
            (kept / "is-ready").touch()
            _remove_old(root, kept)
    return domain


def _remove_old(root: Path, kept: Path) -> None:
    for other in root.iterdir():
        if other == kept or not (other / "lock").exists():
            continue
        with (other / "lock").open("wb") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody copies from it any more
            shutil.rmtree(other)


def _furnish(domain: Domain, folder: Path) -> None:
    """The cast, added as an administrator would, and kept in the template."""
    controller = Samba(domain, folder)
    try:
        controller.start()
        for unit in (PEOPLE, NIGHTS, ELSEWHERE, GROUPS, SERVICES):
            controller.add_unit(unit)
        for name in ("vestibule", "vestibule-resets"):
            controller.add_person(name, under=SERVICES, password=SERVICE_PASSWORD, is_old=False)
        controller.delegate("vestibule-resets", *DELEGATED)
        controller.show_deleted("vestibule")
        people = {login: controller.add_person(login, is_old=False, **values) for login, values in CAST.items()}
        for name, members in CAST_GROUPS.items():
            controller.add_group(name, *(people.get(member) or f"CN={member},{GROUPS}" for member in members))
        primary = controller.sid("tilleuls-infirmiers").rpartition("-")[2]
        controller.modify(people["a.amina"], {"primaryGroupID": primary})
        controller.set_password_age(WEEK, *people.values())
        for dn in people.values():
            assert controller.can_bind(dn, PASSWORD)  # the first writes lastLogonTimestamp; the next ones, nothing: `reset` has less to do
        for dn in (SERVICE, RESET_SERVICE):
            assert controller.can_bind(dn, SERVICE_PASSWORD)
    finally:
        controller.close()
    for path in controller.databases():
        shutil.copyfile(folder / path, domain.template / path)
