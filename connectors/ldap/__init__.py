"""OpenLDAP and 389 Directory Server, over ldap3: LdapSettings says where and how, LdapDirectory asks.

settings.py owns what an operator writes, entry_directory.py the acts (connectors.active_directory's too), directory.py what is only theirs; wire.py
is one connection (and the only module that imports ldap3), pool.py the servers, people.py and groups.py what is read, state.py and
policy_control.py what it says of an account, examination.py the check. Listening to what changes: watch.py (OpenLDAP) and persistent.py (389), on a
line.py that is read by a thread of its own; group_watch.py and whom.py say whom a group's change concerns.
"""
