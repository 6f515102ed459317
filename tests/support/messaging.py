"""The queue, the sender and the codes of a World, as its server and its worker have them; a person with an SMS or an e-mail factor."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from idp.audit import Author, Origin
from idp.composition.outgoing import sender
from idp.composition.stores import Stores, open_stores
from idp.messages.sender import Sender
from idp.signin.code_offer import CodeOffers
from idp.signin.enrolment import Asking, Enrolment
from idp.signin.factor_throttle import FactorThrottle
from idp.signin.one_time_codes import OneTimeCodes
from idp.signin.sent_codes import SentCodes, open_sent_codes
from idp.store.base import Ephemeral, Factor, Message
from idp.store.ephemeral import open_ephemeral
from tests.support.rows import a_factor
from tests.support.second_factors import asking
from tests.support.world import World

NUMBER = "+33612345642"
HINT = "06 ** ** ** 42"
ORIGIN = Origin(request_id="C0DE000001", address="198.51.100.7")
AUTHOR = Author("operator:test", ORIGIN)


@dataclass(frozen=True)
class Messaging:
    """One World's messages."""

    world: World
    author: Author = AUTHOR

    @cached_property
    def stores(self) -> Stores:
        """What another process of the World opens."""
        return open_stores(self.world.config, self.world.clock)

    @cached_property
    def ephemeral(self) -> Ephemeral:
        """The ephemeral store, as another process has it."""
        return open_ephemeral(self.world.config.ephemeral, self.world.clock, connections=10)

    @cached_property
    def parts(self) -> SentCodes:
        """What queues, makes and judges codes, and adds telephones."""
        stores = self.stores
        throttle = FactorThrottle(stores.database, self.ephemeral, stores.keyring, clock=stores.clock, settings=stores.config.factors)
        enrolment = Enrolment(stores.database, stores.clock, settings=stores.config.factors, wants_factor=lambda *_: True)
        return open_sent_codes(
            stores.config,
            database=stores.database,
            ephemeral=self.ephemeral,
            keyring=stores.keyring,
            clock=stores.clock,
            throttle=throttle,
            enrolment=enrolment,
        )

    @property
    def codes(self) -> OneTimeCodes:
        """What makes and judges codes."""
        return self.parts.codes

    @property
    def offers(self) -> CodeOffers:
        """What adds telephones and addresses."""
        return self.parts.offers

    @cached_property
    def sender(self) -> Sender:
        """What sends."""
        return sender(self.stores)

    def asking(self, person: str = "claire", **position: Any) -> Asking:
        """Somebody at work who wants to add a factor."""
        return asking(self.world, person, **position)

    def factor(self, person: str = "claire", kind: str = "sms", address: str = NUMBER, hint: str = HINT) -> Factor:
        """An enrolled factor."""
        now = self.world.clock.now()
        factor_id = self.world.clock.new_id()
        sealed, account_id = self.codes.seal(factor_id, address), self.world.account(person).id
        factor = a_factor(
            factor_id, account_id, now, kind=kind, hint=hint, label="Mon téléphone", sealed=sealed, enrolled_zone="tilleuls/lan"
        )
        with self.world.arranging() as tx:
            assert tx.factors.add(factor)
        return factor

    def deliver(self) -> int:
        """Send until nothing is due nor under way; how many tries that took."""
        tried = 0
        # On a busy machine a try may last longer than one call waits for it.
        while (done := self.sender.run_once()) or self.sender.is_sending:
            tried += done
        return tried

    def messages(self) -> tuple[Message, ...]:
        """The queue, newest first."""
        with self.world.database.read() as tx:
            return tx.messages.recent(100)

    def tell(self, person: str, purpose: str, **params: str) -> bool:
        """Queue a notice, in a transaction as whoever changes something has it."""
        with self.stores.database.write() as tx:
            account = tx.people.get(self.world.account(person).id)
            assert account is not None
            return self.parts.messenger.tell(tx, account, purpose, params, author=AUTHOR)

    def close(self) -> None:
        """Let go of what was opened."""
        if "sender" in self.__dict__:
            self.sender.close()
        if "ephemeral" in self.__dict__:
            self.ephemeral.close()
        if "stores" in self.__dict__:
            self.stores.database.close()
