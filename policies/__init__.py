"""Decisions as pure functions on frozen facts: standard library only, no clock, no I/O, no framework.

Owns every rule that says who may do what. Calls nothing; signin, oauth and lifecycle gather facts, ask here, and act.
"""
