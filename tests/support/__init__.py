"""What tests share: a clock that moves when told, a furnished world, a browser, a relying party, real servers."""
