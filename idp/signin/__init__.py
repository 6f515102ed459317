"""From "who is there" to "this person, here, with this proof": interactions, the dispatcher, proofs."""
