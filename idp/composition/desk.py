"""The desk, built from the configuration: every part that acts for administrators, contacts and helpdesks."""

from functools import partial

from idp.composition.sources import credential_ends, people_source, source_checks, source_kinds
from idp.composition.stores import Stores
from idp.crypto import PasswordHasher
from idp.desk.access import Access
from idp.desk.administrators import Administrators
from idp.desk.authority import Authority
from idp.desk.card import Cards
from idp.desk.carrying import Carrying
from idp.desk.client_trial import ClientTrial
from idp.desk.clients import Clients
from idp.desk.cut_reading import CutReading
from idp.desk.desk import Desk
from idp.desk.diagnosis import Diagnosis
from idp.desk.dossier import Dossiers
from idp.desk.figures import FiguresOf
from idp.desk.forgotten import Forgotten
from idp.desk.lately import Lately
from idp.desk.overview import Overviews
from idp.desk.places import Places
from idp.desk.reach import Reach
from idp.desk.redemption import Redemption
from idp.desk.register import Register
from idp.desk.reset_facts import ResetFactsOf
from idp.desk.reset_record import Record
from idp.desk.resets import Resets
from idp.desk.rulebook import Rulebook
from idp.desk.search import PeopleSearch
from idp.desk.sources import Sources
from idp.desk.trail_reading import TrailReading
from idp.desk.unlock import Unlock
from idp.lifecycle.certificate import Signatory
from idp.signin.directories import AskStanding, Directories
from idp.signin.factor_need import FactorNeed
from idp.signin.linking import Linking
from idp.signin.signin import SignIn
from idp.store.base import Ephemeral


def open_desk(
    stores: Stores,
    ephemeral: Ephemeral,
    *,
    hasher: PasswordHasher,
    directories: Directories,
    linking: Linking,
    ask_standing: AskStanding,
    signin: SignIn,
) -> Desk:
    """The parts. `ask_standing` asks a person's directories now, however fresh their last word is."""
    config, tell = stores.config, signin.sent_codes.messenger.tell
    authority = Authority(stores.database, stores.clock)
    sources = Sources(
        config,
        stores.database,
        linking=linking,
        authority=authority,
        open_people=partial(people_source, stores),
        tries={names[-1]: try_it for names, try_it in source_checks(config, stores.clock)},
        ends=lambda: credential_ends(config),
        clock=stores.clock,
    )
    reach = Reach(directories)
    reset_facts = ResetFactsOf(config, directories, stores.clock)
    reset_record = Record(config, signin.sent_codes.messenger, stores.keyring, clock=stores.clock)
    resets = Resets(
        config,
        stores.database,
        stores.keyring,
        clock=stores.clock,
        authority=authority,
        reach=reach,
        facts=reset_facts,
        record=reset_record,
        carrying=Carrying(stores.database, stores.keyring, hasher, clock=stores.clock),
    )
    return Desk(
        authority=authority,
        administrators=Administrators(stores.database, stores.clock, authority=authority, tell=tell),
        diagnosis=Diagnosis(
            stores.database,
            stores.clock,
            directories=directories,
            kinds=source_kinds(config),
            throttle=signin.throttle,
            factor_throttle=signin.second_factors.throttle,
            wants_factor=FactorNeed(config.policy.rule_set, stores.clock),
            lately=Lately(stores.clock, config.policy.rule_set),
        ),
        reach=reach,
        unlock=Unlock(
            stores.database,
            stores.clock,
            authority=authority,
            reach=reach,
            throttle=signin.throttle,
            factor_throttle=signin.second_factors.throttle,
            ask_standing=ask_standing,
            tell=tell,
        ),
        resets=resets,
        dossiers=Dossiers(stores.database, stores.clock, authority=authority, facts=reset_facts, resets=resets, settings=config.resets),
        reset_facts=reset_facts,
        reset_record=reset_record,
        redemption=Redemption(
            stores.database, ephemeral, stores.keyring, clock=stores.clock, facts=reset_facts, record=reset_record, signin=signin
        ),
        forgotten=Forgotten(config, stores.database, ephemeral, stores.keyring, clock=stores.clock, facts=reset_facts, resets=resets),
        trail_reading=TrailReading(stores.database, authority, stores.clock),
        cut_reading=CutReading(stores.database, authority, stores.clock, signatory=Signatory(stores.keyring, config.issuer)),
        search=PeopleSearch(stores.database, stores.clock, authority=authority, limits=config.sessions.limits),
        figures=FiguresOf(stores.database, stores.clock, authority=authority),
        cards=Cards(stores.database, stores.clock, authority=authority),
        register=Register(
            stores.database,
            stores.clock,
            authority=authority,
            profiles=config.profiles,
            settings=config.attachments,
            messenger=signin.sent_codes.messenger,
        ),
        access=Access(
            stores.database,
            stores.clock,
            authority=authority,
            reach=reach,
            passes=signin.second_factors.passes,
            tell=tell,
        ),
        places=Places(config, stores.database, stores.keyring, authority=authority, clock=stores.clock),
        clients=Clients(config, stores.database, authority=authority, clock=stores.clock),
        client_trial=ClientTrial(config, stores.database, signin, authority=authority, clock=stores.clock),
        rulebook=Rulebook(config, stores.database, authority=authority, clock=stores.clock),
        sources=sources,
        overviews=Overviews(stores.database, stores.clock, sources=sources),
    )
