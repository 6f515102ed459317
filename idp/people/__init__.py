"""People: creating Accounts, setting their passwords, attaching them to establishments, cutting them off, importing lists of them.

The one place for it, used by the command line now and by the administrators' console later. Rules come from policies, endings from
idp.endings; every act is an Event in the caller's transaction. Knows neither HTTP nor the terminal.
"""
