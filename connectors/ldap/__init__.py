"""OpenLDAP and 389 Directory Server, over ldap3: LdapSettings says where and how, LdapDirectory asks.

settings.py owns what an operator writes, directory.py the acts; wire.py is one connection (and the only module that imports ldap3), pool.py the
servers, people.py and groups.py what is read, state.py and policy_control.py what it says of an account, examination.py the check.
"""
