"""Active Directory (Windows Server or Samba) as a connector; directory.py is its face, settings.py what an operator writes.

The order of exchanges, servers and filters are connectors.ldap's. Here is what Active Directory does its own way: people.py who is meant, groups.py,
state.py and policies.py what it says of an account, bind.py and change.py its answers, newest.py the former password that still binds.
"""
