"""What scripts under tests/ share: certificates, brokers, raw packets, a tally."""
