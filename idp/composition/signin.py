"""The sign-in room, built from the configuration with all that proves who somebody is: passwords, second factors, passkeys, providers, Windows."""

from idp.composition.outgoing import messenger
from idp.composition.sources import open_acceptor
from idp.composition.stores import Stores
from idp.crypto import PasswordHasher
from idp.lifecycle.standing import Standing
from idp.signin.directories import Directories
from idp.signin.facts import LoadClient
from idp.signin.linking import Linking
from idp.signin.passkeys import Passkeys
from idp.signin.password_change import load_block_list
from idp.signin.providers import Providers
from idp.signin.recognition import Recogniser
from idp.signin.second_factors import open_second_factors
from idp.signin.sent_codes import open_sent_codes
from idp.signin.signin import SignIn
from idp.signin.upstream import Upstreams
from idp.signin.whereabouts import Locator
from idp.signin.windows import Windows, windows_realms
from idp.store.base import Ephemeral


def open_signin(
    stores: Stores,
    ephemeral: Ephemeral,
    *,
    hasher: PasswordHasher,
    directories: Directories,
    providers: Providers,
    linking: Linking,
    locator: Locator,
    standing: Standing,
    load_client: LoadClient,
) -> SignIn:
    """The room and its parts; nobody is asked anything before it is needed. `load_client` answers a client that has not ended."""
    config = stores.config
    second_factors = open_second_factors(
        config,
        database=stores.database,
        ephemeral=ephemeral,
        keyring=stores.keyring,
        clock=stores.clock,
        rules=config.policy.rule_set,
        locator=locator,
        tell=messenger(stores).tell,
    )
    passkeys = Passkeys(
        config,
        database=stores.database,
        ephemeral=ephemeral,
        keyring=stores.keyring,
        clock=stores.clock,
        factors=second_factors,
        ask_standing=standing.ask_now,
    )
    sent_codes = open_sent_codes(
        config,
        database=stores.database,
        ephemeral=ephemeral,
        keyring=stores.keyring,
        clock=stores.clock,
        throttle=second_factors.throttle,
        enrolment=second_factors.enrolment,
    )
    upstreams = Upstreams(
        providers,
        Recogniser(config, stores.database, directories, linking, stores.keyring, clock=stores.clock),
        database=stores.database,
        ephemeral=ephemeral,
        keyring=stores.keyring,
        clock=stores.clock,
        issuer=config.issuer,
        ask_standing=standing.ask_now,
    )
    windows = Windows(
        windows_realms(config, {one.realm: open_acceptor(one, config, stores.clock) for one in config.windows}),
        database=stores.database,
        ephemeral=ephemeral,
        keyring=stores.keyring,
        directories=directories,
        linking=linking,
        locator=locator,
        clock=stores.clock,
    )
    return SignIn(
        config=config,
        clock=stores.clock,
        database=stores.database,
        ephemeral=ephemeral,
        keyring=stores.keyring,
        hasher=hasher,
        blocked=load_block_list(config.passwords.block_list),
        directories=directories,
        linking=linking,
        ask_standing=standing.ask,
        locator=locator,
        second_factors=second_factors,
        passkeys=passkeys,
        sent_codes=sent_codes,
        upstreams=upstreams,
        windows=windows,
        load_client=load_client,
    )
