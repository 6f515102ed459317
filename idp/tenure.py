"""Tenure: whether this worker is the one, of all hosts, that does what must be done once.

Owns when the lease is taken, renewed and given back; idp/store/leases.py owns what it is, idp/work.py what is done with it. Correctness is the
fence's (`check`, in the transaction of each write); clocks and dead processes only decide how soon another takes over.
"""

from datetime import datetime, timedelta

from idp.clock import Clock
from idp.store.base import Lease
from idp.store.database import Database, Transaction
from idp.store.leases import LeaseLost
from idp.supervision import has_died, own_name

LEASE = "work"
LOOK_EVERY = timedelta(seconds=1)
RENEWALS = 3  # within a lease's life


class Tenure:
    """Whether this worker is the one that does the single jobs. `check` may be called by any thread, the rest by one."""

    def __init__(self, database: Database, clock: Clock, *, ttl: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._ttl = ttl
        self._holder = own_name()
        self._lease: Lease | None = None
        self._look_at = clock.now()

    @property
    def is_active(self) -> bool:
        """Whether we hold the lease as far as we know; only a write knows."""
        return self._lease is not None

    def stand(self) -> int | None:
        """Renew the lease when it is time, or take it when nobody holds it; its fence when it was taken just now. LeaseLost, StoreUnavailable."""
        now = self._clock.now()
        lease = self._lease
        if lease is not None:
            if self._is_old(lease, now):
                with self._database.write() as tx:
                    renewed = tx.leases.renew(lease, now=now, ttl=self._ttl)
                self._lease = renewed
            return None
        if now < self._look_at:
            return None
        self._look_at = now + LOOK_EVERY
        with self._database.read() as tx:
            held = tx.leases.get(LEASE)
        # A worker that died on this machine is not waited for: with one host, applications would be told late for nothing.
        dead = held if held is not None and has_died(held.holder) else None
        if held is not None and held.expires_at > now and dead is None:
            return None
        with self._database.write() as tx:
            taken = tx.leases.take(LEASE, self._holder, now=now, ttl=self._ttl, instead_of=dead)
        self._lease = taken
        return taken.fence if taken else None

    def check(self, tx: Transaction) -> None:
        """LeaseLost unless the lease is ours until `tx` ends. Who writes keeps it: a job longer than the lease does not lose it."""
        lease = self._lease
        if lease is None:
            raise LeaseLost(LEASE)
        now = self._clock.now()
        if self._is_old(lease, now):
            tx.leases.renew(lease, now=now, ttl=self._ttl)  # not noted here: `tx` may yet be rolled back
        else:
            tx.leases.check(LEASE, lease.fence)

    def forget(self) -> None:
        """Somebody else took it."""
        self._lease = None

    def release(self) -> None:
        """Give it back, for another to take over at once."""
        lease, self._lease = self._lease, None
        if lease is not None:
            with self._database.write() as tx:
                tx.leases.release(lease)

    def _is_old(self, lease: Lease, now: datetime) -> bool:
        return now >= lease.expires_at - self._ttl * (RENEWALS - 1) / RENEWALS
