"""What is done with the audit trail once it is written: sealed, verified, purged, streamed.

Lines are written by idp/store/events.py in the transactions of what they record; nothing here writes one for somebody else. The worker calls the
sealer, the purge and the streams, `vestibule audit` the verification. docs/audit-trail.md.
"""
