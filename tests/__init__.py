"""The tests: flows from the outside, policies directly, real servers where a real server is claimed."""
