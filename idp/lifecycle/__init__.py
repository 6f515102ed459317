"""Joiners, movers and leavers: reading whole directories and making the store say what they say."""
