"""OpenLDAP and 389 Directory Server, over ldap3: LdapSettings says where and how, LdapDirectory asks.

settings.py owns what an operator writes, connection.py servers, TLS and the pool, people.py entries and groups, directory.py the acts.
"""
