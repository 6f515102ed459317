"""Kerberos tickets that Windows computers show (SPNEGO); acceptor.py is its face, settings.py what an operator writes.

offer.py reads what a browser sends, pac.py whose it is, keytab.py what our own files hold, examination.py is the check.
"""
